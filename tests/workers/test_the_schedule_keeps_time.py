"""A real beat with the scheduler `tidegate`, and a worker that runs what it sends."""

import json
import signal
import time
from itertools import pairwise

PROJECT = """
import os, time
from celery import Celery

app = Celery("proj", broker=os.environ["CELERY_BROKER_URL"])
app.conf.beat_scheduler = "tidegate"
app.conf.beat_schedule = {
    "often": {"task": "proj.note", "schedule": 0.1, "args": ("often",)},
    "seldom": {"task": "proj.note", "schedule": 1.0, "args": ("seldom",)},
    "broken": {"task": "proj.note"},
    "unsendable": {"task": "proj.note", "schedule": 0.5, "args": (object(),)},
}

@app.task
def note(name):
    import redis
    with redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]) as client:
        client.rpush("ran:" + name, time.time())
"""
DEADLINE_S = 20.0


def times(client, name, many):
    """When the first runs of an entry were, as soon as there are so many."""
    give_up = time.monotonic() + DEADLINE_S
    while client.llen(f"ran:{name}") < many:
        assert time.monotonic() < give_up, f"{client.llen(f'ran:{name}')} runs of {name}"
        time.sleep(0.02)
    return [float(one) for one in client.lrange(f"ran:{name}", 0, many - 1)]


def test_a_worker_runs_what_is_due_at_its_time_and_a_restart_goes_on(
    celery_worker, celery_beat, broker_url, redis_client, tmp_path
):
    celery_worker(PROJECT, broker_url, "-c", "1", "-P", "solo")
    schedule = ["-s", str(tmp_path / "kept")]
    beat = celery_beat(PROJECT, broker_url, *schedule)
    ran = times(redis_client, "often", 25)
    times(redis_client, "seldom", 2)
    gaps = sorted(later - earlier for earlier, later in pairwise(ran))
    assert 0.08 < gaps[len(gaps) // 2] < 0.12
    # From first to last there is no room for a delay that is kept: stock beat adds some milliseconds to each.
    assert abs((ran[-1] - ran[0]) - 24 * 0.1) < 0.1
    beat.stop()
    log = beat.log.read_text()
    assert log.count("beat_schedule['broken'] is left out") == 1
    assert log.count("unsendable was not sent") == 1
    assert "Traceback" not in log
    before = redis_client.llen("ran:often")
    celery_beat(PROJECT, broker_url, *schedule)
    times(redis_client, "often", before + 5)


def test_beat_ends_on_a_signal_in_the_middle_of_much_to_send_and_loses_no_run_state(
    celery_beat, broker_url, redis_client, tmp_path
):
    busy = PROJECT + (
        "\napp.conf.beat_schedule = {f'e{n}': {'task': 'proj.note', 'schedule': 0.5, 'args': ('x',)}"
        " for n in range(200)}\n"
    )
    beat = celery_beat(busy, broker_url, "-s", str(tmp_path / "kept"))
    give_up = time.monotonic() + DEADLINE_S
    while redis_client.llen("celery") < 300:
        assert time.monotonic() < give_up
        time.sleep(0.02)
    beat.signal(signal.SIGTERM)
    beat.stop()
    assert "Traceback" not in beat.log.read_text()
    sent = [json.loads(one)["headers"]["id"] for one in redis_client.lrange("celery", 0, -1)]
    assert len(sent) == len(set(sent))
