"""Simulated tasks per second against Ciw's, on the same M/M/4 in the same run, interleaved; and what a fleet takes as a fluid."""

import random
import statistics
from collections.abc import Callable, Iterator

import ciw

from benchmarks.instruments import note, seconds
from benchmarks.measurements import Row
from tidegate.facts.laws import Exponential
from tidegate.facts.scenario import Arrivals, HostGroup, RunSettings, Scenario, TaskLoad
from tidegate.model.simulate.building import started
from tidegate.model.simulate.cluster import Cluster
from tidegate.model.simulate.outcome import outcome
from tidegate.model.simulate.playing import drive
from tidegate.model.simulate.simulate import simulate

SLOTS, UTILISATION, LASTS_S = 4, 0.8, 30_000.0
#: Ours goes on for longer: it would be over before the clock had told much.
LONGER = 4
PROMISED = 10.0


def streams(seed: int) -> Callable[[int], Callable[[str], Callable[[], float]]]:
    return lambda number: lambda purpose: random.Random(f"{seed}/{number}/{purpose}").random


def m_m_4(lasts_s: float) -> Scenario:
    """Four slots, independent visitors, exponential runs of a second."""
    return Scenario(
        hosts=(HostGroup(name="host", slots=SLOTS),),
        tasks=(TaskLoad(name="work", run=Exponential(1.0)),),
        arrivals=(Arrivals(name="visitors", task="work", rate_per_s=SLOTS * UTILISATION),),
        run=RunSettings(duration_s=lasts_s, warmup_s=lasts_s / 10),
    )


def a_fleet() -> Scenario:
    """Ten thousand hosts of eight slots, a million tasks a second, for a day."""
    return Scenario(
        hosts=(HostGroup(name="host", slots=8, count=10_000),),
        tasks=(TaskLoad(name="work", run=Exponential(0.07)),),
        arrivals=(Arrivals(name="visitors", task="work", rate_per_s=1e6),),
        run=RunSettings(duration_s=86_400.0, warmup_s=3600.0, mode="fluid"),
    )


def theirs(seed: int) -> tuple[float, float]:
    """(customers a second, mean wait in seconds) of Ciw, its records read as its documentation does."""
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(SLOTS * UTILISATION)],
        service_distributions=[ciw.dists.Exponential(1.0)],
        number_of_servers=[SLOTS],
    )
    ciw.seed(seed)
    simulation = ciw.Simulation(network)
    took_s = seconds(lambda: simulation.simulate_until_max_time(LASTS_S))
    waits = [record.waiting_time for record in simulation.get_all_records()]
    return len(waits) / took_s, statistics.fmean(waits)


def ours(seed: int) -> tuple[float, float]:
    """The same of `simulate`, with errors, quantiles and depths worked out: all that the command does."""
    scenario, answers = m_m_4(LONGER * LASTS_S), []
    took_s = seconds(lambda: answers.append(simulate(scenario, streams(seed), "")))
    return answers[0].messages.done / took_s, float(answers[0].tasks[0].wait.mean)


def event_by_event(seed: int) -> tuple[float, float]:
    """The same on the general path, which priorities, fan-out, policies and lost hosts need."""
    scenario, answers = m_m_4(LONGER * LASTS_S), []

    def play() -> None:
        cluster: Cluster = started(scenario, streams(seed)(0))
        answers.append(outcome(scenario, [drive(scenario, cluster, lambda done, waiting: True)], ""))

    took_s = seconds(play)
    return answers[0].messages.done / took_s, float(answers[0].tasks[0].wait.mean)


def simulations(rounds: int) -> Iterator[Row]:
    """Throughput on M/M/4, and the time of a fleet."""
    rates: dict[str, list[float]] = {"ciw": [], "simulate": [], "events": []}
    waits: dict[str, list[float]] = {"ciw": [], "simulate": [], "events": []}
    for seed in range(rounds):
        note(f"M/M/4, round {seed + 1} of {rounds}")
        for name, play in (("ciw", theirs), ("simulate", ours), ("events", event_by_event)):
            rate, wait = play(seed)
            rates[name].append(rate)
            waits[name].append(wait)
    middle = {name: statistics.median(values) for name, values in rates.items()}
    baseline = f"Ciw {middle['ciw']:,.0f}/s"
    ratio = middle["simulate"] / middle["ciw"]
    yield Row(
        "simulate, M/M/4", f"{middle['simulate']:,.0f} tasks/s", baseline, ratio, f"≥ {PROMISED:g}", ratio >= PROMISED
    )
    yield Row("  event by event", f"{middle['events']:,.0f} tasks/s", baseline, middle["events"] / middle["ciw"])
    mean = {name: statistics.fmean(values) for name, values in waits.items()}
    yield Row("  mean wait (exact: 0.746 s)", f"{mean['simulate']:.3f} s", f"Ciw {mean['ciw']:.3f} s")
    took_s = statistics.median(seconds(lambda: simulate(a_fleet(), streams(1), "")) for _ in range(rounds))
    yield Row("  a fleet as a fluid, 8.6e10 tasks", f"{took_s:.2f} s", promised="< 1 s", good=took_s < 1)
