"""The edge interval seen from outside against the one that follows from the run times, over several workloads.

Slow: every case needs a real worker and a window of its own. `make proof` runs them.
"""

import json
import time
from dataclasses import dataclass

import pytest
from click.testing import CliRunner

from tidegate.cli.main import tidegate

pytestmark = pytest.mark.proof

APP = """
import time
from celery import Celery

app = Celery("proj")

@app.task(name="work.one")
def one(seconds):
    time.sleep(seconds)

@app.task(name="work.other")
def other(seconds):
    time.sleep(seconds)

@app.task(name="work.fan")
def fan(children, seconds):
    for _ in range(children):
        one.delay(seconds)
"""
#: What a worker adds to every run, in seconds: measured here with a task that does nothing.
WORKER_S = 0.0014


@dataclass(frozen=True)
class Case:
    """A workload: what beat sends, how the worker runs it, and the edge interval of `task` that follows."""

    says: str
    entries: dict[str, tuple[str, tuple, float]]
    task: str
    edge_s: float
    worker: tuple[str, ...] = ("-c", "1")
    window_s: float = 10.0
    within: float = 0.05


CASES = [
    Case("one constant task", {"a": ("work.one", (0.12,), 0.1)}, "work.one", 0.12 + WORKER_S),
    Case("the story at its own speed", {"a": ("work.one", (1.2,), 1.0)}, "work.one", 1.2 + WORKER_S, window_s=30.0),
    Case("two slots", {"a": ("work.one", (0.2,), 0.08)}, "work.one", 0.1 + WORKER_S / 2, ("-c", "2")),
    Case("threads", {"a": ("work.one", (0.2,), 0.04)}, "work.one", 0.05, ("-c", "4", "-P", "threads")),
    Case(
        "a firing of twenty",
        {"a": ("work.fan", (20, 0.06), 1.0)},
        "work.fan",
        # The parent publishes for some 25 ms.
        20 * (0.06 + WORKER_S) + 0.025,
        window_s=20.0,
    ),
    Case(
        "two tasks of one length",
        {"a": ("work.one", (0.1,), 0.15), "b": ("work.other", (0.1,), 0.25)},
        "work.one",
        1 / (1 / (0.1 + WORKER_S) - 4),
        window_s=20.0,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_the_edge_seen_from_outside_is_the_one_that_follows_from_the_run_times(
    case, broker_url, redis_client, celery_worker, celery_beat
):
    celery_worker(APP, broker_url, *case.worker)
    schedule = {
        name: {"task": task, "args": args, "schedule": every} for name, (task, args, every) in case.entries.items()
    }
    celery_beat(f"{APP}\napp.conf.beat_schedule = {schedule!r}\n", broker_url)
    deadline = time.monotonic() + 60
    while redis_client.llen("celery") < 5:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    result = CliRunner().invoke(tidegate, ["doctor", broker_url, "--json", "--window", str(case.window_s)])
    diagnosis = json.loads(result.stdout)
    row = next(row for row in diagnosis["tasks"] if row["name"] == case.task)
    assert diagnosis["verdict"] == "growing"
    assert row["edge_interval_s"] == pytest.approx(case.edge_s, rel=case.within)
