"""The probe in real workers of every pool: what ran, how it ended, what it brought, and what the worker says of itself."""

import signal
import time
from collections import Counter

import pytest
from probed import PROJECT, measured, outcomes, runs_of, send, sender, the_worker, wait_for

from tidegate.facts.measured import Key

POOLS = {
    "prefork": ["-c", "2"],
    "one process": ["-c", "1"],
    "threads": ["-P", "threads", "-c", "4"],
    "solo": ["-P", "solo"],
    "gevent": ["-P", "gevent", "-c", "20"],
    "eventlet": ["-P", "eventlet", "-c", "20"],
}
EXPECTED = {
    "quick": {"success": 50 + 3 + 3 + 2},
    "fail": {"failure": 3},
    "retry": {"retry": 4, "success": 2},
    "ignore": {"ignored": 2},
    "reject": {"rejected": 2},
    "parent": {"success": 1},
    "canvas": {"success": 1},
    "late": {"success": 4},
    "sleep": {"expired": 2},
    "unknown": {"rejected": 1},
}


def send_everything(url: str) -> None:
    with sender(url) as app:
        for task, count in {"quick": 50, "fail": 3, "retry": 2, "ignore": 2, "reject": 2, "late": 4}.items():
            for _ in range(count):
                app.send_task(task)
        for task in ("parent", "canvas", "unknown"):
            app.send_task(task)
        for _ in range(2):
            app.send_task("sleep", (5,), expires=-60)


@pytest.mark.parametrize("pool", POOLS)
def test_every_run_is_counted_with_its_outcome_whatever_the_pool(pool, broker_url, celery_worker):
    worker = celery_worker(PROJECT, broker_url, *POOLS[pool])
    send_everything(broker_url)
    wait_for(lambda: outcomes(broker_url) == {task: Counter(counts) for task, counts in EXPECTED.items()})
    worker.stop()

    assert outcomes(broker_url) == {task: Counter(counts) for task, counts in EXPECTED.items()}
    # A retry is a child of its own task; eager and direct calls are nobody's.
    assert runs_of(broker_url, "parent").children == {"quick": 3}
    assert runs_of(broker_url, "retry").children == {"retry": 4}
    assert runs_of(broker_url, "canvas").children == {"quick": 3}
    assert runs_of(broker_url, "quick").children == {"quick": 2}
    assert runs_of(broker_url, "retry").firings == 2
    assert runs_of(broker_url, "quick").firings == 50
    seen = the_worker(broker_url)
    assert seen.gone
    assert seen.pool == POOLS[pool][1] if "-P" in POOLS[pool] else "prefork"
    assert seen.slots == (1 if pool == "solo" else int(POOLS[pool][-1]))
    assert seen.queues == ("celery",)
    assert abs(seen.clock_ahead_s) < 1
    assert (seen.cpu_per_run_s is None) == (pool in ("gevent", "eventlet"))
    assert measured(broker_url).unreadable == 0


def test_run_times_waits_and_load_are_those_that_the_tasks_had(broker_url, celery_worker):
    worker = celery_worker(PROJECT, broker_url, "-c", "2")
    # Not installed here, so these say when they were published as others do.
    send(broker_url, "sleep", 6, args=(0.2,), headers={"sentry-task-enqueued-time": str(time.time())})
    wait_for(lambda: runs_of(broker_url, "sleep").run.count == 6)
    worker.stop()
    runs = runs_of(broker_url, "sleep")

    assert runs.run.quantile(0.5) == pytest.approx(0.2, abs=0.1)
    # Two at a time: the last two wait for two rounds.
    assert 0.3 < runs.wait.quantile(1.0) < 5
    assert runs.busy[2].runs >= 4
    assert sum(busy.cpu_ns for busy in runs.busy.values()) < runs.run.total_ns / 2
    (slice_,) = measured(broker_url).slices[-1:]
    assert slice_.turnaround["celery"].quantile(0.5) < 0.1


def test_firings_of_beat_are_followed_to_their_last_child(broker_url, celery_worker, celery_beat):
    project = PROJECT + 'app.conf.beat_schedule = {"every": {"task": "parent", "schedule": 0.2, "args": [2]}}\n'
    celery_worker(project, broker_url, "-c", "2")
    beat = celery_beat(project, broker_url)
    wait_for(lambda: runs_of(broker_url, "parent").firings >= 5)
    beat.stop()
    wait_for(lambda: runs_of(broker_url, "quick").run.count == 2 * runs_of(broker_url, "parent").run.count)
    slices = measured(broker_url).slices
    keys = {key for slice_ in slices for key in slice_.runs}
    firings = [one for slice_ in slices for one in slice_.followed["every"].values()]

    assert keys == {Key("parent", "celery", "every"), Key("quick", "celery", "every")}
    assert max(one.runs for one in firings) == 3
    assert runs_of(broker_url, "quick").firings == 0


