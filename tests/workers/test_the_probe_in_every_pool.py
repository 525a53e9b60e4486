"""The probe in every pool that Celery has: the same counts, to the last message."""

import time
from collections import Counter

import pytest
from probed import APP, eventually, measured, outcomes, runs_of, send, sender, wait_for, whole

from tidegate.facts.measured import Key

POOLS = {
    "prefork": ["-c", "2"],
    "one process": ["-c", "1"],
    "threads": ["-P", "threads", "-c", "4"],
    "solo": ["-P", "solo"],
    "gevent": ["-P", "gevent", "-c", "20"],
    "eventlet": ["-P", "eventlet", "-c", "20"],
}
MORE = """
@app.task(name="rejected", acks_late=True)
def rejected():
    raise Reject("on purpose", requeue=False)

@app.task(name="late", acks_late=True)
def late():
    group(nap.si(0.001), nap.si(0.001))()
"""
EXPECTED = {
    "nap": Counter(success=50 + 3 + 2 + 4 * 2, expired=2),
    "fail": Counter(failure=3),
    "again": Counter(retry=4, failure=2),
    "ignored": Counter(ignored=2),
    "rejected": Counter(rejected=2),
    "spread": Counter(success=1),
    "late": Counter(success=4),
    "unknown": Counter(rejected=1),
}


def send_everything(url: str) -> None:
    with sender(url) as app:
        for task, count in {"nap": 50, "fail": 3, "again": 2, "ignored": 2, "rejected": 2, "late": 4}.items():
            for _ in range(count):
                app.send_task(task)
        app.send_task("unknown")
        app.send_task("spread", (3,))
        for _ in range(2):
            app.send_task("nap", (5,), expires=-60)


@pytest.mark.parametrize("pool", POOLS)
def test_every_message_is_counted_once_whatever_the_pool(pool, broker_url, celery_worker):
    worker = celery_worker(APP + MORE, broker_url, *POOLS[pool])
    # What runs cost is told from one look to the next.
    eventually(lambda: measured(broker_url).workers)
    send_everything(broker_url)
    wait_for(lambda: outcomes(broker_url), EXPECTED)
    worker.stop()
    [seen] = measured(broker_url).workers

    assert outcomes(broker_url) == EXPECTED
    assert runs_of(broker_url, "spread").children == Counter(nap=4)
    assert runs_of(broker_url, "late").children == Counter(nap=8)
    assert runs_of(broker_url, "again").children == Counter(again=4)
    assert runs_of(broker_url, "nap").firings == 50
    assert seen.gone
    assert seen.pool == (POOLS[pool][1] if "-P" in POOLS[pool] else "prefork")
    assert seen.slots == (1 if pool == "solo" else int(POOLS[pool][-1]))
    assert (seen.cpu_per_run_s is None) == (pool in ("gevent", "eventlet"))
    assert measured(broker_url).unreadable == 0


def test_redbeat_says_which_entry_fires_as_well(broker_url, celery_worker, celery_beat):
    project = APP + 'app.conf.beat_schedule = {"red": {"task": "spread", "args": [1], "schedule": 0.5}}\n'
    project += 'app.conf.redbeat_redis_url = os.environ["CELERY_BROKER_URL"]\n'
    celery_worker(project, broker_url, "-c", "1")
    celery_beat(project, broker_url, "-S", "redbeat.RedBeatScheduler", "--max-interval", "1")
    eventually(lambda: whole(broker_url).runs.keys() == {Key("spread", "celery", "red"), Key("nap", "celery", "red")})


def test_a_worker_whose_wall_clock_is_an_hour_off_measures_the_same(broker_url, celery_worker):
    wrong = "import time\nwall = time.time\ntime.time = lambda: wall() + 3600\n"
    celery_worker(wrong + APP, broker_url, "-c", "1")
    eventually(lambda: measured(broker_url).workers)
    send(broker_url, "spread", 1, (3,), headers={"enqueued_at": time.time()})
    eventually(lambda: runs_of(broker_url, "nap").run.count == 5)
    [seen] = measured(broker_url).workers

    assert seen.clock_ahead_s == pytest.approx(3600, abs=2)
    assert whole(broker_url).ahead == {}
    for task, waits in {"spread": 1, "nap": 5}.items():
        runs = runs_of(broker_url, task)
        assert (runs.odd_stamps, runs.wait.count) == (0, waits)
        assert runs.wait.quantile(1.0) < 10
    assert abs(measured(broker_url).slices[-1].start_s - time.time()) < 120


def test_names_of_any_length_are_cut(broker_url, celery_worker):
    celery_worker(APP, broker_url, "-c", "1")
    send(broker_url, "nap", headers={"periodic_task_name": "n" * 10_240, "origin": "o" * 10_240})
    eventually(lambda: runs_of(broker_url, "nap", "n" * 160).run.count == 1)
