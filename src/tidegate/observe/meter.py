"""The flow meter: exact arrivals and departures of a Redis list, from outside, however long the list is.

Producers push at the head (index 0), workers take from the tail. Remember the newest element; a moment later its index
is the exact number of arrivals since, and arrivals minus the change of depth is what left, net of what came back.
The oldest elements, remembered too, tell which ones left and how many were put back (a lost worker's messages return
at the tail, marked as redelivered). Where the remembered element has itself been taken, only bounds can be had.

This module is arithmetic on elements; `observe.flow` does the reading.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tidegate.facts.seen import Step

#: How many elements to read at each end of a quiet list, and at most at a busy one.
QUIET_READ, MOST_READ = 32, 400
_REDELIVERED = (b'"redelivered": true', b'"redelivered":true')


@dataclass(frozen=True, slots=True)
class Reading:
    """One instant of a list: its length, the newest elements (newest first), the oldest (oldest last).

    `marker_at` is the index of the remembered element where the server was asked for it.
    """

    at_s: float
    depth: int
    head: Sequence[bytes]
    tail: Sequence[bytes]
    marker_at: int | None = None


@dataclass(slots=True)
class ListMeter:
    """Follows one list from reading to reading; `feed` returns what happened in between.

    `most_bytes` bounds what one reading may transfer.
    """

    most_bytes: int = 1 << 20
    last: Reading | None = None
    ever_held: bool = False
    arrived: list[bytes] = field(default_factory=list)
    departed: list[bytes] = field(default_factory=list)
    _busiest: float = 0.0
    _element_bytes: float = 1024.0

    def wants(self) -> int:
        """How many elements to read at each end: half as many again as moved lately, within the bounds."""
        wanted = max(QUIET_READ, int(self._busiest * 1.5) + 8)
        return max(1, min(wanted, MOST_READ, int(self.most_bytes / max(self._element_bytes, 1.0))))

    def marker(self) -> bytes | None:
        """The element to look for: the newest one of the last reading."""
        return self.last.head[0] if self.last and self.last.head else None

    def misses(self, now: Reading) -> bool:
        """True where the remembered element lies beyond the elements read, so the server has to be asked for it."""
        marker = self.marker()
        return marker is not None and marker not in now.head and now.depth > len(now.head)

    def feed(self, now: Reading) -> Step | None:
        """What happened since the last reading; None for the first one. `arrived` and `departed` hold the elements seen."""
        before, self.last = self.last, now
        self.ever_held = self.ever_held or now.depth > 0
        self._learn_size(now)
        if before is None:
            return None
        step = self._compare(before, now)
        self.arrived = list(now.head[: step.arrivals])
        self.departed = list(before.tail[-step.departures :]) if step.departures else []
        self._busiest = max(self._busiest * 0.95, step.arrivals, step.departures)
        return step

    def _learn_size(self, now: Reading) -> None:
        sizes = [len(element) for element in (*now.head, *now.tail)]
        if sizes:
            self._element_bytes = max(sum(sizes) / len(sizes), self._element_bytes * 0.9)

    def _compare(self, before: Reading, now: Reading) -> Step:
        arrivals, unique = _index_of_marker(before, now)
        if arrivals is None:
            return _all_gone(before, now)
        departures, restores = _what_left(before, now, arrivals - (now.depth - before.depth))
        return Step(before.at_s, now.at_s, now.depth, arrivals, departures, restores, unique)


def _index_of_marker(before: Reading, now: Reading) -> tuple[int | None, bool]:
    """The marker's index and whether it is beyond doubt: identical elements could be mistaken for one another."""
    marker = before.head[0] if before.head else None
    if marker is None:
        return None, False
    if marker in now.head:
        alike = now.head.count(marker) if isinstance(now.head, list) else list(now.head).count(marker)
        return list(now.head).index(marker), alike == 1
    return now.marker_at, True


def _what_left(before: Reading, now: Reading, net: int) -> tuple[int, int]:
    """(departures, restores) whose difference is `net`: the oldest survivor shows how many stand behind it now."""
    place = {element: index for index, element in enumerate(reversed(before.tail))}
    for behind, element in enumerate(reversed(now.tail)):
        gone = place.get(element)
        if gone is not None:
            return (gone, behind) if gone - behind == net else _net(net)
    return _net(net)


def _net(net: int) -> tuple[int, int]:
    return max(net, 0), max(-net, 0)


def _all_gone(before: Reading, now: Reading) -> Step:
    """Bounds where the remembered element was taken: what is there now came since, unless it was put back."""
    if now.depth <= len(now.head) or now.depth <= len(now.tail):
        present = now.head if len(now.head) >= now.depth else now.tail
        restores = sum(any(mark in element for mark in _REDELIVERED) for element in present)
        return Step(before.at_s, now.at_s, now.depth, now.depth - restores, before.depth, restores, exact=False)
    change = now.depth - before.depth
    return Step(before.at_s, now.at_s, now.depth, max(change, 0), max(-change, 0), 0, exact=False)