def test_redbeat_says_which_entry_fires_as_well(broker_url, celery_worker, celery_beat):
    project = PROJECT + 'app.conf.beat_schedule = {"red": {"task": "parent", "schedule": 0.5}}\n'
    project += 'app.conf.redbeat_redis_url = os.environ["CELERY_BROKER_URL"]\n'
    celery_worker(project, broker_url, "-c", "1")
    celery_beat(project, broker_url, "-S", "redbeat.RedBeatScheduler", "--max-interval", "1")
    wait_for(lambda: runs_of(broker_url, "quick").run.count > 0)

    assert {key.entry for slice_ in measured(broker_url).slices for key in slice_.runs} == {"red"}


def test_what_has_not_finished_is_shown_as_running(broker_url, celery_worker):
    worker = celery_worker(PROJECT, broker_url, "-c", "3")
    send(broker_url, "sleep", args=(60,))
    wait_for(lambda: the_worker(broker_url).unfinished != ())
    seen = the_worker(broker_url)

    assert [one.task for one in seen.unfinished] == ["sleep"]
    assert 1 <= seen.unfinished[0].running_s < 30
    assert (seen.busy_slots, seen.gone) == (1, False)
    worker.signal(signal.SIGKILL)


def test_the_depth_of_the_queues_is_looked_at(broker_url, celery_worker):
    celery_worker(PROJECT, broker_url, "-c", "1", "--prefetch-multiplier", "1")
    send(broker_url, "sleep", 30, args=(0.3,))
    wait_for(lambda: any(slice_.depths.get("celery") for slice_ in measured(broker_url).slices))
    wait_for(lambda: sum(d.messages for s in measured(broker_url).slices for d in s.depths["celery"].values()) > 0)


def test_stamps_that_can_not_be_are_counted_as_odd_and_harm_nobody(broker_url, celery_worker):
    worker = celery_worker(PROJECT, broker_url, "-c", "1")
    odd = [-5, "yesterday", [1], {"a": 1}, 1e300, 5.0, time.time() + 10**7, "NaN", True, "x" * 10_240]
    for stamp in odd:
        send(broker_url, "quick", headers={"enqueued_at": stamp, "periodic_task_name": {"a": 1}})
    send(broker_url, "quick", headers={"periodic_task_name": "n" * 10_240})
    wait_for(lambda: runs_of(broker_url, "quick").run.count == len(odd) + 1)
    worker.stop()
    runs = runs_of(broker_url, "quick")

    assert (runs.odd_stamps, runs.wait.count) == (len(odd), 0)
    assert {len(key.entry) for slice_ in measured(broker_url).slices for key in slice_.runs} == {0, 160}
    assert "probe" not in "\n".join(line for line in worker.last_lines(500) if "WARNING" in line)


def test_a_publisher_whose_clock_is_ahead_is_found_and_its_waits_are_corrected(broker_url, celery_worker):
    celery_worker(PROJECT, broker_url, "-c", "1")
    for _ in range(3):
        send(broker_url, "quick", headers={"enqueued_at": time.time() + 50.0})
    wait_for(lambda: runs_of(broker_url, "quick").run.count == 3)
    (ahead,) = {round(ahead) for slice_ in measured(broker_url).slices for ahead in slice_.ahead.values()}
    runs = runs_of(broker_url, "quick")

    assert ahead == 50
    assert (runs.odd_stamps, runs.wait.count) == (1, 2)
    assert runs.wait.quantile(1.0) < 2


def test_a_worker_whose_wall_clock_is_wrong_measures_the_same(broker_url, celery_worker):
    wrong = "import time\nwall = time.time\ntime.time = lambda: wall() + 3600\n"
    celery_worker(wrong + PROJECT, broker_url, "-c", "1")
    wait_for(lambda: len(measured(broker_url).workers) == 1)
    send(broker_url, "parent", headers={"enqueued_at": time.time()})
    wait_for(lambda: runs_of(broker_url, "quick").run.count == 3)
    last = measured(broker_url).slices[-1]

    assert the_worker(broker_url).clock_ahead_s == pytest.approx(3600, abs=2)
    assert (last.ahead, runs_of(broker_url, "quick").odd_stamps) == ({}, 0)
    assert runs_of(broker_url, "parent").wait.quantile(1.0) < 5
    assert runs_of(broker_url, "quick").wait.quantile(1.0) < 5
    assert abs(last.start_s - time.time()) < 120
