"""The simulator against closed forms, an independent simulator, and itself on another path."""

import math
from dataclasses import replace
from itertools import pairwise

import ciw
import numpy
import pytest

from model.scenarios import a_host, a_scenario, a_task, an_entry, markov, outcome, played, streams, visitors
from tidegate.facts.laws import Bimodal, Constant, Exponential, Lognormal, Uniform
from tidegate.model.plan.confidence import t_95
from tidegate.model.plan.waiting import erlang_c, mean_wait_s
from tidegate.model.simulate.building import build, started
from tidegate.model.simulate.drawing import scatter
from tidegate.model.simulate.fifo import Fifo, serves
from tidegate.model.simulate.outcome import outcome as outcome_of
from tidegate.model.simulate.playing import drive


def wait_of(scenario, seed=1):
    return outcome(scenario, seed).tasks[0].wait


@pytest.mark.parametrize(("slots", "utilisation"), [(1, 0.5), (1, 0.8), (2, 0.7), (4, 0.8), (8, 0.9), (50, 0.95)])
def test_the_mean_wait_of_independent_visitors_is_that_of_erlang_c(slots, utilisation):
    wait = wait_of(markov(slots, utilisation, lasts_s=max(30_000 / slots, 2000), runs=10))
    exact = erlang_c(slots, slots * utilisation) / (slots - slots * utilisation)

    assert abs(wait.mean - exact) <= 1.5 * wait.error
    assert wait.error < 0.25 * exact


@pytest.mark.parametrize(
    "law",
    [Constant(1.0), Uniform(0.5, 1.5), Exponential(1.0), Lognormal(1.0, 1.5), Bimodal(0.5, 5.5, 0.1)],
    ids=lambda law: type(law).__name__,
)
def test_the_mean_wait_with_any_law_of_service_is_that_of_pollaczek_and_khinchine(law):
    wait = wait_of(markov(1, 0.7, lasts_s=30_000, runs=10, law=law))
    exact = 0.7 * (1 + scatter(law)) / (2 * (1 - 0.7))

    assert abs(wait.mean - exact) <= 1.5 * wait.error
    assert wait.error < 0.25 * exact


def root_of_d_m_1(utilisation):
    """The root of β = exp(−(1 − β)/ρ) below 1: in D/M/1 the mean wait is β/(1 − β) run times."""
    beta = 0.5
    for _ in range(1000):
        beta = math.exp(-(1 - beta) / utilisation)
    return beta


@pytest.mark.parametrize("utilisation", [0.5, 0.7, 0.85])
def test_the_mean_wait_behind_a_timer_is_that_of_d_m_1(utilisation):
    timer = an_entry(1 / utilisation)
    wait = wait_of(markov(source=timer, lasts_s=20_000, runs=10))
    beta = root_of_d_m_1(utilisation)
    exact = beta / (1 - beta)

    assert abs(wait.mean - exact) <= 1.5 * wait.error
    assert wait.error < 0.25 * exact


@pytest.mark.parametrize("seeds", [100, pytest.param(150, marks=pytest.mark.proof)])
@pytest.mark.parametrize(("slots", "utilisation", "lasts_s", "runs"), [(1, 0.7, 20_000, 1), (4, 0.8, 800, 4)])
def test_the_stated_error_covers_the_truth_in_about_95_percent_of_all_seeds(slots, utilisation, lasts_s, runs, seeds):
    exact = mean_wait_s(slots, slots * utilisation, 1.0)
    waits = [wait_of(markov(slots, utilisation, lasts_s, runs), seed) for seed in range(seeds)]
    covered = sum(abs(wait.mean - exact) <= wait.error for wait in waits)

    assert 0.9 * len(waits) <= covered <= 0.99 * len(waits)


