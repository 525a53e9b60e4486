"""Slices as probes count them, at random, for tests of merging and of keeping them."""

from hypothesis import strategies as st

from tidegate.facts.measured import OUTCOMES, TICKS, Busy, Depth, Followed, Key, Lag, Runs, Slice, Tick
from tidegate.facts.merging import keep_followed
from tidegate.facts.sketch import Sketch

#: Whole microseconds, as runs are timed.
durations = st.integers(0, 4_000_000_000).map(lambda us: us / 1e6)
sketches = st.lists(durations, max_size=12).map(Sketch.of)
counts = st.integers(0, 10_000)
times_ns = st.integers(0, 10**15)
names = st.sampled_from(["a", "b", "proj.tasks.refresh", "celery", "hipri", "größe"])
ticks = st.integers(0, TICKS - 1)


def counters(keys):
    return st.dictionaries(keys, st.integers(1, 10_000), max_size=4)


@st.composite
def runs(draw):
    counted = Runs(run=draw(sketches), wait=draw(sketches), firings=draw(counts), odd_stamps=draw(counts))
    counted.outcomes.update(draw(counters(st.sampled_from(OUTCOMES))))
    counted.children.update(draw(counters(names)))
    counted.busy = draw(st.dictionaries(st.integers(1, 64), st.builds(Busy, counts, times_ns, times_ns), max_size=4))
    counted.ticks = draw(st.dictionaries(ticks, st.builds(Tick, counts, times_ns, counts), max_size=6))
    return counted


@st.composite
def slices(draw, start_s=1_700_000_040, length_s=60):
    slice_ = Slice(start_s, length_s)
    slice_.runs = draw(st.dictionaries(st.builds(Key, names, names, names), runs(), max_size=4))
    slice_.turnaround = draw(st.dictionaries(names, sketches, max_size=2))
    roots = st.dictionaries(st.integers(0, 2**32 - 1), st.builds(Followed, counts, times_ns), max_size=40)
    slice_.followed = draw(st.dictionaries(names, roots, max_size=2))
    for firings in slice_.followed.values():
        keep_followed(firings)
    depths = st.dictionaries(ticks, st.builds(Depth, counts, counts), max_size=3)
    slice_.depths = draw(st.dictionaries(names, depths, max_size=2))
    slice_.ahead = draw(st.dictionaries(names, durations, max_size=2))
    slice_.lags = draw(st.dictionaries(names, st.builds(Lag, st.integers(1, 99), durations), max_size=2))
    slice_.counts.update(draw(counters(names)))
    return slice_
