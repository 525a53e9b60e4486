"""Newest first with a real worker and a producer: killed at any moment, every message is executed exactly once in the end."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import redis

from backlog import message
from faces.shell import call
from tidegate.demo.processes import python_environment

pytestmark = pytest.mark.proof

PROJECT = """
import os, time
import redis
from celery import Celery

app = Celery("proj")
app.conf.task_ignore_result = True
app.conf.worker_prefetch_multiplier = 1
log = redis.Redis.from_url(os.environ["CELERY_BROKER_URL"])

@app.task(name="t")
def t(number):
    time.sleep(0.01)
    log.rpush("executed", number)
"""
WAITING, KILLS = 1500, 30


def test_killed_at_any_moment_and_ended_by_hand_nothing_is_lost_or_doubled(celery_worker, redis_client, broker_url):
    published = fill(redis_client, WAITING)
    celery_worker(PROJECT, broker_url, "-c", "2", "-P", "threads")
    enough, more = threading.Event(), []
    producer = threading.Thread(target=produce, args=(broker_url, enough, published, more))
    producer.start()
    draw = random.Random(5)
    try:
        for _ in range(KILLS):
            kill_one(broker_url, draw.uniform(0.0, 1.2))
            for row in call("relief", "list", broker_url, "--json").parsed:
                if row["state"] == "interrupted":
                    ended = call("relief", draw.choice(["resume", "rollback"]), row["id"], broker_url, "--yes")
                    assert ended.code == 0, ended.said
    finally:
        enough.set()
        producer.join()
    await_executed(redis_client, published + len(more))
    executed = [int(number) for number in redis_client.lrange("executed", 0, -1)]
    print(f"{KILLS} kills, {len(executed)} executed")
    assert sorted(executed) == sorted([*range(published), *more])


def test_whoever_came_last_is_answered_first(celery_worker, redis_client, broker_url):
    fill(redis_client, WAITING)
    celery_worker(PROJECT, broker_url, "-c", "2", "-P", "threads")
    enough, more = threading.Event(), []
    producer = threading.Thread(target=produce, args=(broker_url, enough, WAITING, more))
    producer.start()
    try:
        ran = call("drain-newest", "celery", broker_url, "--for", "4s", "--yes")
    finally:
        enough.set()
        producer.join()
    assert ran.code == 0, ran.said
    executed = [int(number) for number in redis_client.lrange("executed", 0, -1)]
    fresh = [number for number in executed if number >= WAITING]
    print(f"{len(more)} published meanwhile, {len(fresh)} of them executed, {len(executed)} in all")
    assert len(fresh) > 0.8 * len(more)


def fill(client: redis.Redis, count: int) -> int:
    client.sadd("_kombu.binding.celery", b"celery\x06\x16\x06\x16celery")
    client.lpush("celery", *(message(str(n), "t", [n]) for n in range(count)))
    return count


def produce(url: str, enough: threading.Event, first: int, more: list[int]) -> None:
    """Thirty a second."""
    with redis.Redis.from_url(url) as client:
        while not enough.wait(1 / 30):
            number = first + len(more)
            client.lpush("celery", message(str(number), "t", [number]))
            more.append(number)


def kill_one(url: str, after_s: float) -> None:
    command = [sys.executable, "-m", "tidegate", "drain-newest", "celery", url, "--for", "1m", "--yes"]
    with subprocess.Popen(command, env=python_environment(Path.cwd()), stderr=subprocess.DEVNULL) as process:
        begun = time.monotonic() + 30
        while call("relief", "list", url, "--json").parsed[:1] == [] and time.monotonic() < begun:
            time.sleep(0.05)
        time.sleep(after_s)  # decides nothing: any instant will do
        os.kill(process.pid, signal.SIGKILL)


def await_executed(client: redis.Redis, count: int) -> None:
    until = time.monotonic() + 60
    while client.llen("executed") < count:
        assert time.monotonic() < until, f"{client.llen('executed')} of {count}"
        time.sleep(0.1)