def test_the_error_is_that_of_the_runs_where_there_are_several():
    runs = [wait_of(markov(lasts_s=2000, runs=number)).mean for number in (1, 2)]
    both = wait_of(markov(lasts_s=2000, runs=2))

    assert runs[0] != runs[1]
    assert both.error > 0


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prefetch": 1},
        {"prefetch": 0},
        {"disable_prefetch": True},
        {"turnaround_s": 0.05, "latency_s": 0.02},
    ],
    ids=str,
)
@pytest.mark.parametrize("late", [False, True], ids=["acks early", "acks late"])
@pytest.mark.parametrize("slots", [1, 4])
def test_the_lean_path_gives_the_numbers_of_the_event_loop(changes, late, slots):
    scenario = a_scenario(
        visitors(0.85 * slots),
        visitors(0.05 * slots, name="others"),
        hosts=(a_host(slots=slots, **changes),),
        tasks=(a_task(run=Exponential(1.0), acks_late=late),),
        lasts_s=2000 / slots,
        warmup_s=200 / slots,
    )
    assert serves(scenario)
    lean = drive(scenario, Fifo(build(scenario, streams(1)(0))), lambda done, waiting: True)
    whole = drive(scenario, started(scenario, streams(1)(0)), lambda done, waiting: True)
    one, other = outcome_of(scenario, [lean], "1"), outcome_of(scenario, [whole], "1")

    assert one.messages == other.messages
    assert one.queues[0].most_depth == other.queues[0].most_depth
    assert one.queues[0].depth_at == other.queues[0].depth_at
    assert one.queues[0].depth.mean == pytest.approx(other.queues[0].depth.mean, abs=1e-9)
    assert one.queues[0].unacked.mean == pytest.approx(other.queues[0].unacked.mean)
    assert one.tasks[0].wait.mean == pytest.approx(other.tasks[0].wait.mean)
    assert one.tasks[0].wait.p95_s == other.tasks[0].wait.p95_s
    assert one.pools[0].busy_share.mean == pytest.approx(other.pools[0].busy_share.mean)


def test_priorities_on_two_slots_wait_as_ciw_says():
    """Two classes share M/M/2, the urgent one first, no run is broken off: two simulators, one answer."""
    rates, slots, lasts_s = (0.7, 0.9), 2, 20_000.0
    network = ciw.create_network(
        arrival_distributions={"urgent": [ciw.dists.Exponential(rates[0])], "other": [ciw.dists.Exponential(rates[1])]},
        service_distributions={"urgent": [ciw.dists.Exponential(1.0)], "other": [ciw.dists.Exponential(1.0)]},
        priority_classes={"urgent": 0, "other": 1},
        number_of_servers=[slots],
    )
    ciw.seed(1)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(lasts_s)
    records = [record for record in simulation.get_all_records() if record.arrival_date > lasts_s / 10]
    theirs = {name: batch_mean([r for r in records if r.customer_class == name]) for name in ("urgent", "other")}
    tasks = (
        a_task(name="urgent", run=Exponential(1.0), priority=0),
        a_task(name="other", run=Exponential(1.0), priority=9),
    )
    sources = [visitors(rate, name=task.name, task=task.name) for rate, task in zip(rates, tasks, strict=True)]
    answer = outcome(
        a_scenario(
            *sources,
            hosts=(a_host(slots=slots, disable_prefetch=True),),
            tasks=tasks,
            lasts_s=lasts_s,
            warmup_s=lasts_s / 10,
        )
    )

    for task in answer.tasks:
        mean, error = theirs[task.name]
        assert abs(task.wait.mean - mean) <= 1.5 * math.hypot(error, task.wait.error)
        assert math.hypot(error, task.wait.error) < 0.35 * mean
    assert answer.tasks[0].wait.mean < 0.5 * answer.tasks[1].wait.mean


def batch_mean(records):
    """The mean wait with an error from twenty batches."""
    waits = [record.waiting_time for record in sorted(records, key=lambda record: record.arrival_date)]
    size = len(waits) // 20
    means = [sum(waits[n * size : (n + 1) * size]) / size for n in range(20)]
    return sum(means) / 20, 2.09 * numpy.std(means, ddof=1) / math.sqrt(20)


AGES = {
    "M/M/1": (Exponential(1.0), None, lambda u: 1 + 1 / u + u**2 / (1 - u)),
    "D/M/1": (Exponential(1.0), "timer", lambda u: 1 / (2 * u) + 1 / (1 - root_of_d_m_1(u))),
    "M/D/1": (Constant(1.0), None, lambda u: 1 / (2 * (1 - u)) + 0.5 + (1 - u) * math.exp(u) / u),
}


