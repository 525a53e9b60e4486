"""What a plan says where the measurements are missing, odd, or of another time; and that it makes no number up."""

from collections import Counter
from dataclasses import replace

import pytest
from builders import GB, a_server
from cluster import CHILD, PARENT, START, Cluster, Task, a_worker, an_entry, every, planned

from tidegate.facts.measured import Depth, Key, Lag, Measured, Runs, Slice, Tick, Unfinished
from tidegate.facts.seen import QueueSeen
from tidegate.facts.unknown import Unknown, known


def constant(run_s=0.12, interval_s=0.2, **changes):
    return Cluster([Task(CHILD, lambda: run_s)], **changes).play(every(interval_s, CHILD, lasts_s=120), 120)


def with_slice(measured, **changes):
    """The same measurements with something changed in the first slice."""
    first, *others = measured.slices
    return replace(measured, slices=(replace(first, **changes), *others))


def test_nothing_measured_yet_says_what_to_do_and_gives_no_number():
    plan = planned(Measured(at_s=START), an_entry())
    [entry] = plan.entries
    assert "the probe must be installed where beat and the workers run" in entry.work_s.why
    assert not known(entry.edge_interval_s)
    assert plan.pools == ()


def test_an_entry_that_sends_another_task_now_is_not_judged_by_the_old_one():
    plan = planned(constant(), an_entry(task="screen.tasks.renamed"))
    [entry] = plan.entries
    assert entry.work_s.why == f"it sends screen.tasks.renamed now; what was measured under its name is {CHILD}"


def test_a_renamed_entry_is_unknown_and_the_old_name_is_said():
    plan = planned(constant(), an_entry(name="refresh-faster"))
    rows = {entry.entry: entry for entry in plan.entries}
    assert not known(rows["refresh-faster"].work_s)
    assert rows["refresh"].edge_interval_s == pytest.approx(0.1214, rel=0.01)
    assert any("not in this schedule" in note and "refresh" in note for note in plan.notes)


def test_messages_of_a_beat_that_names_no_entry_are_told_by_their_task():
    measured = constant()
    for slice_ in measured.slices:
        slice_.runs = {key._replace(entry=""): runs for key, runs in slice_.runs.items()}
    [entry] = planned(measured, an_entry(interval_s=0.2)).entries
    assert entry.edge_interval_s == pytest.approx(0.1214, rel=0.01)


def test_two_entries_of_one_task_are_not_told_apart_by_it():
    measured = constant()
    for slice_ in measured.slices:
        slice_.runs = {key._replace(entry=""): runs for key, runs in slice_.runs.items()}
    plan = planned(measured, an_entry("a", interval_s=0.4), an_entry("b", interval_s=0.4))
    assert [known(entry.work_s) for entry in plan.entries] == [False, False]


def test_a_task_that_was_published_and_never_ran_leaves_the_work_unknown():
    measured = Cluster([Task(PARENT, lambda: 0.02)]).play(every(1.0, PARENT, lasts_s=120), 120)
    for slice_ in measured.slices:
        for runs in slice_.runs.values():
            runs.children = Counter({"screen.tasks.lost": 20 * runs.run.count})
    [entry] = planned(measured, an_entry(task=PARENT)).entries
    assert entry.work_s.why == "screen.tasks.lost was published by it and has not run yet"


def test_a_task_that_publishes_itself_for_ever_has_no_work_per_firing():
    measured = constant()
    for slice_ in measured.slices:
        for runs in slice_.runs.values():
            runs.children = Counter({CHILD: runs.run.count})
    [entry] = planned(measured, an_entry()).entries
    assert entry.work_s.why == f"a firing never ends: {CHILD} publishes itself again"


