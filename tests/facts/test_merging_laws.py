"""Merging what probes counted: in any order and grouping the same, and nothing gained or lost by coarser time."""

import copy

from hypothesis import given, settings
from hypothesis import strategies as st

from counted import slices
from tidegate.facts.measured import FIRINGS_FOLLOWED, OTHERS, TICKS, Followed, Key, Runs, Slice, Tick
from tidegate.facts.merging import coarsened, keep_followed, keep_keys, merge_runs, merge_slice

BASE_S = 1_700_000_100
groups = st.lists(slices(), min_size=1, max_size=4)


def merged(parts: list[Slice]) -> Slice:
    whole = Slice(parts[0].start_s)
    for part in copy.deepcopy(parts):
        merge_slice(whole, part)
    return whole


def totals(slice_: Slice) -> Runs:
    """All runs as if they were one key's."""
    total = Runs()
    for runs in copy.deepcopy(slice_).runs.values():
        merge_runs(total, runs)
    return total


def in_ticks(ticks: dict[int, Tick]) -> tuple[int, ...]:
    return tuple(map(sum, zip(*ticks.values(), strict=True))) if ticks else (0, 0, 0)


@given(groups, st.randoms(use_true_random=False))
def test_the_order_in_which_processes_are_merged_does_not_matter(parts, chance):
    shuffled = chance.sample(parts, len(parts))

    assert merged(parts) == merged(shuffled)


@given(slices(), slices(), slices())
def test_the_grouping_in_which_processes_are_merged_does_not_matter(one, two, three):
    assert merged([merged([one, two]), three]) == merged([one, merged([two, three])])


@given(groups)
def test_merging_leaves_what_is_merged_as_it_was(parts):
    before = copy.deepcopy(parts)
    whole = Slice(parts[0].start_s)
    for part in parts:
        merge_slice(whole, part)
    for part in parts:
        merge_slice(whole, part)

    assert parts == before


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 9), slices()), min_size=1, max_size=4))
def test_coarser_time_keeps_every_total(placed):
    parts = []
    for minute, slice_ in placed:
        slice_.start_s = 1_700_000_400 + 60 * minute
        parts.append(slice_)
    whole = coarsened(parts, 1_700_000_400, 600)
    expected = merged([*parts])
    seen, wanted = totals(whole), totals(expected)

    assert (seen.run, seen.wait, seen.outcomes, seen.busy) == (wanted.run, wanted.wait, wanted.outcomes, wanted.busy)
    assert in_ticks(seen.ticks) == tuple(map(sum, zip(*(in_ticks(totals(part).ticks) for part in parts), strict=True)))
    looks = sum(depth.looks for part in parts for ticks in part.depths.values() for depth in ticks.values())
    assert sum(depth.looks for ticks in whole.depths.values() for depth in ticks.values()) == looks


def test_a_tick_of_a_minute_goes_to_the_tick_of_the_hour_that_holds_it():
    part = Slice(7200 + 600)
    part.runs[Key("t", "q")] = Runs(ticks={0: Tick(1, 5, 0), TICKS - 1: Tick(2, 7, 1)})
    whole = coarsened([part], 7200, 3600)

    assert whole.runs[Key("t", "q")].ticks == {2: Tick(3, 12, 1)}


@given(st.lists(st.dictionaries(st.integers(0, 2**32 - 1), st.builds(Followed, st.just(1), st.just(1)), max_size=50)))
def test_the_firings_followed_are_those_of_the_smallest_hashes_however_they_come(parts):
    together = Slice(BASE_S)
    for part in parts:
        one = Slice(BASE_S)
        one.followed["entry"] = dict(part)
        keep_followed(one.followed["entry"])
        merge_slice(together, one)
    smallest = sorted({root for part in parts for root in part})[:FIRINGS_FOLLOWED]

    assert sorted(together.followed.get("entry", {})) == smallest


@given(slices(), st.integers(1, 4))
def test_keys_beyond_those_that_are_kept_are_counted_as_others_and_no_run_is_lost(slice_, most):
    before, keys = totals(slice_), len(slice_.runs)
    busiest = max((runs.run.total_ns for runs in slice_.runs.values()), default=0)
    keep_keys(slice_, most)
    after = totals(slice_)

    assert len(slice_.runs) <= max(most, 1)
    assert (after.run, after.wait, after.outcomes) == (before.run, before.wait, before.outcomes)
    if keys > most > 1:
        assert OTHERS in slice_.runs
        assert max(runs.run.total_ns for key, runs in slice_.runs.items() if key != OTHERS) == busiest
