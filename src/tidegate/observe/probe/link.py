"""The probe's own connection to the broker: short timeouts, patience while the server is away, one log line an outage."""

import logging
import time
from collections.abc import Sequence
from typing import Any

from tidegate.broker.address import Address
from tidegate.broker.client import Broker, Command, Refusal, connect
from tidegate.broker.scripts import Argument, Script, run_by
from tidegate.errors import TidegateError

#: Of a server that does not answer nobody waits longer; the worker itself never waits.
TIMEOUT_S = 1.0


class Away(Exception):
    """The server could not be asked. `in_doubt`: what was sent may have arrived."""

    def __init__(self, why: str, *, in_doubt: bool) -> None:
        super().__init__(why)
        self.in_doubt = in_doubt


class Link:
    """Opened when it is needed, closed when it fails; not for two threads at a time."""

    log = logging.getLogger("tidegate.probe")
    #: What the log says when an outage begins, with its reason, and when it is over.
    away = "the probe keeps its counts in memory for now: %s"
    back = "the probe's counts are in Redis again"
    #: After a failure nothing is tried for so long, and twice as long after each further one.
    first_pause_s = 1.0
    longest_pause_s = 60.0

    def __init__(self, address: Address, timeout_s: float = TIMEOUT_S) -> None:
        self.address = address
        self._timeout_s = timeout_s
        self._broker: Broker | None = None
        self._pause_s = 0.0
        self._not_before_s = 0.0
        self._outage = False

    def open(self) -> Broker:
        """The connection; raises Away where there is none, at once while it is too early to try again."""
        if self._broker is None:
            if time.monotonic() < self._not_before_s:
                raise Away("it is too early to try again", in_doubt=False)
            try:
                self._broker = connect(self.address, self._timeout_s)
            except TidegateError as error:
                raise self.failed(str(error), in_doubt=False) from error
        return self._broker

    def ask(self, *commands: Command) -> list[Any]:
        """The answers; raises Away where none come. An answer that is a refusal is a `Refusal`."""
        broker = self.open()
        try:
            return broker.ask(*commands)
        except TidegateError as error:
            raise self.failed(str(error), in_doubt=True) from error

    def run(self, script: Script, keys: Sequence[str], *calls: Sequence[Argument]) -> list[Any]:
        """The answers to calls of one script, in one round trip, two where the server does not know it yet; as `ask`."""
        return run_by(self.ask, script, keys, *calls)

    def failed(self, why: str, *, in_doubt: bool) -> Away:
        """Closes the connection, and says when to try again; the error to raise."""
        self.close()
        self._pause_s = min(self.longest_pause_s, self._pause_s * 2 or self.first_pause_s)
        self._not_before_s = time.monotonic() + self._pause_s
        self.complain(why)
        return Away(why, in_doubt=in_doubt)

    def complain(self, why: str) -> None:
        """Says so, once an outage."""
        if not self._outage:
            self._outage = True
            self.log.warning(self.away, why)

    def works(self) -> None:
        """Everything was kept; ends an outage."""
        self._pause_s = 0.0
        if self._outage:
            self._outage = False
            self.log.info(self.back)

    def close(self) -> None:
        """Ends the connection."""
        broker, self._broker = self._broker, None
        if broker is not None:
            broker.close()


def refusal_among(answers: list[Any]) -> Refusal | None:
    """The first refusal among the answers."""
    return next((answer for answer in answers if isinstance(answer, Refusal)), None)
