"""What was measured, added up: per task, queue and entry how often it ran, for how long, and how much came."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tidegate.facts.measured import Busy, Key, Measured, Runs, Slice
from tidegate.facts.merging import coarsened
from tidegate.facts.sketch import NS, Sketch, middle
from tidegate.model.plan.timeline import Timeline, timeline_of

#: Fewer runs than this give no mean worth a number.
LEAST_RUNS = 30
#: Gaps beyond so many times the usual one are not the worker's own doing.
_OUTLYING = 10.0
#: What a worker adds to a run where none was measured, in seconds, by the kind of pool: prefork as in the benchmarks.
ASSUMED_TURNAROUND_S = {"prefork": 0.0015}
ASSUMED_OTHER_S = 0.0003


@dataclass(frozen=True, slots=True)
class Overhead:
    """What a worker adds to every run, in seconds, give or take `error_s`."""

    seconds: float
    error_s: float
    measured: bool


@dataclass(frozen=True, slots=True)
class Ran:
    """The runs of one key in numbers: how many, mean time and CPU time of a run in seconds (None: could not be told)."""

    count: int
    mean_s: float
    cpu_s: float | None
    scatter: float
    busy: Mapping[int, Busy]

    @property
    def mean_busy(self) -> float:
        """How many slots of its worker a run met busy, itself among them."""
        runs = sum(item.runs for item in self.busy.values())
        return sum(busy * item.runs for busy, item in self.busy.items()) / runs if runs else 1.0


@dataclass(frozen=True, slots=True)
class Account:
    """All slices added up, and when it happened. `ran` holds keys that ran at all."""

    whole: Slice
    timeline: Timeline
    ran: Mapping[Key, Ran]
    rates: Mapping[Key, float]

    def runs(self, key: Key) -> Runs:
        """What was counted of a key, nothing where it was never seen."""
        return self.whole.runs.get(key) or Runs()

    def count(self, key: Key) -> int:
        """How often it ran."""
        return self.ran[key].count if key in self.ran else 0

    def rate(self, key: Key) -> float:
        """Runs per second, over the time in which everything was counted."""
        return self.rates.get(key, 0.0)


def account_of(measured: Measured) -> Account:
    """The sum of everything measured; costs one pass over the slices."""
    slices = sorted(measured.slices, key=lambda slice_: slice_.start_s)
    begins = slices[0].start_s if slices else 0
    lasts = max((slice_.start_s + slice_.length_s for slice_ in slices), default=60) - begins
    whole = coarsened(slices, begins, lasts)
    ran = {key: _ran(runs) for key, runs in whole.runs.items() if runs.run.count}
    timeline = timeline_of(slices, _counted_until(measured))
    return Account(whole, timeline, ran, timeline.runs_per_s())


def _counted_until(measured: Measured) -> float | None:
    """Each worker writes now and then: up to the earliest of the last times everything is there."""
    return min((worker.at_s for worker in measured.workers if not worker.gone), default=None)


def _ran(runs: Runs) -> Ran:
    counted = sum(item.runs for item in runs.busy.values())
    cpu_ns = sum(item.cpu_ns for item in runs.busy.values())
    cpu_s = cpu_ns / NS / counted if counted and cpu_ns else None
    return Ran(runs.run.count, runs.run.mean_s, cpu_s, scatter(runs.run), runs.busy)


def scatter(sketch: Sketch) -> float:
    """The squared coefficient of variation, from the buckets; 0 of nothing."""
    count = sketch.count
    if not count or not sketch.total_ns:
        return 0.0
    mean = sketch.mean_s
    square = sum(number * middle(bucket) ** 2 for bucket, number in sketch.buckets.items()) / count
    return max(0.0, square / mean**2 - 1)


def overhead(sketches: Iterable[Sketch], pool: str) -> Overhead:
    """What a worker adds to a run: the mean of the gaps without those far beyond the usual, or the assumption."""
    gaps = Sketch()
    for sketch in sketches:
        gaps.merge(sketch)
    if gaps.count < LEAST_RUNS:
        assumed = ASSUMED_TURNAROUND_S.get(pool, ASSUMED_OTHER_S)
        return Overhead(assumed, assumed, measured=False)
    most = _OUTLYING * max(gaps.quantile(0.5), gaps.low_ns / NS)
    usual = {bucket: number for bucket, number in gaps.buckets.items() if middle(bucket) <= most}
    count = gaps.zeros + sum(usual.values())
    seconds = sum(number * middle(bucket) for bucket, number in usual.items()) / count
    return Overhead(seconds, 0.1 * seconds, measured=True)
