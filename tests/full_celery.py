"""A full server with stock workers that die at their start and are started again, and producers that never stop trying.

Workers write the number of each message that they execute to a file, producers those that were accepted: the account.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import redis

from tidegate.demo.broker import PrivateBroker
from tidegate.demo.processes import Guarded, python_environment

PROJECT = """
import os, sys, time
from celery import Celery

app = Celery("proj", broker=os.environ["CELERY_BROKER_URL"])
app.conf.task_ignore_result = True
app.conf.task_publish_retry = False
app.conf.worker_prefetch_multiplier = 1
app.conf.broker_connection_retry_on_startup = True

@app.task(name="work")
def work(number, ballast):
    with open(os.environ["EXECUTED"], "a") as notes:
        notes.write(f"{number}\\n")
    time.sleep(float(os.environ.get("TAKES_S", "0")))

def produce(rate):
    number = int(os.environ["FROM"])
    print("producing", flush=True)
    while not os.path.exists(os.environ["STOP"]):
        try:
            work.apply_async((number, "x" * 800))
        except Exception as error:
            if "used memory" not in str(error):
                print(type(error).__name__, error, flush=True)
        else:
            with open(os.environ["PUBLISHED"], "a") as notes:
                notes.write(f"{number}\\n")
            number += 1
        time.sleep(1 / rate)
    print("ended", flush=True)

if __name__ == "__main__":
    produce(float(sys.argv[1]))
"""
AGAIN = """
import subprocess, sys, time
while True:
    code = subprocess.call(sys.argv[1:])
    print("the worker exited with", code, flush=True)
    time.sleep(0.2)
"""


class FullCelery:
    """The queue, filled to the server's limit with real messages, whose workers and producers are started here."""

    def __init__(self, running: ExitStack, place: Path, broker: PrivateBroker, takes_s: float = 0.0) -> None:
        self.running, self.place, self.broker = running, place, broker
        (place / "proj.py").write_text(PROJECT)
        (place / "again.py").write_text(AGAIN)
        self.redis = redis.Redis.from_url(broker.url)
        self.filled = 0
        self._takes_s = takes_s

    def fill(self) -> None:
        """Copies of one real message, each with its number and a tag of its own, until the server refuses the next."""
        program = "import proj; proj.work.apply_async((10**7, 'x' * 800))"
        self._start("first", "-c", program).wait(60)
        first = self.redis.rpop("celery")
        body_and_tags = _Template(first)
        # Many in one command: of several commands, one could be refused and a later one taken.
        for at_once in (100, 1):
            with suppress(redis.exceptions.OutOfMemoryError):
                while True:
                    numbers = range(self.filled, self.filled + at_once)
                    self.redis.lpush("celery", *map(body_and_tags.message, numbers))
                    self.filled += at_once

    def start_workers(self) -> Guarded:
        """One stock worker, started again whenever it exits."""
        worker = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "proj",
            "worker",
            "-P",
            "solo",
            "--without-gossip",
            "--without-mingle",
        ]
        return self._start("workers", "again.py", *worker)

    def start_producer(self, per_s: float) -> Guarded:
        """Tries so often a second, whatever the answer."""
        producer = self._start("producer", "proj.py", str(per_s))
        producer.wait_for_line("^producing$", 60)
        return producer

    def start_rescue(self, directory: Path, *more: str) -> Guarded:
        """`tidegate rescue --yes` in a process of its own."""
        rescue = ["-m", "tidegate", "rescue", self.broker.url, "--dir", str(directory), "--yes", *more]
        return self._start("rescue", *rescue)

    def stop_producing(self) -> None:
        """The producer ends after its present try."""
        (self.place / "stop").touch()

    def executed(self) -> list[int]:
        """The numbers in the order of their execution."""
        return _numbers(self.place / "executed")

    def published(self) -> int:
        """How many were accepted."""
        return self.filled + len(_numbers(self.place / "published"))

    def _start(self, name: str, *arguments: str) -> Guarded:
        variables = {
            "CELERY_BROKER_URL": self.broker.url,
            "EXECUTED": str(self.place / "executed"),
            "PUBLISHED": str(self.place / "published"),
            "STOP": str(self.place / "stop"),
            "FROM": str(self.filled),
            "TAKES_S": str(self._takes_s),
        }
        process = Guarded(
            [sys.executable, *arguments],
            self.place / f"{name}.log",
            environment=python_environment(self.place, variables),
            directory=self.place,
            grace_s=1.0,
        )
        self.running.callback(process.stop)
        return process


class _Template:
    """A message as Celery made it, for other numbers."""

    def __init__(self, element: bytes) -> None:
        import base64
        import json

        self._message = json.loads(element)
        self._body = json.loads(base64.b64decode(self._message["body"]))

    def message(self, number: int) -> bytes:
        """The same with another number, and a tag and id of its own."""
        import base64
        import json
        import uuid

        self._body[0][0] = number
        tag = str(uuid.uuid4())
        message = {**self._message, "body": base64.b64encode(json.dumps(self._body).encode()).decode()}
        message["properties"] = {**message["properties"], "delivery_tag": tag, "correlation_id": tag}
        message["headers"] = {**message["headers"], "id": tag, "root_id": tag}
        return json.dumps(message).encode()


def _numbers(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


@contextmanager
def full_celery(place: Path, broker: PrivateBroker, takes_s: float = 0.0) -> Iterator[FullCelery]:
    """A full server whose processes end with the test."""
    with ExitStack() as running:
        found = FullCelery(running, place, broker, takes_s)
        found.fill()
        yield found


def wait_until(is_so, seconds: float, what: str) -> float:
    """Seconds until it was so; AssertionError where it never is."""
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - began


def kill(process: Guarded) -> None:
    """SIGKILL, and nothing left of it."""
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