def test_a_task_that_is_retried_now_and_then_costs_its_retries_too():
    measured = constant()
    for slice_ in measured.slices:
        for runs in slice_.runs.values():
            runs.children = Counter({CHILD: runs.run.count // 2})
            runs.firings = runs.run.count - runs.run.count // 2
    [entry] = planned(measured, an_entry()).entries
    assert entry.work_s == pytest.approx(0.24, rel=0.02)


def test_no_interval_is_safe_where_the_rest_alone_overloads():
    tasks = [Task(CHILD, lambda: 0.1), Task("other", lambda: 0.1)]
    sends = sorted([*every(1.0, CHILD, lasts_s=120), *[(0.1 * n, "other", "heavy") for n in range(1200)]])
    measured = Cluster(tasks).play(sends, 120)
    plan = planned(measured, an_entry(interval_s=1.0), an_entry("heavy", "other", 0.1))
    light = plan.entries[0]
    assert light.safe is False
    assert light.min_safe_interval_s.why.startswith(
        "no interval is safe: the rest alone keeps more slots of celery busy"
    )


def test_a_queue_that_no_worker_consumes_has_no_safe_interval_and_says_why():
    measured = replace(constant(), workers=(a_worker(queues=("other",)),))
    [entry] = planned(measured, an_entry()).entries
    assert entry.safe is False
    assert entry.min_safe_interval_s.why == "no interval is safe: no worker with the probe consumes celery"
    assert entry.binding == "nobody consumes celery"


def test_a_queue_of_somebody_else_that_nobody_consumes_is_no_limit():
    tasks = [Task(CHILD, lambda: 0.1), Task("other", lambda: 0.1, "forgotten")]
    measured = Cluster(tasks).play(sorted([*every(1.0, CHILD, lasts_s=120), *every(1.0, "other", "b", 120)]), 120)
    plan = planned(replace(measured, workers=(a_worker(),)), an_entry(), an_entry("b", "other"))
    assert plan.entries[0].edge_interval_s == pytest.approx(0.1014, rel=0.01)
    assert plan.entries[0].binding == "1 slot on 1 host for celery"
    assert plan.entries[1].safe is False


def test_a_crontab_counts_with_its_mean_interval():
    [entry] = planned(constant(), an_entry(interval_s=None, mean_interval_s=0.1)).entries
    assert entry.growth_per_s == pytest.approx(10 - 1 / 0.1214, rel=0.02)


def test_workers_that_are_gone_do_not_count_and_are_named():
    workers = (a_worker("w1@a"), a_worker("w2@b", gone=True))
    plan = planned(replace(constant(), workers=workers), an_entry(interval_s=0.2))
    assert plan.pools[0].slots == 1
    assert any("w2@b" in note and "gone or silent" in note for note in plan.notes)


def test_no_worker_at_all_leaves_no_capacity():
    plan = planned(replace(constant(), workers=()), an_entry(interval_s=0.2))
    assert plan.entries[0].edge_interval_s.why == "no worker is left that could run it"
    assert any("no worker with the probe reports" in note for note in plan.notes)


def test_two_workers_on_one_host_can_be_lost_one_by_one():
    cluster = Cluster([Task(CHILD, lambda: 0.12)], slots=2, nodes=("w1@host", "w2@host"))
    plan = planned(cluster.play(every(0.1, CHILD, lasts_s=120), 120), an_entry(interval_s=0.1))
    assert plan.pools[0].hosts == 2
    assert plan.entries[0].with_hosts_lost[0].slots == 1
    assert any("each of them counts as a host" in note for note in plan.notes)


def test_a_small_worker_for_a_queue_of_its_own_is_the_limit_whatever_others_have_to_spare():
    tasks = [Task(PARENT, lambda: 0.01, "schedule", {CHILD: 5}), Task(CHILD, lambda: 0.1, "slow")]
    measured = Cluster(tasks, slots=2).play(every(1.0, PARENT, lasts_s=120), 120)
    workers = (a_worker("w1@a", slots=8, queues=("schedule",)), a_worker("w2@b", slots=1, queues=("slow",)))
    [entry] = planned(replace(measured, workers=workers), an_entry(task=PARENT)).entries
    assert entry.edge_interval_s == pytest.approx(5 * 0.1014, rel=0.01)
    assert entry.binding == "1 slot on 1 host for slow"


def test_memory_is_full_when_what_stays_behind_has_filled_what_is_left():
    queue = QueueSeen(name="celery", depth=100, bytes_per_message=1000.0)
    server = a_server(used_memory_bytes=1 * GB, maxmemory_bytes=2 * GB)
    [entry] = planned(constant(interval_s=0.1), an_entry(interval_s=0.1), queues=(queue,), server=server).entries
    assert entry.full_in_s == pytest.approx(GB / 1000 / entry.growth_per_s)


def test_the_time_to_full_memory_is_unknown_where_no_message_could_be_weighed():
    emptied = QueueSeen(name="celery", depth=1, bytes_per_message=0.0)
    for queues in ((), (emptied,)):
        [entry] = planned(constant(interval_s=0.1), an_entry(interval_s=0.1), queues=queues, server=a_server()).entries
        assert entry.full_in_s.why == "no message waits that could be weighed"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ahead": {"web1": 90.0}}, "the clock of web1, which publishes, is at least 90 s ahead"),
        ({"lags": {"web1": Lag(50, 5.0)}}, "the clock of web1, which publishes, seems 5 s behind"),
        ({"counts": Counter(runs_dropped=200)}, "200 runs were not counted"),
        ({"counts": Counter(keys_folded=3)}, "more tasks than are kept apart"),
    ],
)
def test_what_was_corrected_or_lost_is_said(changes, words):
    notes = planned(with_slice(constant(), **changes), an_entry()).notes
    assert any(words in note for note in notes), notes


def test_a_worker_whose_clock_is_off_is_named():
    workers = (a_worker(clock_ahead_s=-75.0),)
    notes = planned(replace(constant(), workers=workers), an_entry()).notes
    assert "the clock of host is 75 s behind the broker's; its times were corrected" in notes


def test_clocks_that_differ_by_little_are_not_worth_a_word():
    measured = with_slice(constant(), ahead={"web1": 0.2}, lags={"web1": Lag(50, 0.003), "web2": Lag(2, 9.0)})
    assert not any("clock" in note for note in planned(measured, an_entry()).notes)


