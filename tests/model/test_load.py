"""Intervals and capacity against what the simulated workers really can do."""

import pytest
from builders import a_flow, simulated_look
from judged import Judged, judged, watched
from simulated import FLUSH, REFRESH, Cluster, Job, Pool, fan_out

from tidegate.facts.unknown import Unknown
from tidegate.model.judgement import judge

MAIL, SLOW, OTHER = "app.tasks.send_mail", "app.tasks.report", "app.tasks.other"


@pytest.mark.parametrize("run_s", [0.03, 0.12, 0.5])
@pytest.mark.parametrize("factor", [1.2, 2.0])
def test_the_edge_of_a_task_alone_is_its_run_time(run_s, factor):
    task = watched(Cluster().every(run_s / factor, Job(run_s=run_s)), 30).task(FLUSH)

    assert task.edge_interval_s == pytest.approx(run_s, rel=0.05)
    assert task.min_safe_interval_s == pytest.approx(run_s / 0.8, rel=0.05)
    assert task.capacity_factor == pytest.approx(factor, rel=0.05)


def test_the_edge_of_the_story_at_its_own_pace():
    task = watched(Cluster().every(1.0, Job(run_s=1.2), until=120), 60).task(FLUSH)

    assert task.edge_interval_s == pytest.approx(1.2, rel=0.05)
    assert task.capacity_factor == pytest.approx(1.2, rel=0.05)


def test_four_slots_do_four_times_as_much():
    cluster = Cluster(Pool(slots=4)).every(0.02, Job(run_s=0.12))

    assert watched(cluster, 10).task(FLUSH).edge_interval_s == pytest.approx(0.03, rel=0.05)


def test_two_tasks_that_share_a_queue_leave_one_another_what_the_other_does_not_need():
    """Ten and five messages of 0.1 s a second where ten can be done: five are left for the one, none for the other."""
    cluster = Cluster().every(0.1, Job(run_s=0.1)).every(0.2, Job(MAIL, 0.1), first=0.03)
    seen = watched(cluster, 20)

    assert seen.task(FLUSH).edge_interval_s == pytest.approx(1 / 5, rel=0.1)
    assert seen.task(FLUSH).capacity_factor == pytest.approx(1.5, rel=0.05)
    safe = seen.task(MAIL).min_safe_interval_s
    assert isinstance(safe, Unknown)
    assert "no interval of this one is safe" in safe.why


def test_a_firing_needs_the_time_of_all_its_children_and_its_own():
    """Twenty children of 60 ms and a parent of 10 ms: 1.21 s, at every age and phase."""
    cluster = Cluster().every(1.0, fan_out(20, 0.06), until=300)
    for number in range(15):
        task = watched(cluster, 10 + number * 10.07).task(REFRESH)
        assert task.edge_interval_s == pytest.approx(1.21, rel=0.06)
        assert task.messages_per_firing == pytest.approx(21, rel=0.05)
        assert task.fires == FLUSH


def test_a_firing_whose_parent_waits_elsewhere_has_the_same_interval():
    cluster = Cluster(Pool(("celery", "parents"))).every(1.0, fan_out(20, 0.06, parents="parents"))
    seen = watched(cluster, 20)

    assert seen.task(REFRESH, "parents").edge_interval_s == pytest.approx(1.21, rel=0.05)
    assert seen.task(FLUSH).fired_by == REFRESH


def test_a_child_may_come_as_often_as_the_workers_take_one():
    seen = watched(Cluster().every(1.0, fan_out(20, 0.06)), 20)

    assert seen.task(FLUSH).edge_interval_s == pytest.approx(1.21 / 20, rel=0.05)


def test_what_a_fired_task_brings_by_itself_counts_beside_the_firings():
    """Six of a firing and ten plain ones of the same task need 16 x 60 ms a second, and others 0.2 s more."""
    cluster = Cluster().every(1.0, fan_out(6, 0.06)).every(0.1, Job(FLUSH, 0.06)).every(0.25, Job(OTHER, 0.06))
    seen = watched(cluster, 30)

    assert seen.queue().state == "growing"
    assert seen.task(REFRESH).capacity_factor == pytest.approx(20 * 0.06 + 0.01, rel=0.06)


def test_a_firing_into_two_queues_is_counted_whole_and_each_queue_by_its_part():
    parent = Job(REFRESH, 0.005, "celery", fan_out(20, 0.06).children + tuple(Job(SLOW, 0.2, "slow") for _ in range(6)))
    cluster = Cluster(Pool(("celery",)), Pool(("slow",))).every(1.0, parent)
    seen = watched(cluster, 20)

    assert seen.queue("celery").demand_per_s == pytest.approx(20, rel=0.05)
    assert seen.queue("slow").demand_per_s == pytest.approx(6, rel=0.05)
    assert (seen.queue("celery").state, seen.queue("slow").state) == ("growing", "growing")


def test_a_firing_of_one_task_into_two_queues_is_not_counted_twice():
    parent = Job(REFRESH, 0.005, "celery", fan_out(10, 0.06).children + fan_out(10, 0.06, "second").children)
    cluster = Cluster(Pool(("celery",)), Pool(("second",))).every(1.0, parent)
    seen = watched(cluster, 20)

    assert {queue.state for queue in seen.diagnosis.queues} == {"ok"}


def test_the_root_is_named_among_other_tasks_though_its_firings_lie_long_back():
    """In a deep queue only children of old firings leave; what leaves and spawns nothing can't be their root."""
    cluster = Cluster().every(1.0, fan_out(20, 0.06), until=900).every(0.7, Job(OTHER, 0.02), until=900)
    named = [watched(cluster, 300.03 + number * 37).task(FLUSH).fired_by for number in range(12)]

    assert set(named) <= {REFRESH, None}
    assert named.count(REFRESH) >= 9


def test_while_the_workers_keep_up_no_interval_is_invented():
    task = watched(Cluster().every(0.2, Job(run_s=0.12)), 5)

    assert isinstance(task.diagnosis.tasks[0].edge_interval_s, Unknown)
    assert isinstance(task.diagnosis.tasks[0].capacity_factor, Unknown)


def test_arrivals_that_could_not_be_counted_give_no_interval():
    flow = a_flow(5, 5, exact=False, depth=100)
    task = judged({"celery": flow}).task(FLUSH)

    assert isinstance(task.edge_interval_s, Unknown)


def test_a_sampled_queue_gives_each_task_its_share():
    """Four hundred labels of two thousand messages a second: three quarters are one task."""
    cluster = Cluster(Pool(slots=100)).every(0.0008, Job(run_s=0.08), until=8).every(0.0024, Job(MAIL, 0.08), until=8)
    seen = watched(cluster, 4, 3)

    assert seen.task(FLUSH).arrival_per_s == pytest.approx(1250, rel=0.1)
    assert seen.task(MAIL).arrival_per_s == pytest.approx(417, rel=0.1)


def test_the_same_look_always_gives_the_same_diagnosis():
    flows = Cluster().every(1.0, fan_out(20, 0.06)).watch(20, 10)

    assert judge(simulated_look(flows), "0.1.0") == judge(simulated_look(flows), "0.1.0")
    assert isinstance(judged(flows), Judged)
