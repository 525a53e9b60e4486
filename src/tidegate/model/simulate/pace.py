"""Runs on one host that slow one another down: processor sharing over its cores, or a measured curve.

Every share of CPU time has a clock of its own that runs at that share's pace; a run ends when its clock has advanced by
the run time it would have alone. So a run that begins or ends costs a few steps, however many others there are.
"""

from bisect import bisect_right
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from math import inf

from tidegate.model.simulate.messages import Message

Curve = tuple[tuple[float, float], ...]


def stretched(cpu: float, demand: float, cores: float) -> float:
    """How many times longer a run takes that computes for this share of its time, where all runs demand so many cores."""
    return 1 - cpu + cpu * max(1.0, demand / cores)


def slowed(curve: Curve, busy: float) -> float:
    """How many times longer with so many busy slots: between two points a straight line, beyond them the nearest point."""
    place = bisect_right([slots for slots, _ in curve], busy)
    if place == 0 or place == len(curve):
        return curve[max(0, place - 1)][1]
    (left, low), (right, high) = curve[place - 1], curve[place]
    return low + (high - low) * (busy - left) / (right - left)


@dataclass(slots=True)
class _Clock:
    """Of one share of CPU time: what it shows, how fast it runs, and what ends when."""

    shows: float = 0.0
    speed: float = 1.0
    ends: list[tuple[float, int, Message]] = field(default_factory=list)


class Pace:
    """The runs of one host. `version` changes with every beginning and end: an end foretold before is void then."""

    __slots__ = ("_at", "_clocks", "_cores", "_curve", "_demand", "_numbers", "_running", "version")

    def __init__(self, cores: float, curve: Curve) -> None:
        self._cores, self._curve = cores, curve
        self.version = 0
        self._numbers = count()
        self._at = 0.0
        self.clear()

    def clear(self) -> None:
        """Nothing runs any more."""
        self.version += 1
        self._clocks: dict[float, _Clock] = {}
        self._demand, self._running = 0.0, 0

    def begin(self, now: float, message: Message, work_s: float) -> float:
        """A run begins that alone would take so long; the moment when the next run of this host ends."""
        self._advance(now)
        cpu = message.kind.load.cpu
        clock = self._clocks.setdefault(cpu, _Clock())
        heappush(clock.ends, (clock.shows + work_s, next(self._numbers), message))
        return self._changed(now, cpu, 1)

    def end(self, now: float) -> tuple[Message, float]:
        """The run that ends now, and when the next one does (infinite: none runs)."""
        self._advance(now)
        cpu, clock = min(self._clocks.items(), key=lambda item: _left(item[1]))
        _, _, message = heappop(clock.ends)
        return message, self._changed(now, cpu, -1)

    def _advance(self, now: float) -> None:
        for clock in self._clocks.values():
            clock.shows += (now - self._at) * clock.speed
        self._at = now

    def _changed(self, now: float, cpu: float, by: int) -> float:
        self.version += 1
        self._demand += cpu * by
        self._running += by
        for share, clock in self._clocks.items():
            longer = slowed(self._curve, self._running) if self._curve else stretched(share, self._demand, self._cores)
            clock.speed = 1 / longer
        return now + max(0.0, min((_left(clock) for clock in self._clocks.values()), default=inf))


def _left(clock: _Clock) -> float:
    return (clock.ends[0][0] - clock.shows) / clock.speed if clock.ends else inf