def test_a_run_that_does_not_end_is_named_with_its_worker():
    workers = (a_worker(unfinished=(Unfinished(task=CHILD, running_s=4000.0),)),)
    notes = planned(replace(constant(), workers=workers), an_entry()).notes
    assert any(f"{CHILD} has been running on w1@host for 67 minutes" in note for note in notes), notes


def test_without_messages_that_waited_the_worker_s_own_part_is_assumed_and_said():
    plan = planned(constant(interval_s=0.5), an_entry(interval_s=0.5))
    [entry] = plan.entries
    assert "what a worker adds to a run is assumed" in entry.basis
    assert any("it shows only while messages wait" in note for note in plan.notes)
    assert entry.edge_interval_low_s < 0.1214 < entry.edge_interval_high_s


def test_a_crontab_has_intervals_that_would_be_safe_but_none_to_judge():
    [entry] = planned(constant(), an_entry(interval_s=None)).entries
    assert entry.interval_s.why == "it has no even interval"
    assert entry.edge_interval_s == pytest.approx(0.1214, rel=0.01)
    assert not known(entry.safe)


def test_growth_of_nobody_s_queue_is_taken_for_more_of_what_runs():
    key = Key("other", "celery")
    slice_ = Slice(START)
    slice_.runs[key] = runs = Runs()
    for _ in range(300):
        runs.run.add(0.1)
    slice_.depths["celery"] = {0: Depth(1, 0), 11: Depth(1, 100)}
    runs.ticks = dict.fromkeys(range(12), Tick(25, 2_500_000_000, 0))
    plan = planned(Measured(at_s=START + 60, slices=(slice_,), workers=(a_worker(at_s=START + 60.0),)))
    assert plan.pools[0].utilisation == pytest.approx((300 / 60 + 100 / 55) * 0.1015, rel=0.01)


def test_entries_that_have_to_move_together_are_stretched_alike_or_split_by_weight():
    tasks = [Task("a", lambda: 0.1), Task("b", lambda: 0.4)]
    sends = sorted([*every(0.5, "a", "a", 120), *every(0.5, "b", "b", 120)])
    measured = Cluster(tasks).play(sends, 120)
    schedule = an_entry("a", "a", 0.5), an_entry("b", "b", 0.5)
    rows = {e.entry: e for e in planned(measured, *schedule, weights={"a": 4.0}).entries}
    assert rows["a"].joint_interval_s == rows["b"].joint_interval_s == pytest.approx(0.5028 / 0.8, rel=0.01)
    for each in ("joint_interval_s", "split_interval_s"):
        used = 0.1014 / getattr(rows["a"], each) + 0.4014 / getattr(rows["b"], each)
        assert used == pytest.approx(0.8, rel=0.01)
    # √(0.1/4) : √(0.4/1)
    assert rows["b"].split_interval_s / rows["a"].split_interval_s == pytest.approx(4.0, rel=0.02)


def test_slots_for_a_wait_target_are_at_least_those_for_the_target_utilisation():
    measured = constant(interval_s=0.13)
    needed = [planned(measured, an_entry(interval_s=0.13), wait_target_s=s).pools[0].needed_slots for s in (10, 0.001)]
    # M/D/3 would wait 1.6 ms, M/D/4 0.2 ms.
    assert needed == [2, 4]


def test_a_backlog_clears_by_what_the_slots_have_to_spare_and_never_at_the_edge():
    queue = QueueSeen(name="celery", depth=1000)
    calm = planned(constant(interval_s=0.2), an_entry(interval_s=0.2), queues=(queue,)).pools[0]
    full = planned(constant(interval_s=0.1), an_entry(interval_s=0.1), queues=(queue,)).pools[0]
    assert calm.drain_s == pytest.approx(1000 * 0.1215 / (1 - 0.1215 / 0.2), rel=0.02)
    assert full.drain_s is None


def test_a_queue_that_could_not_be_looked_at_has_no_time_to_be_empty():
    assert not known(planned(constant(), an_entry()).pools[0].drain_s)
    hidden = QueueSeen(name="celery", depth=Unknown("NOPERM"))
    assert planned(constant(), an_entry(), queues=(hidden,)).pools[0].drain_s.why == "NOPERM"


def test_growth_falls_to_nothing_at_the_edge_and_every_lost_host_moves_it():
    cluster = Cluster([Task(CHILD, lambda: 0.12)], slots=2, nodes=("w1@a", "w2@b"))
    plan = planned(cluster.play(every(0.1, CHILD, lasts_s=120), 120), an_entry(interval_s=0.1))
    for curve, edge in zip(plan.curves, (0.0607, 0.1214), strict=True):
        for point in curve.points:
            truth = max(0.0, 1 / point.interval_s - 1 / edge)
            assert point.growth_per_s == pytest.approx(truth, rel=0.02, abs=0.3)
