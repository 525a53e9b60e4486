"""Scenarios in a few words, and their outcomes: one host and one task, unless told otherwise."""

import random
from dataclasses import replace

from tidegate.facts.laws import Constant, Exponential
from tidegate.facts.scenario import (
    Arrivals,
    BrokerSettings,
    Entry,
    HostEvent,
    HostGroup,
    RunSettings,
    Scenario,
    TaskLoad,
)
from tidegate.model.simulate.building import started
from tidegate.model.simulate.simulate import simulate

TASK = "work"


def streams(seed):
    """Chance as the command line gives it."""
    return lambda number: lambda purpose: random.Random(f"{seed}/{number}/{purpose}").random


def a_host(**changes):
    return HostGroup(**{"name": "host"} | changes)


def a_task(**changes):
    return TaskLoad(**{"name": TASK, "run": Constant(1.0)} | changes)


def an_entry(every_s=1.0, **changes):
    return Entry(**{"name": "entry", "task": TASK, "every_s": every_s} | changes)


def at(*times_s, **changes):
    """Arrivals at these moments."""
    return Arrivals(**{"name": "recorded", "task": TASK, "times_s": times_s} | changes)


def visitors(rate_per_s, **changes):
    return Arrivals(**{"name": "visitors", "task": TASK, "rate_per_s": rate_per_s} | changes)


def dies(at_s, host="host", count=None):
    return HostEvent(at_s=at_s, kind="kill", host=host, count=count)


def returns(at_s, host="host", count=None):
    return HostEvent(at_s=at_s, kind="return", host=host, count=count)


def a_scenario(
    *sources, hosts=None, tasks=None, events=(), broker=None, lasts_s=100.0, warmup_s=0.0, runs=1, mode="events"
):
    return Scenario(
        hosts=hosts or (a_host(),),
        tasks=tasks or (a_task(),),
        entries=tuple(source for source in sources if isinstance(source, Entry)),
        arrivals=tuple(source for source in sources if isinstance(source, Arrivals)),
        events=events,
        broker=broker or BrokerSettings(),
        run=RunSettings(duration_s=lasts_s, warmup_s=warmup_s, runs=runs, mode=mode),
    )


def outcome(scenario, seed=1):
    return simulate(scenario, streams(seed), "1")


def fluid(scenario):
    return outcome(replace(scenario, run=replace(scenario.run, mode="fluid")))


def played(scenario, seed=1, until_s=None):
    """The cluster itself, event by event to the end: for looking at every message."""
    cluster = started(scenario, streams(seed)(0))
    cluster.run_until(scenario.run.duration_s if until_s is None else until_s)
    return cluster


def markov(slots=1, utilisation=0.8, lasts_s=20_000.0, runs=1, law=None, source=None):
    """M/M/c, or with another law of service M/G/c; run times are 1 s on average. A tenth of the time is warm-up."""
    source = source or visitors(slots * utilisation)
    return a_scenario(source, hosts=(a_host(slots=slots),), tasks=(a_task(run=law or Exponential(1.0)),), lasts_s=lasts_s,
                      warmup_s=lasts_s / 10, runs=runs)  # fmt: skip
