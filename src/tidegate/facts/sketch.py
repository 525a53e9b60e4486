"""A log-bucket sketch of durations: quantiles within 1 %, and merging in any order gives the identical sketch.

The mapping is DDSketch's (Masson, Rim, Lee, VLDB 2019): bucket i holds (γ^(i−1), γ^i] with γ = (1+α)/(1−α), α = 0.01,
and answers 2·γ^i/(γ+1), which is within α of everything in it. From a microsecond to a year that is at most 1,555
buckets; a task's run times usually fill some fifty. Everything is counted in whole numbers (buckets, and nanoseconds
for the sum), so no order of merging changes a digit.
"""

from collections.abc import Iterable, Sequence
from math import ceil, log

ACCURACY = 0.01  # α in the paper
_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_MULTIPLIER = 1 / log(_GAMMA)
_MIDDLE = 2 / (_GAMMA + 1)
#: Below a microsecond a duration counts as zero; beyond a year as a year. Both bound the number of buckets.
LEAST_S = 1e-6
MOST_S = 366 * 86400.0
NS = 1_000_000_000


class Sketch:
    """Durations in seconds, mergeable; never negative ones: what has no sign error is the caller's to say."""

    __slots__ = ("buckets", "high_ns", "low_ns", "total_ns", "zeros")

    def __init__(self) -> None:
        #: Number of durations by bucket.
        self.buckets: dict[int, int] = {}
        #: How many were shorter than a microsecond.
        self.zeros = 0
        #: The exact sum, and the exact extremes; meaningless while `count` is 0.
        self.total_ns = 0
        self.low_ns = 0
        self.high_ns = 0

    @classmethod
    def of(cls, seconds: Iterable[float]) -> "Sketch":
        """The sketch of these durations."""
        sketch = cls()
        for value in seconds:
            sketch.add(value)
        return sketch

    def add(self, seconds: float) -> None:
        """Counts one duration; ValueError where it is negative or no number. About 0.4 µs."""
        if not seconds >= 0:
            message = f"expected a duration of at least 0 s, got {seconds}"
            raise ValueError(message)
        seconds = min(seconds, MOST_S)
        ns = round(seconds * NS)
        if not self.total_ns and not self.zeros and not self.buckets:
            self.low_ns = self.high_ns = ns
        elif ns < self.low_ns:
            self.low_ns = ns
        elif ns > self.high_ns:
            self.high_ns = ns
        self.total_ns += ns
        if seconds < LEAST_S:
            self.zeros += 1
        else:
            bucket = ceil(log(seconds) * _MULTIPLIER)
            self.buckets[bucket] = self.buckets.get(bucket, 0) + 1

    def add_us(self, durations_us: Sequence[int]) -> None:
        """Counts many durations in whole microseconds, none of them negative, at less than half the cost of `add`."""
        if not durations_us:
            return
        low, high = min(durations_us), max(durations_us)
        if low < 0 or high > MOST_S * 1e6:
            for us in durations_us:
                self.add(us / 1e6)
            return
        none_yet = not self.total_ns and not self.zeros and not self.buckets
        self.low_ns = low * 1000 if none_yet else min(self.low_ns, low * 1000)
        self.high_ns = high * 1000 if none_yet else max(self.high_ns, high * 1000)
        self.total_ns += sum(durations_us) * 1000
        buckets = self.buckets
        for us in durations_us:
            if us:
                bucket = ceil(log(us / 1e6) * _MULTIPLIER)
                buckets[bucket] = buckets.get(bucket, 0) + 1
            else:
                self.zeros += 1

    def merge(self, other: "Sketch") -> None:
        """Takes in all that the other counted; costs one step per bucket of the other."""
        if not other.count:
            return
        if self.count:
            self.low_ns, self.high_ns = min(self.low_ns, other.low_ns), max(self.high_ns, other.high_ns)
        else:
            self.low_ns, self.high_ns = other.low_ns, other.high_ns
        self.total_ns += other.total_ns
        self.zeros += other.zeros
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return self.zeros + sum(self.buckets.values())

    @property
    def mean_s(self) -> float:
        """The exact mean; ValueError where nothing was counted."""
        return self.total_ns / NS / self._some()

    def quantile(self, share: float) -> float:
        """The duration that this share of them does not exceed, within 1 %: rank share·(count−1), as NumPy's `lower`."""
        rank, passed = int(share * (self._some() - 1)), self.zeros
        if passed > rank:
            return 0.0
        for bucket in sorted(self.buckets):
            passed += self.buckets[bucket]
            if passed > rank:
                return min(max(middle(bucket), self.low_ns / NS), self.high_ns / NS)
        return self.high_ns / NS

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sketch) and self._state() == other._state()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Sketch(count={self.count}, total_s={self.total_ns / NS:g})"

    def _some(self) -> int:
        count = self.count
        if not count:
            message = "nothing was counted, so there is no mean and no quantile: ask for `count` first"
            raise ValueError(message)
        return count

    def _state(self) -> tuple[object, ...]:
        extremes = (self.low_ns, self.high_ns) if self.count else None
        return self.buckets, self.zeros, self.total_ns, extremes


def middle(bucket: int) -> float:
    """The duration that stands for a bucket."""
    return float(_MIDDLE * _GAMMA**bucket)
