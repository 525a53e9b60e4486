"""What the doctor says of stock Celery applications that know nothing of Tidegate: real workers, real beat."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from celery import Celery
from click.testing import CliRunner

from tidegate.cli.main import tidegate

APP = """
import time
from celery import Celery

app = Celery("proj")

@app.task(name="screen.tasks.flush_cluster_status")
def flush_cluster_status(cluster_id=0, seconds=0.12):
    time.sleep(seconds)

@app.task(name="screen.tasks.refresh_all_clusters")
def refresh_all_clusters():
    for cluster_id in range(20):
        flush_cluster_status.delay(cluster_id, 0.06)
"""
FLUSH, REFRESH = "screen.tasks.flush_cluster_status", "screen.tasks.refresh_all_clusters"


def schedule(task: str, every: float) -> str:
    return APP + f'\napp.conf.beat_schedule = {{"entry": {{"task": "{task}", "schedule": {every}}}}}\n'


def doctor(url: str, window: float) -> dict[str, Any]:
    result = CliRunner().invoke(tidegate, ["doctor", url, "--json", "--window", str(window)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return json.loads(result.stdout)


def queue(diagnosis: dict[str, Any], name: str = "celery") -> dict[str, Any]:
    return next(row for row in diagnosis["queues"] if row["name"] == name)


def task(diagnosis: dict[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in diagnosis["tasks"] if row["name"] == name)


def finding(diagnosis: dict[str, Any], rule: str) -> dict[str, Any]:
    return next(row for row in diagnosis["findings"] if row["rule"] == rule)


def send(url: str, count: int, seconds: float = 0.02) -> None:
    with Celery("sender", broker=url) as app:
        for number in range(count):
            app.send_task(FLUSH, (number, seconds))


def wait_for(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@contextmanager
def in_a_moment(act: Callable[[], None], after_s: float) -> Iterator[None]:
    """Does it while the doctor looks; the moment only has to fall into the window."""
    timer = threading.Timer(after_s, act)
    timer.start()
    try:
        yield
    finally:
        timer.join()


@pytest.mark.calm
def test_a_task_of_120_ms_every_100_ms_grows_by_the_truth_and_the_edge_is_its_run_time(
    broker_url, redis_client, celery_worker, celery_beat
):
    celery_worker(APP, broker_url, "-c", "1")
    celery_beat(schedule(FLUSH, 0.1), broker_url)
    # Prefetching takes the first four; from then on messages wait.
    wait_for(lambda: redis_client.llen("celery") > 2)
    diagnosis = doctor(broker_url, 7)
    seen, flush = queue(diagnosis), task(diagnosis, FLUSH)
    assert diagnosis["verdict"] == seen["state"] == "growing"
    assert seen["arrival_per_s"] == pytest.approx(10.0, rel=0.05)
    # A worker adds a millisecond or two of its own to every run.
    assert seen["service_per_s"] == pytest.approx(1 / 0.121, rel=0.05)
    assert flush["edge_interval_s"] == pytest.approx(0.12, rel=0.05)
    assert flush["min_safe_interval_s"] == pytest.approx(0.15, rel=0.05)
    assert flush["capacity_factor"] == pytest.approx(1.2, rel=0.05)
    assert FLUSH in finding(diagnosis, "TG101")["sentence"]
    assert finding(diagnosis, "TG101")["level"] == "critical"


@pytest.mark.calm
def test_a_firing_that_fans_out_is_blamed_whole_and_its_parent_gets_the_interval(
    broker_url, redis_client, celery_worker, celery_beat
):
    celery_worker(APP, broker_url, "-c", "1")
    celery_beat(schedule(REFRESH, 1.0), broker_url)
    wait_for(lambda: redis_client.llen("celery") > 10)
    diagnosis = doctor(broker_url, 10)
    assert diagnosis["verdict"] == "growing", queue(diagnosis)
    sentence = finding(diagnosis, "TG101")["sentence"]
    assert finding(diagnosis, "TG101")["evidence"]["task"] == FLUSH
    assert finding(diagnosis, "TG101")["evidence"]["fired_by"] == REFRESH
    assert "fans out" in sentence
    assert FLUSH in sentence
    assert task(diagnosis, REFRESH)["messages_per_firing"] == pytest.approx(21, abs=1)
    # Twenty runs of 60 ms and what the worker and the parent add to them.
    assert task(diagnosis, REFRESH)["edge_interval_s"] == pytest.approx(1.24, rel=0.06)
    assert "fans out" in finding(diagnosis, "TG108")["sentence"]


@pytest.mark.quiet
def test_a_burst_is_a_surge_while_it_comes_and_drains_afterwards(broker_url, redis_client, celery_worker):
    celery_worker(APP, broker_url, "-c", "1")
    with in_a_moment(lambda: send(broker_url, 250), 1.0):
        assert queue(doctor(broker_url, 3))["state"] == "surge"
    after = queue(doctor(broker_url, 1.5))
    assert after["state"] == "draining"
    assert after["drain_s"] > 0
    wait_for(lambda: redis_client.llen("celery") == 0)
    assert queue(doctor(broker_url, 1))["state"] == "ok"


@pytest.mark.calm
def test_an_idle_queue_is_ok_and_so_is_one_that_keeps_up(broker_url, redis_client, celery_worker, celery_beat):
    celery_worker(APP, broker_url, "-c", "1")
    idle = doctor(broker_url, 1)
    assert idle["verdict"] == queue(idle)["state"] == "ok"
    celery_beat(schedule(FLUSH, 0.2), broker_url)
    before = pushes(redis_client)
    wait_for(lambda: pushes(redis_client) > before)
    busy = queue(doctor(broker_url, 5))
    assert busy["state"] == "ok"
    assert busy["arrival_per_s"] == pytest.approx(5.0, rel=0.1)


def pushes(client: redis.Redis) -> int:
    return client.info("commandstats").get("cmdstat_lpush", {"calls": 0})["calls"]


def test_a_queue_whose_workers_were_killed_is_stalled(broker_url, redis_client, celery_worker):
    worker = celery_worker(APP, broker_url, "-c", "1")
    send(broker_url, 200, seconds=0.2)
    wait_for(lambda: redis_client.hlen("unacked") > 0)
    worker.signal(signal.SIGKILL)
    worker.wait(10)
    diagnosis = doctor(broker_url, 3)
    assert diagnosis["verdict"] == queue(diagnosis)["state"] == "stalled"
    assert finding(diagnosis, "TG102")["level"] == "critical"
    assert queue(diagnosis)["consumers"] == 0


def test_long_tasks_are_not_taken_for_a_stall(broker_url, redis_client, celery_worker):
    worker = celery_worker(APP, broker_url, "-c", "1")
    send(broker_url, 12, seconds=20)
    wait_for(lambda: redis_client.hlen("unacked") > 0)
    # Heartbeats come every two seconds.
    seen = queue(doctor(broker_url, 3))
    assert seen["state"] == "unknown"
    assert "task" in seen["state_reason"]
    worker.signal(signal.SIGKILL)


def test_events_of_tasks_are_noticed_and_a_worker_without_them_is_not_blamed(broker_url, celery_worker):
    celery_worker(APP, broker_url, "-c", "1", "-E")
    with in_a_moment(lambda: send(broker_url, 20), 0.5):
        assert finding(doctor(broker_url, 2), "TG122")["level"] == "info"


def test_two_beats_are_found_by_their_origins(broker_url, redis_client, celery_beat, tmp_path):
    # Beat marks its messages from Celery 5.7 on; before, the application's schedule tells which tasks are periodic.
    (tmp_path / "proj.py").write_text(schedule(FLUSH, 0.3))
    celery_beat(schedule(FLUSH, 0.3), broker_url)
    celery_beat(schedule(FLUSH, 0.3), broker_url)
    wait_for(lambda: redis_client.llen("celery") > 2)
    command = [sys.executable, "-m", "tidegate", "doctor", broker_url, "-A", "proj", "--json", "--window", "3"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    diagnosis = json.loads(ran.stdout)
    said = finding(diagnosis, "TG133")
    assert said["level"] == "critical"
    assert len(said["evidence"]["origins"]) == 2
    assert finding(diagnosis, "TG131")["level"] == "warning"
    assert "entry" in finding(diagnosis, "TG131")["sentence"]


def test_the_age_of_the_oldest_message_lasts_until_the_queue_was_read(broker_url):
    with Celery("sender", broker=broker_url) as app:
        app.send_task(FLUSH, (1,), headers={"enqueued_at": time.time()})
    assert queue(doctor(broker_url, 1.5))["oldest_age_s"] > 1.5
