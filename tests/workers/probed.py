"""A project that has the probe installed, and what it left in Redis, in sums that tests can state."""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager

from celery import Celery

from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.facts.measured import Measured, Runs, WorkerSeen
from tidegate.facts.merging import merge_runs
from tidegate.observe.measured import read_measured

PROJECT = """
import os, signal, time
from celery import Celery, chain, group
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded

import tidegate

app = Celery("proj")
app.conf.tidegate_probe_every_s = 1
tidegate.install(app)

@app.task(name="quick")
def quick(*_):
    pass

@app.task(name="sleep")
def sleep(seconds):
    time.sleep(seconds)

@app.task(name="fail")
def fail():
    raise ValueError("no")

@app.task(name="retry", bind=True, max_retries=2, default_retry_delay=0.05)
def retry(self):
    if self.request.retries < 2:
        self.retry()

@app.task(name="ignore")
def ignore():
    raise Ignore()

@app.task(name="reject", acks_late=True)
def reject():
    raise Reject("no", requeue=False)

@app.task(name="parent")
def parent(children=3):
    for _ in range(children):
        quick.delay()
    # Neither an eager call nor a direct one is a run of the worker's.
    quick.apply()
    quick()

@app.task(name="canvas")
def canvas():
    chain(quick.si(), quick.si(), quick.si())()
    group(quick.si(), quick.si())()

@app.task(name="late", acks_late=True)
def late():
    pass

@app.task(name="soft", soft_time_limit=1)
def soft():
    time.sleep(30)

@app.task(name="hard", time_limit=1)
def hard():
    time.sleep(30)

@app.task(name="dies")
def dies():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def measured(url: str) -> Measured:
    with connect(parse_address(url)) as broker:
        return read_measured(broker)


def runs_of(url: str, task: str) -> Runs:
    """Everything that was counted of a task, over all slices, queues and entries."""
    total = Runs()
    for slice_ in measured(url).slices:
        for key, runs in slice_.runs.items():
            if key.task == task:
                merge_runs(total, runs)
    return total


def outcomes(url: str) -> dict[str, Counter[str]]:
    """What happened, by task."""
    found: dict[str, Counter[str]] = {}
    for slice_ in measured(url).slices:
        for key, runs in slice_.runs.items():
            found.setdefault(key.task, Counter()).update(runs.outcomes)
    return found


def the_worker(url: str) -> WorkerSeen:
    (seen,) = measured(url).workers
    return seen


def wait_for(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@contextmanager
def sender(url: str):
    """An application without the probe, that sends by name."""
    with Celery("sender", broker=url, set_as_current=False) as app:
        yield app


def send(url: str, task: str, count: int = 1, **options: object) -> None:
    with sender(url) as app:
        for _ in range(count):
            app.send_task(task, **options)
