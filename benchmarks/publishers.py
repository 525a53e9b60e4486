"""Processes that publish when they are told to, several kinds of them side by side: plain Celery, and through the gate."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import redis

from benchmarks.workers import PROJECT
from tidegate.demo.broker import PrivateBroker
from tidegate.demo.processes import python_environment

#: Obeys lines on stdin: "delay 300" or "batch 300" publishes so many messages; answers with the seconds it took.
_OBEYS = """
import sys, time
from proj import app, noop

def delay(count):
    for number in range(count):
        noop.delay(number)

def batch(count):
    with app.producer_pool.acquire(block=True) as producer, producer.batch(100):
        for number in range(count):
            noop.apply_async((number,), producer=producer)

for line in sys.stdin:
    how, count = line.split()
    began = time.perf_counter()
    {"delay": delay, "batch": batch}[how](int(count))
    print(time.perf_counter() - began, flush=True)
"""


class Publishers:
    """One process of every way, each with a database of its own; only one of them works at a time."""

    def __init__(self, server: PrivateBroker, running: ExitStack, ways: dict[str, str]) -> None:
        self.clients: dict[str, redis.Redis] = {}
        self._processes: dict[str, subprocess.Popen[str]] = {}
        place = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-bench-")))
        for db, (way, added) in enumerate(ways.items()):
            url = server.url.removesuffix("/0") + f"/{db}"
            self.clients[way] = running.enter_context(redis.Redis(unix_socket_path=str(server.socket_path), db=db))
            self._processes[way] = running.enter_context(_started(place / str(db), url, added))
            running.callback(self._processes[way].terminate)

    def publish(self, way: str, how: str, count: int) -> float:
        """Messages per second; the database is empty before and after it."""
        self.clients[way].flushdb()
        process = self._processes[way]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{how} {count}\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer or self.clients[way].llen("celery") != count:
            raise SystemExit(f"the publisher {way!r} does not publish")
        self.clients[way].flushdb()
        return count / float(answer)


def _started(place: Path, url: str, added: str) -> subprocess.Popen[str]:
    place.mkdir()
    (place / "proj.py").write_text(PROJECT + added)
    environment = python_environment(place, {"CELERY_BROKER_URL": url})
    return subprocess.Popen(
        [sys.executable, "-c", _OBEYS],
        env=environment,
        cwd=place,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def commands_sent(client: redis.Redis, work: Callable[[], object]) -> int:
    """How many commands clients of this database send during the work; what scripts call is not among them."""
    db = client.connection_pool.connection_kwargs["db"]
    with client.monitor() as monitor:
        work()
        client.echo("done")
        sent = 0
        for seen in monitor.listen():
            if seen["db"] == db and seen["client_type"] != "lua":
                if seen["command"].startswith("ECHO"):
                    return sent
                sent += 1
    return sent
