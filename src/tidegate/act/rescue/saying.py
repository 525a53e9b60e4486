"""What a rescue says while it works: one sentence a step, with its numbers."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from tidegate.broker.rescue import Memory
from tidegate.units import count, duration, plural, rate, size

EVERY_S = 5.0
#: A rate from less than this is noise.
_LEAST_S = 2.0


class Seen(Protocol):
    """What is told of one list."""

    depth: int

    @property
    def parked(self) -> int:
        """Messages on disk."""
        ...


class Teller:
    """Says each thing once, as it happens, and how it goes every `EVERY_S`."""

    def __init__(self, say: Callable[[str], None], queue: str, directory: str) -> None:
        self._say, self._queue, self._directory = say, queue, directory
        self._said_at = self._began = time.monotonic()
        self._before: tuple[float, int] | None = None
        self._is_away = self._is_stuck = False

    def begun(self, memory: Memory, enough: int) -> None:
        """The first step is about to be done."""
        self._say(
            f"The server uses {size(memory.used)} of {size(memory.limit)} and refuses writes. The newest messages of "
            f"{self._queue!r} go to {self._directory} until {size(enough)} are free; each portion is on disk before it "
            "leaves Redis."
        )

    def taken_up(self, parked: int, undone: int) -> None:
        """An earlier run is gone on with."""
        self._is_away = False
        undo = f"; {plural(undone, 'step')} that the server never did or no longer knows {'is' if undone == 1 else 'are'} undone"
        self._say(f"{plural(parked, 'message')} of {self._queue!r} on disk{undo if undone else ''}. Going on.")

    def forgotten(self, parked: int) -> None:
        """The server lost the act."""
        self._is_away = False
        self._say(
            "The server does not know this rescue any more (emptied, or restarted without what it held): the "
            f"{plural(parked, 'message')} on disk go back as the oldest of {self._queue!r}."
        )

    def room(self, after_s: float, parked: int, free: int) -> None:
        """Workers can start from now on."""
        self._say(
            f"Room made after {duration(after_s)}: {size(free)} free, {plural(parked, 'message')} on disk. Start your workers "
            "now: those that exited stay dead. The messages come back in their order as the queue drains."
        )

    def stuck(self, lines: Sequence[Seen]) -> None:
        """There is not enough room, and nothing more can be taken."""
        if not self._is_stuck:
            self._is_stuck = True
            left = sum(line.depth for line in lines)
            self._say(
                f"Only {plural(left, 'message')} of {self._queue!r} are left in Redis, and it is full all the same: something "
                "else fills it (tidegate doctor says what). Waiting for workers, or for a larger maxmemory."
            )

    def away(self, error: Exception) -> None:
        """The server can't be reached."""
        if not self._is_away:
            self._is_away = True
            self._say(f"{error or 'The act is gone'}. Trying again; what is on disk stays.")

    def now(self, lines: Sequence[Seen], memory: Memory) -> None:
        """How it goes, now and then."""
        now = time.monotonic()
        if now - self._said_at < EVERY_S:
            return
        self._said_at = now
        parked, waiting = sum(line.parked for line in lines), sum(line.depth for line in lines)
        self._say(
            f"{count(parked)} on disk, {count(waiting)} in the queue, {size(max(0, memory.free))} free"
            f"{self._trend(now, parked + waiting)}."
        )

    def done(self, fed: int) -> None:
        """Everything is back."""
        self._say(
            f"Done after {duration(time.monotonic() - self._began)}: all {plural(fed, 'message')} that were on disk are back "
            f"in {self._queue!r}, in their order."
        )

    def stopped(self, parked: int, go_on: str) -> None:
        """It was asked to end before its time."""
        self._say(
            f"Stopped: {plural(parked, 'message')} of {self._queue!r} on disk in {self._directory}. Go on with: {go_on}"
        )

    def _trend(self, now: float, backlog: int) -> str:
        before, self._before = self._before, (now, backlog)
        if before is None or now - before[0] < _LEAST_S:
            return ""
        per_s = (before[1] - backlog) / (now - before[0])
        if per_s <= 0:
            return f"; the backlog grows by {rate(-per_s)}" if per_s else ""
        return f"; the backlog shrinks by {rate(per_s)}, and is gone in about {duration(backlog / per_s)}"
