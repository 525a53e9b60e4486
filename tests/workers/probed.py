"""An application with the probe, and what its real workers left in Redis."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery

from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.facts.measured import Key, Measured, Runs, Slice
from tidegate.facts.merging import coarsened
from tidegate.observe.measured import read_measured

APP = """
import os, signal, time
from celery import Celery, chain, chord, group
from celery.exceptions import Ignore, Reject
import tidegate

app = Celery("proj")
app.conf.tidegate_probe_every_s = 1
tidegate.install(app, gate=False)

@app.task(name="nap", ignore_result=True)
def nap(seconds=0.01):
    time.sleep(seconds)

@app.task(name="fail", ignore_result=True)
def fail():
    raise ValueError("on purpose")

@app.task(name="again", bind=True, ignore_result=True, max_retries=2, default_retry_delay=0)
def again(self):
    raise self.retry(countdown=0)

@app.task(name="ignored", ignore_result=True)
def ignored():
    raise Ignore()

@app.task(name="die", ignore_result=True)
def die():
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGKILL)

@app.task(name="soft", ignore_result=True, soft_time_limit=0.2)
def soft():
    time.sleep(30)

@app.task(name="hard", ignore_result=True, time_limit=0.3)
def hard():
    began = time.monotonic()
    with app.connection_for_write() as connection:
        while True:
            connection.default_channel.client.set("lived_s", time.monotonic() - began)
            time.sleep(0.005)

@app.task(name="burn", ignore_result=True)
def burn(cpu_s):
    end = time.process_time() + cpu_s
    while time.process_time() < end:
        pass

@app.task(name="spread", ignore_result=True)
def spread(count):
    for _ in range(count):
        nap.delay(0.001)
    (nap.si(0.001) | nap.si(0.001)).delay()

@app.task(name="eager", ignore_result=True)
def eager():
    nap.apply((0.001,))
    nap(0.001)
"""


@contextmanager
def sender(url: str) -> Iterator[Celery]:
    """An application that publishes and knows nothing of Tidegate."""
    with Celery("sender", broker=url) as app:
        yield app


def send(url: str, task: str, count: int = 1, args: tuple[Any, ...] = (), **options: Any) -> None:
    with sender(url) as app:
        for _ in range(count):
            app.send_task(task, args, **options)


def measured(url: str) -> Measured:
    with connect(parse_address(url)) as broker:
        return read_measured(broker)


def whole(url: str) -> Slice:
    slices = list(measured(url).slices)
    begins = min((slice_.start_s for slice_ in slices), default=0)
    return coarsened(slices, begins, max((s.start_s + s.length_s for s in slices), default=60) - begins)


def runs_of(url: str, task: str, entry: str = "", queue: str = "celery") -> Runs:
    return whole(url).runs.get(Key(task, queue, entry)) or Runs()


def outcomes(url: str) -> dict[str, Counter[str]]:
    return {key.task: +runs.outcomes for key, runs in whole(url).runs.items()}


def eventually(is_so: Callable[[], Any], within_s: float = 30.0) -> Any:
    """What it gives, as soon as that is true."""
    deadline = time.monotonic() + within_s
    while not (found := is_so()):
        if time.monotonic() > deadline:
            pytest.fail("it did not happen in time")
        time.sleep(0.1)
    return found


def wait_for(look: Callable[[], Any], expected: Any, within_s: float = 60.0) -> None:
    """Until it gives what is expected; says what it gave where it does not."""
    deadline = time.monotonic() + within_s
    while (found := look()) != expected and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found == expected