def age_scenario(name, utilisation, lasts_s, runs=1):
    law, timer, _ = AGES[name]
    entry = an_entry(1 / utilisation) if timer else an_entry(0.0, gaps=Exponential(1 / utilisation))
    return replace(markov(source=entry, law=law, lasts_s=lasts_s), run=replace(markov().run, duration_s=lasts_s,
                   warmup_s=lasts_s / 10, runs=runs))  # fmt: skip


@pytest.mark.parametrize("name", AGES)
@pytest.mark.parametrize("utilisation", [0.3, 0.53, 0.75])
def test_the_age_of_a_value_captured_at_publish_is_that_of_the_literature(name, utilisation):
    age = outcome(age_scenario(name, utilisation, 3000, runs=8)).entries[0].age_read_at_publish_s
    exact = AGES[name][2](utilisation)

    assert abs(age.mean - exact) <= 1.5 * age.error
    assert age.error < 0.1 * exact


#: Where the literature has the smallest age of a value captured at publish: the utilisation.
OPTIMA = {"M/M/1": 0.531, "D/M/1": 0.517, "M/D/1": 0.629}
GRID = [0.35 + 0.05 * step for step in range(9)]


def optimum(name, lasts_s, seed):
    """The utilisation with the smallest age, from one seed for all of them: the least of a smooth curve through them.

    The curve has the terms of such ages: an interval, a part that is always there, and a wait that grows to the edge.
    """
    ages = [outcome(age_scenario(name, u, lasts_s), seed).entries[0].age_read_at_publish_s.mean for u in GRID]

    def terms(u):
        return numpy.stack([numpy.ones_like(u), 1 / u, u, 1 / (1 - u)], axis=1)

    curve, *_ = numpy.linalg.lstsq(terms(numpy.array(GRID)), numpy.array(ages), rcond=None)
    fine = numpy.linspace(GRID[0], GRID[-1], 2001)
    return float(fine[numpy.argmin(terms(fine) @ curve)])


def assert_the_optimum_is_found(name, lasts_s, seeds, within):
    found = [optimum(name, lasts_s, seed) for seed in range(seeds)]
    error = t_95(seeds - 1) * float(numpy.std(found, ddof=1)) / math.sqrt(seeds)

    assert abs(sum(found) / seeds - OPTIMA[name]) <= max(error, 0.004)
    assert error < within


@pytest.mark.parametrize("name", OPTIMA)
def test_the_freshest_utilisation_is_found_where_the_literature_has_it(name):
    assert_the_optimum_is_found(name, 3000.0, 8, within=0.05)


@pytest.mark.proof
@pytest.mark.parametrize("name", OPTIMA)
def test_the_freshest_utilisation_is_found_within_a_hundredth(name):
    assert_the_optimum_is_found(name, 30_000.0, 20, within=0.01)


def test_the_age_of_a_value_read_at_the_run_falls_until_the_workers_are_saturated_and_then_stays():
    ages = [
        outcome(age_scenario("D/M/1", u, 4000)).entries[0].age_read_at_run_s.mean for u in (0.3, 0.6, 0.9, 1.2, 2.0)
    ]

    assert ages[0] > ages[1] > ages[2]
    assert ages[3] == pytest.approx(ages[4], rel=0.1)
    assert all(one > other - 0.15 for one, other in pairwise(ages))


def test_the_same_seed_gives_the_same_answer_and_another_seed_another():
    scenario = markov(2, 0.7, 500)

    assert outcome(scenario, 7) == outcome(scenario, 7)
    assert outcome(scenario, 7) != outcome(scenario, 8)


def test_two_policies_meet_the_same_arrivals_and_the_same_run_times():
    """Common random numbers: what differs is what the policy did."""
    one = played(a_scenario(visitors(0.5), tasks=(a_task(run=Exponential(1.0)),)))
    other = played(a_scenario(visitors(0.5), hosts=(a_host(slots=3),), tasks=(a_task(run=Exponential(1.0)),)))

    assert one.kinds["work"].published == other.kinds["work"].published
    assert one.kinds["work"].runs.fresh[:5] == pytest.approx(sorted_as_started(other)[:5])


def sorted_as_started(cluster):
    """Run times in the order in which the messages were published."""
    draw = streams(1)(0)("run/work")
    return [-math.log(1.0 - draw()) for _ in cluster.kinds["work"].waits.fresh]
