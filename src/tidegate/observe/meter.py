"""The flow meter: exact arrivals and departures of a Redis list, from outside, however long the list is.

Producers push at the head (index 0), workers take from the tail. Remember the newest element; a moment later its index
is the exact number of arrivals since, and arrivals minus the change of depth is what left, net of what came back.
The oldest elements, remembered too, tell which ones left and how many were put back (a lost worker's messages return
at the tail, marked as redelivered). Where the remembered element has itself been taken, only bounds can be had.

An element serves as a mark only where no other can equal it: it carries a delivery tag, which kombu draws anew for
every message, and was never redelivered, for then the same bytes may leave and come back.

This module is arithmetic on elements; `observe.flow` does the reading.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from tidegate.facts.seen import Step

#: How many elements to read at each end of a quiet list, and at most at a busy one.
QUIET_READ, MOST_READ = 32, 400
_TAG = b'"delivery_tag"'
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

    @property
    def whole(self) -> Sequence[bytes] | None:
        """All elements, where one of the two ends is the whole list."""
        return next((end for end in (self.head, self.tail) if len(end) == self.depth), None)


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
        return max(1, min(self.most(), max(QUIET_READ, int(self._busiest * 1.5) + 8)))

    def most(self) -> int:
        """How many elements may be read at each end at most."""
        return max(1, min(MOST_READ, int(self.most_bytes / max(self._element_bytes, 1.0))))

    def marker(self) -> bytes | None:
        """The element to look for: the newest one of the last reading that nothing else can equal."""
        return self.last.head[_mark_of(self.last)] if self.last and self.last.head else None

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
        step = _compare(before, now)
        self.arrived = list(now.head[: step.arrivals])
        self.departed = list(before.tail[-step.departures :]) if step.departures else []
        self._busiest = max(self._busiest * 0.95, step.arrivals, step.departures)
        return step

    def _learn_size(self, now: Reading) -> None:
        sizes = [len(element) for element in (*now.head, *now.tail)]
        if sizes:
            self._element_bytes = max(sum(sizes) / len(sizes), self._element_bytes * 0.9)


def _put_back(element: bytes) -> bool:
    return any(sign in element for sign in _REDELIVERED)


def _singular(element: bytes) -> bool:
    """True where no other element, and not this one after it left, has the same bytes."""
    return _TAG in element and not _put_back(element)


def _mark_of(reading: Reading) -> int:
    """Where in its head the element stands that is looked for later: the first singular one, else the newest."""
    return next((index for index, element in enumerate(reading.head) if _singular(element)), 0)


def _compare(before: Reading, now: Reading) -> Step:
    arrivals = _arrivals(before, now)
    if arrivals is None:
        return _bounds(before, now)
    departures, restores = _what_left(before, now, arrivals - (now.depth - before.depth))
    return Step(before.at_s, now.at_s, now.depth, arrivals, departures, restores, exact=True)


def _arrivals(before: Reading, now: Reading) -> int | None:
    """How far the remembered element has moved; None where it is gone, too far away, or might be another one."""
    if not before.head:
        return None
    stood = _mark_of(before)
    mark = before.head[stood]
    if not _singular(mark) or max(before.head.count(mark), now.head.count(mark)) > 1:
        return None
    stands = now.head.index(mark) if mark in now.head else now.marker_at
    # A mark that moved forward: what stood before it was removed, so nothing can be said.
    return stands - stood if stands is not None and stands >= stood else None


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


def _bounds(before: Reading, now: Reading) -> Step:
    """At least so many came and left, where the remembered element does not tell.

    Where no element was read, only the change of depth is known, and what was put back counts as having come.
    """
    known = {*before.head, *before.tail}
    seen = now.head if now.whole is None else now.whole
    fresh = list(takewhile(lambda element: element not in known, seen))
    change = now.depth - before.depth
    arrivals = max(sum(not _put_back(element) for element in fresh), change - _most_restored(now))
    # Behind a survivor stands what was there before; without one, what is marked was put back since.
    restores = sum(map(_put_back, fresh)) if now.whole is not None and len(fresh) == now.depth else 0
    if before.whole is not None and now.whole is not None:
        marked, marked_before = sum(map(_put_back, now.whole)), sum(map(_put_back, before.whole))
        # Of each kind at least as many came as there are more now: so the counts always account for the change.
        restores = max(restores, marked - marked_before)
        arrivals = max(arrivals, change - (marked - marked_before))
    departures = max(arrivals + restores - change, 0)
    return Step(before.at_s, now.at_s, now.depth, arrivals, departures, restores, exact=False)


def _most_restored(now: Reading) -> int:
    """How many of the list's elements can have been put back at its tail: as many as stand there marked."""
    oldest_first = list(reversed(now.tail if now.whole is None else now.whole))
    marked = sum(1 for _ in takewhile(_put_back, oldest_first))
    return marked if marked < len(oldest_first) or not oldest_first else now.depth
