"""The formulas behind a plan, each against a closed form or against trying everything."""

import itertools
import math
import random

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tidegate.model.plan.bounds import largest, overload, scaled, split, utilisations
from tidegate.model.plan.confidence import half_width, t_95
from tidegate.model.plan.contention import Demand, run_s, waiting_part
from tidegate.model.plan.freshness import (
    age_captured_at_publish_s,
    age_read_at_run_s,
    freshest_captured_at_publish_s,
)
from tidegate.model.plan.reach import Supply, reachable_slots, tightest
from tidegate.model.plan.waiting import erlang_c, mean_wait_s, slots_for_wait

QUEUES = ("a", "b", "c", "d")
loads = st.dictionaries(st.sampled_from(QUEUES), st.floats(0.01, 20), min_size=1)
supplies = st.lists(
    st.tuples(st.frozensets(st.sampled_from(QUEUES), min_size=1), st.floats(0.1, 20)), min_size=1, max_size=4
).map(lambda rows: [Supply(f"pool {n}", queues, slots) for n, (queues, slots) in enumerate(rows)])


def subsets(names):
    return (
        frozenset(part) for size in range(1, len(names) + 1) for part in itertools.combinations(sorted(names), size)
    )


@given(loads, supplies)
def test_a_load_fits_exactly_if_every_set_of_queues_fits_the_slots_it_can_reach(load, supply):
    lacks = {queues: sum(load[q] for q in queues) - reachable_slots(queues, supply) for queues in subsets(load)}
    cut = tightest(load, supply)
    if cut is None:
        assert max(lacks.values()) <= 1e-6
    else:
        assert lacks[cut.queues] == pytest.approx(max(lacks.values()), abs=1e-6)


@given(loads, loads, supplies)
def test_where_the_rest_fits_the_largest_factor_is_the_smallest_that_any_set_of_queues_allows(moving, rest, supply):
    rest = {queue: load / 40 for queue, load in rest.items()}
    assume(tightest(rest, supply) is None)
    bound = largest(moving, rest, supply)
    allowed = []
    for queues in subsets({*moving, *rest}):
        share = sum(moving.get(q, 0.0) for q in queues)
        room = reachable_slots(queues, supply) - sum(rest.get(q, 0.0) for q in queues)
        if share > 0:
            allowed.append(max(0.0, room / share))
    assert bound.factor == pytest.approx(min(allowed), rel=1e-6, abs=1e-6)


A_ALONE, B_ALONE, BOTH = (
    Supply("a", frozenset("a"), 2.0),
    Supply("b", frozenset("b"), 1.0),
    Supply("ab", frozenset("ab"), 1.0),
)


@pytest.mark.parametrize(
    ("rest", "supply", "factor"),
    [
        ({"b": 5.0}, [A_ALONE, B_ALONE], 2.0),
        ({"b": 5.0}, [A_ALONE], 2.0),
        ({"b": 5.0}, [A_ALONE, B_ALONE, BOTH], 2.0),
        ({"b": 5.0}, [B_ALONE, BOTH], 0.0),
        ({"a": 5.0}, [A_ALONE], 0.0),
    ],
    ids=["of its own", "that nobody consumes", "that takes what is shared", "that takes all there is", "of ours"],
)
def test_a_hopeless_queue_is_a_limit_only_where_it_takes_our_slots(rest, supply, factor):
    bound = largest({"a": 1.0}, rest, supply)
    assert bound.factor == pytest.approx(factor)
    assert bound.cut.queues == ({"a"} if factor else set(rest))


@given(loads, supplies)
def test_no_supply_is_busier_than_the_worst_set_of_queues_and_none_is_forgotten(load, supply):
    shares = utilisations(load, supply)
    worst = max(
        sum(load[q] for q in queues) / slots if (slots := reachable_slots(queues, supply)) else 0.0
        for queues in subsets(load)
    )
    assert shares.keys() == {each.name for each in supply}
    assert max(shares.values()) <= worst * (1 + 1e-6) or math.isinf(max(shares.values()))


def test_what_stays_behind_is_the_share_that_no_slot_is_left_for():
    short = overload({"a": 3.0, "b": 0.1}, [Supply("p", frozenset("a"), 2.0), Supply("q", frozenset("b"), 1.0)])
    assert short.cut.queues == {"a"}
    assert short.surplus_share == pytest.approx(1 / 3)


def test_a_queue_that_nobody_consumes_keeps_everything_back():
    assert overload({"a": 1.0}, [Supply("p", frozenset("b"), 5.0)]).surplus_share == 1.0


def test_at_the_target_utilisation_every_slot_counts_for_a_part_of_one():
    assert [supply.slots for supply in scaled([Supply("p", frozenset("a"), 5.0)], 0.8)] == [pytest.approx(4.0)]


@given(
    st.dictionaries(st.text("xyz", min_size=1), st.tuples(st.floats(0.1, 100), st.floats(0.1, 10)), min_size=1),
    st.floats(0.1, 50),
)
def test_the_best_split_fills_the_room_and_no_shift_between_two_entries_is_better(rows, room):
    works, weights = {n: w for n, (w, _) in rows.items()}, {n: w for n, (_, w) in rows.items()}
    intervals = split(works, weights, room)
    assert sum(works[n] / intervals[n] for n in works) == pytest.approx(room)
    # At the optimum the gain from a little more room is the same for all: w·T²/W.
    gains = [weights[n] * intervals[n] ** 2 / works[n] for n in works]
    assert max(gains) == pytest.approx(min(gains), rel=1e-6)


