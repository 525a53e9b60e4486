"""Slices of several processes and stretches merge into one in any order, and lose nothing on the way."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tidegate.facts.measured import (
    FIRINGS_FOLLOWED,
    OTHERS,
    TICKS,
    Busy,
    Depth,
    Followed,
    Key,
    Lag,
    Runs,
    Slice,
    Tick,
)
from tidegate.facts.merging import coarsened, keep_keys, merge_slice
from tidegate.facts.sketch import Sketch

names = st.sampled_from(("a", "b", "c"))
few = st.integers(0, 50)
sketches = st.lists(st.floats(0, 100), max_size=5).map(Sketch.of)
ticks = st.dictionaries(st.integers(0, TICKS - 1), st.builds(Tick, few, few, few), max_size=4)
all_runs = st.builds(
    Runs,
    run=sketches,
    wait=sketches,
    outcomes=st.dictionaries(names, few, max_size=2).map(Counter),
    firings=few,
    children=st.dictionaries(names, few, max_size=2).map(Counter),
    busy=st.dictionaries(st.integers(1, 8), st.builds(Busy, few, few, few), max_size=3),
    ticks=ticks,
    odd_stamps=few,
)


def slices(start_s):
    return st.builds(
        Slice,
        start_s=st.just(start_s),
        length_s=st.just(60),
        runs=st.dictionaries(st.builds(Key, names, names, names), all_runs, max_size=4),
        turnaround=st.dictionaries(names, sketches, max_size=2),
        followed=st.dictionaries(
            names, st.dictionaries(st.integers(0, 99), st.builds(Followed, few, few), max_size=40), max_size=2
        ),
        depths=st.dictionaries(
            names, st.dictionaries(st.integers(0, TICKS - 1), st.builds(Depth, few, few), max_size=3), max_size=2
        ),
        ahead=st.dictionaries(names, st.floats(0, 10), max_size=2),
        lags=st.dictionaries(names, st.builds(Lag, few, st.floats(0, 10)), max_size=2),
        counts=st.dictionaries(names, few, max_size=2).map(Counter),
    )


def whole(*parts):
    result = Slice(0)
    for part in parts:
        merge_slice(result, part)
    return result


def without_zeros(slice_):
    """Counters that hold a zero are those that hold nothing."""
    for runs in slice_.runs.values():
        runs.outcomes, runs.children = +runs.outcomes, +runs.children
    slice_.counts = +slice_.counts
    return slice_


@given(slices(0), slices(0), slices(0))
def test_processes_of_one_stretch_merge_alike_in_any_order(a, b, c):
    assert without_zeros(whole(a, b, c)) == without_zeros(whole(c, a, b)) == without_zeros(whole(b, whole(c, a)))


@given(slices(0), slices(60), slices(120))
def test_stretches_in_a_row_become_one_that_has_all_their_runs_firings_and_looks(a, b, c):
    parts = [a, b, c]
    one = coarsened(parts, 0, 300)
    for field in ("runs", "run_ns", "firings"):
        assert total(one, field) == sum(total(part, field) for part in parts)
    assert runs_of(one) == sum(runs_of(part) for part in parts)
    assert looks_of(one) == sum(looks_of(part) for part in parts)


def total(slice_, field):
    return sum(getattr(tick, field) for runs in slice_.runs.values() for tick in runs.ticks.values())


def runs_of(slice_):
    return sum(runs.run.count for runs in slice_.runs.values())


def looks_of(slice_):
    return sum(depth.looks for ticks in slice_.depths.values() for depth in ticks.values())


def test_what_happened_stays_where_it_was_in_time():
    late = Slice(240, 60)
    late.runs[Key("a", "q")] = Runs(ticks={11: Tick(5, 5, 0)})
    assert coarsened([late], 0, 300).runs[Key("a", "q")].ticks == {11: Tick(5, 5, 0)}
    assert coarsened([late], 240, 600).runs[Key("a", "q")].ticks == {1: Tick(5, 5, 0)}


@given(slices(0), slices(0))
def test_every_process_follows_the_same_firings_those_with_the_smallest_hashes(a, b):
    for entry, firings in whole(a, b).followed.items():
        hashes = sorted({*a.followed.get(entry, {}), *b.followed.get(entry, {})})
        assert sorted(firings) == hashes[:FIRINGS_FOLLOWED]


@given(slices(0), st.integers(1, 4))
def test_where_there_are_too_many_keys_the_least_busy_are_counted_together(slice_, most):
    before, keys = runs_of(slice_), len(slice_.runs)
    keep_keys(slice_, most)
    assert runs_of(slice_) == before
    assert len(slice_.runs) <= max(most, 1)
    assert (OTHERS in slice_.runs) == (keys > most)


@given(slices(0), slices(60))
def test_merging_leaves_what_is_merged_as_it_was(a, b):
    before = repr(a), repr(b)
    coarsened([a, b], 0, 300)
    assert (repr(a), repr(b)) == before
