"""A Redis at its memory limit is rescued: workers consume within 10 s, and every message is executed once, in order.

Stock workers die at their start and are started again, a producer never stops trying, and the rescue is killed by SIGKILL
at random and started again with the same directory. Then the same with the server killed as well (AOF, appendfsync
always), whose consumer notes what it takes in the moment in which it takes it; and a kill at every boundary there is
between the disk and the server.

It runs on the embedded Valkey, and on Redis where a `redis-server` is on PATH. `TIDEGATE_PROOF_KILLS` is how often the
rescue is killed (30).
"""

import itertools
import os
import random
import shutil
import sys
import time
from contextlib import ExitStack

import pytest

from act.full_server import FullServer, rescued_with_a_kill_at
from full_celery import full_celery, kill, wait_until
from tidegate.demo.binary import find_binary
from tidegate.demo.broker import PrivateBroker
from tidegate.demo.processes import Guarded, python_environment

pytestmark = pytest.mark.proof

KILLS = int(os.environ.get("TIDEGATE_PROOF_KILLS", "30"))
STARTS_CONSUMING_S = 10.0


def servers():
    """The embedded one, and Redis where it is installed."""
    yield pytest.param(None, id="valkey")
    redis = shutil.which("redis-server")
    missing = pytest.mark.skip(reason="no redis-server on PATH")
    yield pytest.param(redis, id="redis", marks=() if redis else missing)


@pytest.fixture(params=servers())
def full_broker(request):
    """`full_broker(maxmemory)`: a server with noeviction that keeps what it acknowledged."""
    with ExitStack() as brokers:

        def start(maxmemory: str, **config: str) -> PrivateBroker:
            directives = {"maxmemory": maxmemory, "maxmemory-policy": "noeviction", **config}
            return brokers.enter_context(PrivateBroker(request.param or find_binary(), directives))

        yield start


@pytest.mark.timeout(600)
def test_workers_consume_within_ten_seconds_and_execute_everything_once_in_order(tmp_path, full_broker):
    chance = random.Random(6)
    killed = 0
    # As slow as that, so that the rescue is not over before it was killed often.
    with full_celery(tmp_path, full_broker("30mb"), takes_s=0.005) as site:
        workers = site.start_workers()
        site.start_producer(300)
        workers.wait_for_line("the worker exited with", 60)
        began = time.monotonic()
        rescue = site.start_rescue(tmp_path / "dir")
        wait_until(site.executed, STARTS_CONSUMING_S, "a worker executes a message")
        consuming_s = time.monotonic() - began
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.0, 0.7))
            if rescue.poll() == 0:
                break
            kill(rescue)
            killed += 1
            rescue.start()
        site.stop_producing()
        wait_until(lambda: rescue.poll() == 0, 300, "the rescue ends")
        wait_until(lambda: len(site.executed()) >= site.published(), 300, "everything is executed")
        executed, published = site.executed(), site.published()
    print(
        f"consuming after {consuming_s:.2f} s; killed {killed} times; {published} published; last: {rescue.last_words()}"
    )

    assert executed == list(range(published))


@pytest.mark.timeout(1200)
def test_a_kill_at_every_boundary_between_disk_and_server_changes_nothing(tmp_path, full_broker, monkeypatch):
    wrong = []
    for kill_at in itertools.count(1):
        server = FullServer(full_broker("8mb"))
        server.fill()
        boundaries = rescued_with_a_kill_at(server, tmp_path / str(kill_at), monkeypatch, kill_at)
        if server.order() != list(range(server.published)):
            wrong.append(kill_at)
        server.redis.close()
        server.broker.stop()
        if not boundaries.killed:
            break
    print(f"{kill_at - 1} boundaries")

    assert wrong == []
    assert kill_at > 60


@pytest.mark.timeout(600)
def test_a_server_that_is_killed_as_well_keeps_every_acknowledged_message_once_in_order(tmp_path, full_broker):
    chance = random.Random(9)
    broker = full_broker("24mb", appendonly="yes", appendfsync="always")
    server = FullServer(broker, weight=1000)
    server.fill()
    rescue = started(tmp_path, broker)
    rescue.wait_for_line("^Room made", 30)
    try:
        for _ in range(KILLS):
            until = time.monotonic() + chance.uniform(0.1, 1.5)
            while time.monotonic() < until:
                server.consume(10)
                server.publish(5)
                time.sleep(0.01)
            if chance.random() < 0.4:
                kill(rescue)
            if chance.random() < 0.4:
                broker.kill()
                broker.restart()
            if rescue.poll() is not None:
                rescue.start()
        while rescue.wait(0.01) != 0:
            server.consume(50)
            if rescue.poll() not in (None, 0):
                rescue.start()
    finally:
        rescue.stop()
    print(f"{server.published} published; the last words: {rescue.last_words()}")

    assert server.order() == list(range(server.published))


def started(place, broker) -> Guarded:
    """`tidegate rescue --yes` in a process of its own."""
    command = ["-m", "tidegate", "rescue", broker.url, "--dir", str(place / "dir"), "--yes"]
    return Guarded([sys.executable, *command], place / "rescue.log", environment=python_environment(place))
