"""What is counted while a simulation runs, in batches of time: the scatter of batches is what an error rests on.

Hot loops append to plain lists; at the end of every batch `fold` takes them in. So a long run needs no more memory
than a short one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, log

from tidegate.facts.sketch import ACCURACY, LEAST_S, NS, Sketch

#: Batches of the measured time. Neighbours are put together until they are independent (see `confidence`).
BATCHES = 512
#: So many durations of a batch go into the quantiles, evenly taken; all of them go into the mean.
_SKETCHED = 1000
_MULTIPLIER = 1 / log((1 + ACCURACY) / (1 - ACCURACY))


@dataclass(slots=True)
class Batches:
    """Sums and their weights, by batch: Σ sums ÷ Σ weights is the mean."""

    sums: list[float] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, amount: float, weight: float) -> None:
        """One more batch."""
        self.sums.append(amount)
        self.weights.append(weight)


@dataclass(slots=True)
class Durations:
    """Durations of one kind. `fresh` is for the hot loop to append to."""

    fresh: list[float] = field(default_factory=list)
    batches: Batches = field(default_factory=Batches)
    sketch: Sketch = field(default_factory=Sketch)

    def fold(self, *, measured: bool) -> None:
        """The end of a batch; what came during the warm-up is forgotten."""
        values, self.fresh[:] = self.fresh[:], ()
        if measured:
            self.take(values)

    def take(self, values: Sequence[float]) -> None:
        """One batch."""
        self.batches.add(sum(values), len(values))
        if values:
            _sketch(self.sketch, values)


def _sketch(sketch: Sketch, values: Sequence[float]) -> None:
    """Counts them as `Sketch.add` would one by one, at a third of its cost; of many, an even sample."""
    low, high = round(min(values) * NS), round(max(values) * NS)
    sketch.low_ns = min(low, sketch.low_ns) if sketch.count else low
    sketch.high_ns = max(high, sketch.high_ns)
    for value in values[:: ceil(len(values) / _SKETCHED)]:
        if value < LEAST_S:
            sketch.zeros += 1
        else:
            bucket = ceil(log(value) * _MULTIPLIER)
            sketch.buckets[bucket] = sketch.buckets.get(bucket, 0) + 1


@dataclass(slots=True)
class Level:
    """A number that goes up and down by one, and its integral over time.

    ∫ value dt from a to b is (b·value(b) + moment(b)) − (a·value(a) + moment(a)), where going up at t adds −t to the
    moment and going down adds t. So a change costs one addition, and one that is undone in the same moment none.
    """

    value: int = 0
    moment: float = 0.0
    batches: Batches = field(default_factory=Batches)
    _since: float = 0.0
    _before: float = 0.0

    def up(self, now: float) -> None:
        """One more."""
        self.value += 1
        self.moment -= now

    def down(self, now: float) -> None:
        """One less."""
        self.value -= 1
        self.moment += now

    def shift(self, now: float, by: int) -> None:
        """So many more, or less."""
        self.value += by
        self.moment -= now * by

    def area(self, now: float) -> float:
        """The integral since it was last asked."""
        after = now * self.value + self.moment
        area, self._since, self._before = after - self._before, now, after
        return area

    def fold(self, now: float, *, measured: bool) -> None:
        """The end of a batch that began at the last fold."""
        length = now - self._since
        area = self.area(now)
        if measured:
            self.batches.add(area, length)