# Tables of the Erlang C formula, as in any text on telephone traffic.
@pytest.mark.parametrize(
    ("slots", "offered", "probability"), [(1, 0.5, 0.5), (2, 1.0, 1 / 3), (4, 3.2, 0.5964), (10, 8.0, 0.4092)]
)
def test_the_chance_to_wait_is_that_of_the_tables(slots, offered, probability):
    assert erlang_c(slots, offered) == pytest.approx(probability, abs=1e-4)


@pytest.mark.parametrize("load", [0.1, 0.5, 0.9])
def test_waits_are_the_closed_forms_where_there_is_one(load):
    assert mean_wait_s(1, load, 1.0) == pytest.approx(load / (1 - load))
    assert mean_wait_s(1, load, 1.0, 1.0, 0.0) == pytest.approx(load / (1 - load) / 2)
    assert mean_wait_s(1, load, 1.0, 1.0, 3.0) == pytest.approx(load / (1 - load) * 2)


@pytest.mark.parametrize("load", [0.3, 0.5, 0.7, 0.9])
def test_waits_of_regular_arrivals_are_within_three_per_cent_of_d_m_1(load):
    root = 0.5
    for _ in range(200):
        root = math.exp(-(1 - root) / load)
    truth = root / (1 - root)
    assert mean_wait_s(1, load, 1.0, 0.0, 1.0) == pytest.approx(truth, rel=0.03, abs=0.003)


@given(st.floats(0.1, 30), st.floats(0.01, 2), st.floats(0.001, 100), st.floats(0, 5))
def test_no_fewer_slots_keep_the_wait_below_the_target(rate, run, target, wildness):
    slots = slots_for_wait(target, rate, run, wildness)
    assert mean_wait_s(slots, rate, run, 1.0, wildness) <= target
    assert slots == 1 or mean_wait_s(slots - 1, rate, run, 1.0, wildness) > target


def test_processes_that_only_compute_share_the_cores_evenly():
    assert [run_s(busy, 2.0, Demand(0.1, 0.0)) for busy in (1, 2, 3, 4)] == pytest.approx([0.1, 0.1, 0.15, 0.2])


def test_processes_that_only_wait_do_not_disturb_one_another():
    assert run_s(50, 2.0, Demand(0.0, 0.3)) == 0.3


def test_one_core_and_a_wait_is_the_machine_repair_model():
    """With exponential times, N machines and one repairer: throughput from the closed form of Erlang's loss system."""
    cpu, other, busy = 0.2, 0.5, 6
    terms = [math.factorial(busy) / math.factorial(busy - n) * (cpu / other) ** n for n in range(busy + 1)]
    throughput = (1 - terms[0] / sum(terms)) / cpu
    assert run_s(busy, 1.0, Demand(cpu, other)) == pytest.approx(busy / throughput)


@example(0.75, 0.75, 52, 13.462890625)
@given(st.floats(0.001, 1), st.floats(0, 1), st.integers(1, 64), st.floats(0.5, 16))
def test_the_waiting_part_is_found_again_from_the_run_time_that_follows_from_it(cpu, other, busy, cores):
    measured = run_s(busy, cores, Demand(cpu, other))
    assert run_s(busy, cores, Demand(cpu, waiting_part(busy, cores, measured, cpu))) == pytest.approx(
        measured, rel=1e-3
    )


@given(st.floats(0.001, 1), st.floats(0, 1), st.floats(0.5, 16))
def test_more_busy_slots_never_make_a_run_shorter(cpu, other, cores):
    times = [run_s(busy, cores, Demand(cpu, other)) for busy in range(1, 20)]
    assert all(later >= earlier * (1 - 1e-9) for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize(("scatter", "utilisation"), [(1.0, 0.515), (0.0, 0.999)])
def test_the_freshest_interval_for_data_captured_at_publish_is_where_theory_has_it(scatter, utilisation):
    assert 1 / freshest_captured_at_publish_s(1.0, scatter) == pytest.approx(utilisation, abs=0.01)


def test_a_value_read_at_run_gets_fresher_until_the_workers_are_saturated_and_no_further():
    ages = [age_read_at_run_s(interval, 1.2, 0.06) for interval in (3.0, 2.0, 1.2, 1.0, 0.1)]
    assert ages == sorted(ages, reverse=True)
    assert ages[2] == ages[3] == ages[4] == pytest.approx(0.66)


def test_a_value_captured_at_publish_grows_old_without_end_from_the_edge_on():
    assert age_captured_at_publish_s(1.2, 1.2, 0.5) == math.inf


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.706), (9, 2.262), (10, 2.228), (20, 2.086), (60, 2.0003)])
def test_student_s_t_is_that_of_the_tables(freedom, quantile):
    assert t_95(freedom) == pytest.approx(quantile, rel=0.002)


def correlated(count, seed, again=0.8):
    """A sequence in which every value keeps most of the one before; its mean is 0."""
    chance, value = random.Random(seed), 0.0
    for _ in range(200 + count):
        value = again * value + chance.gauss(0, 1)
        yield value


@pytest.mark.parametrize("again", [0.0, 0.8], ids=["independent", "each like the one before"])
def test_the_interval_covers_the_truth_nineteen_times_in_twenty(again):
    covered = 0
    for seed in range(400):
        values = list(correlated(400, seed, again))[200:]
        mean = sum(values) / len(values)
        covered += abs(mean) <= half_width([value - mean for value in values]) / len(values)
    assert covered / 400 >= 0.9
