"""How fast messages go back: at a rate, and only while the queue is not too deep."""

import time
from collections.abc import Callable

from tidegate.act.relief.acts import Acting
from tidegate.observe.census import depths_of

_LOOK_S = 0.2
#: How often an act that waits says that it lives.
_SAYS_S = 5.0
#: A portion is at most what the rate allows in this time.
_PORTION_S = 0.25


class Flow:
    """Says how many messages may go now, and waits until some may; `stop` ends the wait."""

    def __init__(
        self, acting: Acting, queue: str, per_s: float | None, max_depth: int | None, stop: Callable[[], bool]
    ) -> None:
        self._acting, self._per_s, self._max_depth, self._stop = acting, per_s, max_depth, stop
        self._keys = [key for _, key in acting.broker.layout.lists(queue)]
        self._due_s = self._said_s = time.monotonic()

    def room(self, most: int) -> int:
        """How many may go at once, `most` at most; 0 where it is to stop."""
        while not self._stop():
            now_s = time.monotonic()
            room = min(most, self._depth_leaves(), self._rate_leaves(now_s))
            if room > 0:
                return room
            self._say(now_s)
            time.sleep(min(_LOOK_S, max(0.001, self._due_s - now_s)) if now_s < self._due_s else _LOOK_S)
        return 0

    def went(self, many: int) -> None:
        """So many went now."""
        if self._per_s is not None:
            self._due_s = max(self._due_s, time.monotonic() - _PORTION_S) + many / self._per_s

    def _depth_leaves(self) -> int:
        if self._max_depth is None:
            return 1 << 30
        return self._max_depth - sum(depths_of(self._acting.broker, self._keys))

    def _rate_leaves(self, now_s: float) -> int:
        if self._per_s is None:
            return 1 << 30
        return 0 if now_s < self._due_s else max(1, int(self._per_s * _PORTION_S))

    def _say(self, now_s: float) -> None:
        if now_s - self._said_s > _SAYS_S:
            self._acting.note()
            self._said_s = now_s
