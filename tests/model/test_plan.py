"""Plans against clusters whose truth is known: the edge follows from the work, whatever the load it was measured at."""

import random

import pytest
from cluster import CHILD, PARENT, Cluster, Task, an_entry, at_random, every, planned

from tidegate.facts.unknown import known

ADDED_S = 0.0014


def drawn(kind: str, mean_s: float, seed: int = 3):
    """A run time of this mean, from a law."""
    chance = random.Random(seed)
    laws = {
        "constant": lambda: mean_s,
        "exponential": lambda: chance.expovariate(1 / mean_s),
        "heavy-tailed": lambda: mean_s * (1.5 / 2.5) * chance.paretovariate(2.5),
        "bimodal": lambda: mean_s * (0.5 if chance.random() < 0.9 else 5.5),
    }
    return laws[kind]


def mean_of(cluster, task):
    runs = [runs.run for slice_ in cluster.slices.values() for key, runs in slice_.runs.items() if key.task == task]
    return sum(run.total_ns for run in runs) / sum(run.count for run in runs) / 1e9


@pytest.mark.parametrize("kind", ["constant", "exponential", "heavy-tailed", "bimodal"])
@pytest.mark.parametrize("load", [0.6, 0.9, 1.3], ids=lambda load: f"at {load} of the edge")
def test_the_edge_is_the_work_of_a_firing_over_the_slots_at_any_load(kind, load):
    cluster = Cluster([Task(CHILD, drawn(kind, 0.12))])
    interval = (0.12 + ADDED_S) / load
    measured = cluster.play(every(interval, CHILD), 600)
    plan = planned(measured, an_entry(interval_s=interval))
    [entry] = plan.entries
    truth = mean_of(cluster, CHILD) + ADDED_S
    assert entry.edge_interval_s == pytest.approx(truth, rel=0.01)
    assert entry.edge_interval_low_s < 0.12 + ADDED_S < entry.edge_interval_high_s
    assert entry.min_safe_interval_s.estimate == pytest.approx(truth / 0.8, rel=0.01)
    assert entry.safe is (load < 0.8)


@pytest.mark.parametrize("interval", [0.8, 1.0, 2.0])
def test_a_firing_that_fans_out_counts_whole_also_while_its_children_pile_up(interval):
    tasks = [Task(PARENT, lambda: 0.02, children={CHILD: 20}), Task(CHILD, lambda: 0.06)]
    measured = Cluster(tasks).play(every(interval, PARENT), 300)
    [entry] = planned(measured, an_entry(task=PARENT, interval_s=interval)).entries
    assert entry.runs_per_firing == pytest.approx(21)
    assert entry.work_s == pytest.approx(0.02 + 20 * 0.06)
    assert entry.edge_interval_s == pytest.approx(0.02 + 20 * 0.06 + 21 * ADDED_S, rel=0.01)


def test_without_a_schedule_the_interval_of_an_overloaded_entry_is_what_arrives_not_what_starts():
    measured = Cluster([Task(CHILD, lambda: 0.12)]).play(every(0.1, CHILD), 300)
    [entry] = planned(measured).entries
    assert entry.edge_interval_s == pytest.approx(0.1214, rel=0.01)
    assert entry.growth_per_s == pytest.approx(10 - 1 / 0.1214, rel=0.05)
    assert entry.interval_s == pytest.approx(0.1, rel=0.02)
    assert entry.safe is False
    assert "its interval as measured" in entry.basis


def test_growth_is_what_comes_beyond_what_the_workers_can_do():
    measured = Cluster([Task(CHILD, lambda: 0.12)]).play(every(0.1, CHILD), 300)
    [entry] = planned(measured, an_entry(interval_s=0.1)).entries
    assert entry.growth_per_s == pytest.approx(10 - 1 / 0.1214, rel=0.01)
    assert entry.safe is False


def test_other_tasks_take_their_part_of_the_slots():
    tasks = [Task(CHILD, lambda: 0.1), Task("other", lambda: 0.1)]
    sends = sorted(every(0.5, CHILD) + at_random(4.0, "other"))
    [entry] = planned(Cluster(tasks, slots=1).play(sends, 600), an_entry(interval_s=0.5)).entries
    rate = len(at_random(4.0, "other")) / 600
    assert entry.edge_interval_s == pytest.approx(0.1014 / (1 - rate * 0.1014), rel=0.02)


def test_with_one_of_two_hosts_lost_the_same_work_has_half_the_slots():
    cluster = Cluster([Task(CHILD, lambda: 0.12)], slots=2, nodes=("w1@a", "w2@b"))
    [entry] = planned(cluster.play(every(0.1, CHILD), 600), an_entry(interval_s=0.1)).entries
    [lost] = entry.with_hosts_lost
    assert entry.edge_interval_s == pytest.approx(0.1214 / 2, rel=0.01)
    assert entry.growth_per_s == 0
    assert lost.edge_interval_s == pytest.approx(0.1214, rel=0.01)
    assert lost.growth_per_s == pytest.approx(10 - 1 / 0.1214, rel=0.01)
    assert lost.safe is False


def test_processes_that_compute_share_their_cores_also_where_they_were_measured_nearly_alone():
    cluster = Cluster([Task(CHILD, lambda: 0.1, cpu_share=1.0)], slots=4, cores=2.0)
    plan = planned(cluster.play(every(0.2, CHILD), 600), an_entry(interval_s=0.2))
    [entry], [pool] = plan.entries, plan.pools
    assert entry.edge_interval_s == pytest.approx(0.1014 / 2, rel=0.02)
    assert pool.slots == 4
    assert pool.effective_slots == pytest.approx(2.0, rel=0.01)


def test_fewer_than_thirty_runs_give_no_number():
    measured = Cluster([Task(CHILD, lambda: 0.12)]).play(every(1.0, CHILD, lasts_s=20), 60)
    [entry] = planned(measured, an_entry()).entries
    assert entry.work_s.why == "fewer than 30 runs (20)"
    assert not known(entry.min_safe_interval_s)
    assert not known(entry.safe)
