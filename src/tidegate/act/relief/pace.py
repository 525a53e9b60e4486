"""How much at once: as long as nobody else has to wait for the server longer than he may."""

import time
from collections import deque
from typing import Any

from tidegate.broker.address import Address
from tidegate.broker.client import Broker, Command, connect

#: What a bystander may have to wait for, where nothing else is said.
MAX_STALL_MS = 5.0
_MOST, _FEWEST = 200, 20
#: Every so many commands have a bystander: often enough to follow, seldom enough to cost little.
_WATCHED = 4
#: Elements of one chunk weigh no more than this together.
_MOST_BYTES = 1 << 20
#: So many waits are looked at together.
_WAITS = 8
#: After chunks that took too long the server has time for others.
_LONGEST_REST_S = 0.05


def connecting(address: Address, timeout_s: float) -> Broker:
    """A connection for thousands of commands; raises as `connect`."""
    return connect(address, timeout_s, watched=False)


class Pace:
    """Commands with a bystander beside them: a second connection that sends a PING while the server works on a command.

    What the bystander waits is what everybody else waits. `chunk` follows the shortest of its latest waits: a machine
    that is busy makes some of them long, a chunk that is too large makes all of them long. `worst_s` is the longest.
    """

    def __init__(self, bystander: Broker, max_stall_ms: float, element_bytes: float) -> None:
        self._bystander = bystander
        self._max_s = max_stall_ms / 1000
        self._most = max(1, min(_MOST, int(_MOST_BYTES / max(element_bytes, 1.0))))
        self._waits_s: deque[float] = deque(maxlen=_WAITS)
        self._asked = 0
        self.chunk = max(1, self._most // 2)
        self.worst_s = 0.0

    def ask(self, broker: Broker, command: Command) -> Any:
        """The answer to a command that takes the server some time."""
        self._asked += 1
        if self._asked % _WATCHED:
            return broker.one(*command)
        answer = broker.ask_while(command, self._wait)
        if len(self._waits_s) == _WAITS:
            self._adapt(min(self._waits_s))
        return answer

    def _wait(self) -> None:
        began = time.perf_counter()
        self._bystander.one("PING")
        waited_s = time.perf_counter() - began
        self._waits_s.append(waited_s)
        self.worst_s = max(self.worst_s, waited_s)

    def _adapt(self, waited_s: float) -> None:
        if waited_s > self._max_s:
            self.chunk = max(min(_FEWEST, self._most), self.chunk // 2)
            time.sleep(min(_LONGEST_REST_S, waited_s))
        elif waited_s < self._max_s / 2:
            self.chunk = min(self._most, self.chunk + max(1, self.chunk // 8))
        self._waits_s.clear()
