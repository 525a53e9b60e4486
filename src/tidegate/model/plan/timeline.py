"""When it happened: the ticks of all slices in a row, and rates from those in which everything was counted."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tidegate.facts.measured import TICKS, Key, Slice, Tick

#: With so many firings in a tick, how many fell into the whole ticks is exact enough, if there are so many of these.
_DENSE = 2.0
_FEWEST_WHOLE = 2
#: Of rare firings the first and the last may be off by this part of the time between them.
_MOST_OFF = 0.05
#: An entry that was not seen for so many of its intervals has been stopped.
_STOPPED = 5.0


@dataclass(frozen=True, slots=True)
class Cell:
    """One tick in which something ran."""

    since_s: float
    until_s: float
    ticks: Mapping[Key, Tick]


@dataclass(frozen=True, slots=True)
class Pace:
    """Firings per second; `sure` where it was watched for long enough to call its inverse the interval."""

    per_s: float
    sure: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """Ticks in which something ran, oldest first. `steady` are those surely whole: not the first, nor the last, nor any
    that a worker may still have to report of; `steady_s` is the time from the first of them to the last.
    """

    cells: Sequence[Cell]
    steady: Sequence[Cell]
    steady_s: float
    covered_s: float
    holes: Sequence[tuple[float, float]] = ()

    def runs_per_s(self) -> Mapping[Key, float]:
        """By key."""
        counts: dict[Key, int] = defaultdict(int)
        for cell in self.steady:
            for key, tick in cell.ticks.items():
                counts[key] += tick.runs
        return {key: count / self.steady_s for key, count in counts.items()} if self.steady_s > 0 else {}

    def pace(self, keys: Iterable[Key]) -> Pace:
        """How often the entry with these keys fires while it does; over the whole time where it was stopped since.

        Frequent firings are counted in whole ticks, rare ones from the first to the last.
        """
        wanted = tuple(keys)
        seen = [(cell, number) for cell in self.cells if (number := _firings(cell, wanted))]
        total = sum(number for _, number in seen)
        overall = Pace(total / self.covered_s if self.covered_s > 0 else 0.0, sure=False)
        if len(seen) < 2:
            return overall
        pace = self._dense(seen) if total >= _DENSE * len(seen) else self._rare(seen, total)
        last = seen[-1][0]
        silent_s = self._between(last.until_s, self.cells[-1].until_s)
        stopped = pace is not None and silent_s > _STOPPED / pace.per_s + (last.until_s - last.since_s)
        return overall if pace is None or stopped else pace

    def _dense(self, seen: Sequence[tuple[Cell, int]]) -> Pace | None:
        inner, lasts_s = seen[1:-1], self._between(seen[0][0].until_s, seen[-1][0].since_s)
        number = sum(number for _, number in inner)
        return Pace(number / lasts_s, sure=len(inner) >= _FEWEST_WHOLE) if number and lasts_s > 0 else None

    def _rare(self, seen: Sequence[tuple[Cell, int]], total: int) -> Pace | None:
        """Each of the two ends may be off by half a tick."""
        (first, _), (last, _) = seen[0], seen[-1]
        lasts_s = self._between(_middle(first), _middle(last))
        off_s = (first.until_s - first.since_s + last.until_s - last.since_s) / 2
        return Pace((total - 1) / lasts_s, sure=off_s <= _MOST_OFF * lasts_s) if lasts_s > 0 else None

    def _between(self, since_s: float, until_s: float) -> float:
        """The time from one moment to another, without stretches of which nothing is known."""
        missing = sum(max(0.0, min(end, until_s) - max(start, since_s)) for start, end in self.holes)
        return until_s - since_s - missing


def timeline_of(slices: Sequence[Slice], counted_until_s: float | None) -> Timeline:
    """The ticks of slices in order of time; all workers have reported what ended before `counted_until_s`.

    Where it is None nobody reports any more, and the last tick is the last that is known.
    """
    cells = [cell for slice_ in slices for cell in _cells(slice_)]
    holes = [(end, start) for end, start in _ends_and_starts(slices) if start > end]
    bare = Timeline(cells, (), 0.0, 0.0, holes)
    if not cells:
        return bare
    covered_s = bare._between(cells[0].since_s, cells[-1].until_s)
    ends_s = slices[-1].start_s + slices[-1].length_s
    until_s = cells[-1].since_s if counted_until_s is None else min(counted_until_s, ends_s)
    whole = [cell for cell in cells[1:] if cell.until_s <= until_s]
    if not whole:
        return Timeline(cells, cells, covered_s, covered_s, holes)
    # Nothing ran from the last whole tick until then, unless in a tick that is not whole.
    end_s = min([until_s, *(cell.since_s for cell in cells[len(whole) + 1 :])])
    return Timeline(cells, whole, bare._between(cells[0].until_s, end_s), covered_s, holes)


def _cells(slice_: Slice) -> Iterable[Cell]:
    tick_s = slice_.length_s / TICKS
    for place in range(TICKS):
        ticks = {key: runs.ticks[place] for key, runs in slice_.runs.items() if place in runs.ticks}
        if ticks:
            yield Cell(slice_.start_s + place * tick_s, slice_.start_s + (place + 1) * tick_s, ticks)


def _ends_and_starts(slices: Sequence[Slice]) -> list[tuple[float, float]]:
    return [(one.start_s + one.length_s, other.start_s) for one, other in pairwise(slices)]


def _firings(cell: Cell, keys: Sequence[Key]) -> int:
    return sum(cell.ticks[key].firings for key in keys if key in cell.ticks)


def _middle(cell: Cell) -> float:
    return (cell.since_s + cell.until_s) / 2
