"""A scenario made from what the probe measured: it plays again what was measured."""

import random

import pytest

from model.cluster import CHILD, PARENT, Cluster, Task, a_worker, an_entry, at_random, every
from model.scenarios import outcome
from tidegate.errors import NothingFound
from tidegate.facts.laws import Constant
from tidegate.facts.measured import Key, Measured, Runs, Slice, Tick
from tidegate.facts.planned import Question
from tidegate.facts.seen import QueueSeen, ServerSeen
from tidegate.facts.sketch import Sketch
from tidegate.model.plan.contention import Demand, run_s
from tidegate.model.simulate.checking import check
from tidegate.model.simulate.drawing import mean_s
from tidegate.model.simulate.measured import scenario_of


def asked(measured, **changes):
    return Question(at="now", url="redis://localhost/0", measured=measured, **changes)


def a_story(interval_s=1.5):
    chance = random.Random(1)
    tasks = [Task(PARENT, lambda: 0.02, children={CHILD: 20}), Task(CHILD, lambda: chance.lognormvariate(-2.9, 0.5))]
    cluster = Cluster(tasks, nodes=("w1@one",))
    return cluster.play(every(interval_s, PARENT, lasts_s=1200) + at_random(1.0, CHILD, 1200), 1200)


def measured_wait_s(measured, task):
    waits = [runs.wait for slice_ in measured.slices for key, runs in slice_.runs.items() if key.task == task]
    return sum(wait.total_ns for wait in waits) / sum(wait.count for wait in waits) / 1e9


def test_it_has_the_workers_tasks_children_entries_and_visitors_that_were_seen():
    scenario = scenario_of(asked(a_story()))
    parent, child = sorted(scenario.tasks, key=lambda task: task.name, reverse=True)

    assert [(host.name, host.slots, host.queues) for host in scenario.hosts] == [("w1@one", 1, ("celery",))]
    assert (parent.name, parent.run, parent.children) == (PARENT, Constant(0.02), {CHILD: 20.0})
    assert mean_s(child.run) == pytest.approx(0.0624, rel=0.03)
    assert [(entry.name, entry.task, round(entry.every_s, 2)) for entry in scenario.entries] == [
        ("refresh", PARENT, 1.5)
    ]
    assert scenario.arrivals[0].rate_per_s == pytest.approx(1.0, rel=0.1)
    check(scenario)


def test_playing_it_gives_the_waits_that_were_measured():
    measured = a_story()
    answer = outcome(scenario_of(asked(measured)))

    for task in answer.tasks:
        assert task.wait.mean == pytest.approx(measured_wait_s(measured, task.name), abs=2 * task.wait.error)


def test_an_interval_that_was_too_short_grows_as_it_did():
    """Of firings that wait behind the backlog none has run, so what is measured of them alone would be too few."""
    schedule = (an_entry("refresh", PARENT, 1.0),)
    measured = Cluster(
        [Task(PARENT, lambda: 0.005, children={CHILD: 20}), Task(CHILD, lambda: 0.06)], nodes=("w1@one",)
    )
    answer = outcome(scenario_of(asked(measured.play(every(1.0, PARENT, lasts_s=1200), 1200), entries=schedule)))

    assert answer.sentence.startswith("celery never clears: it grows by ")


def test_the_schedule_s_interval_goes_before_the_measured_one():
    schedule = (an_entry("refresh", PARENT, 5.0, expires_s=4.0),)
    [entry] = scenario_of(asked(a_story(), entries=schedule)).entries

    assert (entry.every_s, entry.expires_s) == (5.0, 4.0)


def test_the_broker_s_memory_and_the_weight_of_messages_are_taken_over():
    server = ServerSeen(url="redis://localhost/0", db=0, server="valkey", version="9", used_memory_bytes=5_000_000,
                        maxmemory_bytes=9_000_000)  # fmt: skip
    queues = (QueueSeen(name="celery", depth=3, bytes_per_message=1234.4),)
    scenario = scenario_of(asked(a_story(), server=server, queues=queues, visibility_timeout_s=60.0))

    assert (scenario.broker.memory_limit_bytes, scenario.broker.memory_used_bytes) == (9_000_000, 5_000_000)
    assert scenario.broker.visibility_timeout_s == 60.0
    assert {task.bytes for task in scenario.tasks} == {1234}


def test_runs_that_slowed_one_another_down_are_taken_as_they_would_be_alone():
    """Four slots on two cores, all CPU: 0.2 s were measured of what takes 0.1 s alone, and four at once take 0.2 s again."""
    alone_s, cores = 0.1, 2.0
    measured_s = run_s(4, cores, Demand(alone_s, 0.0))
    cluster = Cluster([Task(CHILD, lambda: measured_s, cpu_share=alone_s / measured_s)], slots=4, nodes=("w1@one",),
                      cores=cores)  # fmt: skip
    [task] = (scenario := scenario_of(asked(cluster.play(at_random(60.0, CHILD, 300), 300)))).tasks
    answer = outcome(scenario)

    assert mean_s(task.run) == pytest.approx(alone_s, rel=0.1)
    assert task.cpu == pytest.approx(1.0, abs=0.1)
    assert answer.tasks[0].run.mean == pytest.approx(measured_s, rel=0.15)


def test_a_task_that_runs_in_two_queues_is_one_task_in_each():
    slice_ = Slice(1_790_000_040)
    for queue, count in (("celery", 40), ("slow", 20)):
        ticks = {tick: Tick(count // 2, count * 50_000_000, count // 2) for tick in (0, 11)}
        slice_.runs[Key("work", queue)] = Runs(run=Sketch.of([0.1] * count), firings=count, ticks=ticks)
    measured = Measured(at_s=1_790_000_100.0, slices=(slice_,), workers=(a_worker(queues=("celery", "slow")),))
    scenario = scenario_of(asked(measured))

    assert [(task.name, task.queue) for task in scenario.tasks] == [("work", "celery"), ("work (slow)", "slow")]
    check(scenario)


def test_retries_are_retries_and_no_children():
    slice_ = Slice(1_790_000_040)
    runs = Runs(run=Sketch.of([0.1] * 100), firings=80)
    runs.outcomes.update({"success": 80, "retry": 20})
    runs.children["work"] = 20
    slice_.runs[Key("work", "celery")] = runs
    [task] = scenario_of(asked(Measured(at_s=1_790_000_100.0, slices=(slice_,), workers=(a_worker(),)))).tasks

    assert task.children == {}
    assert task.retry is not None
    assert task.retry.share == pytest.approx(0.2)


def test_of_many_workers_those_that_are_alike_stand_together():
    measured = a_story()
    workers = tuple(a_worker(f"w{number}@h{number}") for number in range(100))
    scenario = scenario_of(asked(Measured(at_s=measured.at_s, slices=measured.slices, workers=workers)))

    assert [host.count for host in scenario.hosts] == [100]


def test_nothing_measured_is_said_and_no_scenario_made_up():
    with pytest.raises(NothingFound, match="nothing was measured there: install the probe"):
        scenario_of(asked(Measured(at_s=0.0)))
    with pytest.raises(NothingFound, match="no worker with the probe is alive there"):
        scenario_of(asked(Measured(at_s=0.0, slices=a_story().slices)))


def test_what_is_not_measured_is_said_in_the_notes():
    notes = scenario_of(asked(a_story())).notes

    assert notes[0].startswith("made from ")
    assert "prefetch" in notes[1]
