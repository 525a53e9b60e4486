"""An application whose tasks must not overlap, its real workers, and what a publisher sees of them."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kombu.pools
import pytest
import redis
from celery import Celery

import tidegate
from tidegate.act.gate.install import uninstall_gate
from tidegate.observe.probe.install import uninstall_probe

APP = """
import os, pathlib, signal, time
from celery import Celery
from celery.exceptions import Reject
import tidegate

app = Celery("proj")
app.conf.result_expires = 60
app.conf.broker_connection_retry_on_startup = True
tidegate.install(app)
HERE = pathlib.Path(os.environ["GUARDED_HERE"])

def wait(name):
    # Until the test writes the file; a sign of life before.
    (HERE / f"{name}.started").write_text(str(os.getpid()))
    while not (HERE / f"{name}.go").exists() and not (HERE / "over").exists():
        time.sleep(0.01)

@app.task(name="early", ignore_result=True)
def early(name="x"):
    wait(name)

@app.task(name="late", ignore_result=True, acks_late=True)
def late(name="x"):
    wait(name)

@app.task(name="again", ignore_result=True, bind=True, max_retries=3)
def again(self, name="x"):
    wait(f"{name}{self.request.retries}")
    if self.request.retries < 1:
        raise self.retry(countdown=0)

@app.task(name="limited", ignore_result=True, time_limit=1)
def limited(name="x"):
    wait(name)

@app.task(name="rejecting", ignore_result=True, acks_late=True)
def rejecting(name="x"):
    wait(name)
    raise Reject("no", requeue=False)

@app.task(name="spread", ignore_result=True)
def spread(name, children=3):
    for number in range(children):
        early.delay(f"{name}child{number}")
"""


class Site:
    """A publisher with the gate in this process, and the files by which runs are held up and let go."""

    def __init__(self, app: Celery, here: Path, url: str) -> None:
        self.app, self.here, self.url = app, here, url
        self.client = redis.Redis.from_url(url, decode_responses=True)
        self.environment = {"GUARDED_HERE": str(here)}

    def publish(self, task: str, name: str, overlap: str = "skip", **options: Any) -> bool:
        """Whether it was published, and not only the result of another run given back."""
        options = {"overlap": overlap, "overlap_key": "k", "args": (name,), **options}
        before = self.stand_ins()
        self.last = self.app.send_task(task, **options).id
        return self.stand_ins() == before

    def stand_ins(self) -> int:
        """How often another run stood in for one that was published."""
        counts = self.client.hgetall("tidegate:gate:1:counts")
        return sum(int(many) for what, many in counts.items() if what.startswith(("overlap_skipped", "replaced")))

    def started(self, name: str) -> int:
        """The process that runs it, as soon as it does."""
        at = self.here / f"{name}.started"
        return int(eventually(lambda: at.exists() and at.read_text()))

    def go(self, *names: str) -> None:
        """Lets these runs end."""
        for name in names:
            (self.here / f"{name}.go").write_text("")

    def over(self) -> None:
        """Lets all runs end, also those to come."""
        (self.here / "over").write_text("")

    def state(self, key: str) -> str:
        """What the mark says; "none" where there is none."""
        found = self.client.hget("tidegate:gate:1:marks", key)
        return str(json.loads(found)["state"]) if found else "none"

    def becomes(self, key: str, state: str) -> None:
        """Waits until the mark says so."""
        eventually(lambda: self.state(key) == state)

    def admitted_within(self, seconds: float, task: str, name: str, **options: Any) -> None:
        """Publishes twice a second until one is let in."""
        eventually(lambda: self.publish(task, name, **options), seconds, pause_s=0.5)


@contextmanager
def guarded(url: str, here: Path, **settings: Any) -> Iterator[Site]:
    """`with guarded(broker_url, tmp_path) as site:`; the process is as it was afterwards."""
    here.mkdir(exist_ok=True)
    kombu.pools.reset()
    app = Celery("publisher", broker=url)
    app.conf.update(settings)
    tidegate.install(app)
    try:
        with app:
            yield Site(app, here, url)
    finally:
        uninstall_gate()
        uninstall_probe()
        kombu.pools.reset()


def eventually(is_so: Callable[[], Any], within_s: float = 20.0, pause_s: float = 0.02) -> Any:
    """What it gives, as soon as that is true."""
    deadline = time.monotonic() + within_s
    while not (found := is_so()):
        if time.monotonic() > deadline:
            pytest.fail("it did not happen in time")
        time.sleep(pause_s)
    return found
