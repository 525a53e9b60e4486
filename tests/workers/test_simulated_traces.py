"""Recorded real workers, replayed: with the arrivals and run times that were, the simulator says the waits that were."""

import pytest

from model.scenarios import a_host, a_scenario, a_task, at, outcome
from tidegate.facts.laws import Samples
from workers.record_trace import FIXTURES, Trace, load, record


def overheads(trace: Trace) -> tuple[float, float]:
    """(turnaround, latency): what the worker adds between two runs of a slot while messages wait, and to start an idle
    one. Both as the probe would measure them, from moments that the comparison does not look at by themselves."""
    begins = [published + wait for published, wait in zip(trace.published_s, trace.wait_s, strict=True)]
    gaps, starts, free_at = [], [], [0.0] * trace.slots
    for place in sorted(range(len(begins)), key=begins.__getitem__):
        before, slot = free_at[trace.slot[place]], trace.slot[place]
        if trace.published_s[place] < before:
            gaps.append(begins[place] - before)
        elif all(free < trace.published_s[place] for free in free_at):
            starts.append(trace.wait_s[place])
        free_at[slot] = begins[place] + trace.run_s[place]
    return sum(gaps) / len(gaps), sum(starts) / len(starts)


def replayed(trace: Trace):
    """The same arrivals and run times on a simulated worker."""
    turnaround_s, latency_s = overheads(trace)
    order = sorted(range(len(trace.run_s)), key=lambda place: trace.published_s[place] + trace.wait_s[place])
    host = a_host(slots=trace.slots, prefetch=trace.prefetch, turnaround_s=turnaround_s, latency_s=latency_s)
    task = a_task(run=Samples(tuple(trace.run_s[place] for place in order), replay=True))
    lasts_s = trace.published_s[-1] + 60.0
    return outcome(a_scenario(at(*trace.published_s), hosts=(host,), tasks=(task,), lasts_s=lasts_s)).tasks[0]


@pytest.mark.parametrize("name", FIXTURES)
def test_the_mean_wait_of_a_recorded_worker_is_met_within_five_percent(name):
    trace = load(name)
    task = replayed(trace)

    assert task.done == len(trace.wait_s)
    assert task.wait.mean == pytest.approx(trace.mean_wait_s, rel=0.05)
    assert task.wait.p95_s == pytest.approx(sorted(trace.wait_s)[int(0.95 * len(trace.wait_s))], rel=0.1)


@pytest.mark.parametrize("name", FIXTURES)
def test_the_recorded_workers_were_busy_enough_for_their_waits_to_say_something(name):
    trace = load(name)
    busy = sum(trace.run_s) / trace.slots / trace.published_s[-1]

    assert 0.65 < busy < 0.9
    assert trace.mean_wait_s > 0.05


@pytest.mark.proof
@pytest.mark.parametrize("name", FIXTURES)
def test_a_worker_recorded_afresh_is_met_within_five_percent(name):
    trace = record(**FIXTURES[name] | {"seed": 7})

    assert replayed(trace).wait.mean == pytest.approx(trace.mean_wait_s, rel=0.05)
