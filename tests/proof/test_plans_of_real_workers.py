"""What a plan says from measurements at a safe load, against the edge that real workers really have.

The edge is found by trying: intervals are halved towards the one at which the backlog just stops growing. Slow; run by
`make proof`.
"""

import itertools
import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from tidegate.cli.main import tidegate

pytestmark = pytest.mark.proof

APP = """
import itertools
import math
import time

from celery import Celery

import tidegate

app = Celery("proj")
tidegate.install(app)


def evenly():
    # Van der Corput's sequence: any sixty-four draws in a row lie evenly, so their mean is the law's.
    for number in itertools.count(1):
        value, part = 0.0, 0.5
        while number:
            value, number, part = value + part * (number & 1), number >> 1, part / 2
        yield value


LAWS = {
    "constant": lambda u: 1.0,
    "exponential": lambda u: -math.log(1 - u),
    "heavy-tailed": lambda u: 0.6 * (1 - u) ** (-1 / 2.5),
    "bimodal": lambda u: 5.5 if u > 0.9 else 0.5,
}
DRAWS = evenly()


@app.task(name="work.wait", ignore_result=True)
def wait(law, mean_s):
    time.sleep(mean_s * LAWS[law](next(DRAWS)))


@app.task(name="work.other", ignore_result=True)
def other(seconds):
    time.sleep(seconds)


@app.task(name="work.fan", ignore_result=True)
def fan(children, seconds):
    for _ in range(children):
        other.delay(seconds)


@app.task(name="work.compute", ignore_result=True)
def compute(cpu_s):
    end = time.process_time() + cpu_s
    while time.process_time() < end:
        pass
"""
ENTRY = "refresh"
MEASURED_S = 60.0
TRIED_S = 15.0
HALVINGS = 4


@dataclass(frozen=True)
class Case:
    """A workload: the entry under question, what else comes, the workers, and how near the plan has to be."""

    says: str
    task: str
    args: tuple
    about_s: float
    others: tuple[tuple[str, str, tuple, float], ...] = ()
    worker: tuple[str, ...] = ("-c", "1")
    within: float = 0.05

    def schedule(self, interval_s: float) -> str:
        rows: dict[str, Any] = {ENTRY: {"task": self.task, "args": self.args, "schedule": interval_s}}
        rows |= {name: {"task": task, "args": args, "schedule": every} for name, task, args, every in self.others}
        return f"{APP}\napp.conf.beat_schedule = {rows!r}\n"


CASES = [
    Case("constant", "work.wait", ("constant", 0.1), 0.1),
    Case("exponential", "work.wait", ("exponential", 0.1), 0.1),
    Case("heavy-tailed", "work.wait", ("heavy-tailed", 0.1), 0.1),
    Case("bimodal", "work.wait", ("bimodal", 0.1), 0.1),
    Case(
        "two tasks in one pool", "work.wait", ("constant", 0.1), 0.08, (("b", "work.other", (0.15,), 0.4),), ("-c", "2")
    ),
    Case("one to twenty", "work.fan", (20, 0.05), 1.05),
    Case("computing, four processes on the cores there are", "work.compute", (0.1,), 0.05, (), ("-c", "4"), 0.10),
]


def plan(url: str, *options: str) -> dict[str, Any]:
    result = CliRunner().invoke(tidegate, ["plan", url, "--json", *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return json.loads(result.stdout)


def entry_of(answer: dict[str, Any]) -> dict[str, Any]:
    return next(row for row in answer["entries"] if row["entry"] == ENTRY)


def waiting(client: redis.Redis) -> int:
    return client.llen("celery") + client.hlen("unacked")


def work_waiting(client: redis.Redis, case: Case) -> float:
    """Firings that wait, children counted as their part of one: of a firing that fans out messages tell little."""
    if case.task != "work.fan":
        return waiting(client)
    texts = [*client.lrange("celery", 0, -1), *client.hvals("unacked")]
    parents = sum(b'"work.fan"' in text for text in texts)
    return parents + (len(texts) - parents) / case.args[0]


def slope(look: Callable[[], float], lasts_s: float) -> float:
    """What is looked at gains so much per second, by least squares over many looks."""
    began, looks = time.monotonic(), []
    while (at_s := time.monotonic() - began) < lasts_s:
        looks.append((at_s, look()))
        time.sleep(0.05)
    middle, level = (sum(values) / len(looks) for values in zip(*looks, strict=True))
    return sum((at - middle) * (depth - level) for at, depth in looks) / sum((at - middle) ** 2 for at, _ in looks)


def grows(case: Case, interval_s: float, client: redis.Redis, url: str, celery_beat: Any) -> bool:
    """Whether more than a hundredth of what comes stays behind, tried with an empty queue."""
    beat = celery_beat(case.schedule(interval_s), url)
    time.sleep(max(2.0, 2 * interval_s))
    gained = slope(lambda: work_waiting(client, case), max(TRIED_S, 25 * interval_s))
    beat.stop()
    client.delete("celery")
    deadline = time.monotonic() + 30
    while waiting(client):
        assert time.monotonic() < deadline, "the workers did not finish what they had"
        time.sleep(0.05)
    return gained > 0.01 / interval_s


def edge_by_trying(case: Case, client: redis.Redis, url: str, celery_beat: Any) -> float:
    low, high = 0.8 * case.about_s, 1.25 * case.about_s
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if grows(case, middle, client, url, celery_beat):
            low = middle
        else:
            high = middle
    return (low + high) / 2


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.says)
def test_the_planned_edge_is_where_the_backlog_of_real_workers_begins_to_grow(
    case, broker_url, redis_client, celery_worker, celery_beat
):
    celery_worker(APP, broker_url, *case.worker)
    beat = celery_beat(case.schedule(1.3 * case.about_s), broker_url)
    time.sleep(MEASURED_S)
    beat.stop()
    row = entry_of(plan(broker_url))
    truth = edge_by_trying(case, redis_client, broker_url, celery_beat)
    print(f"{case.says}: tried {truth:.4f}, planned {row['edge_interval_s']:.4f} "
          f"({row['edge_interval_low_s']:.4f} to {row['edge_interval_high_s']:.4f}); {row['basis']}")  # fmt: skip
    assert row["edge_interval_s"] == pytest.approx(truth, rel=case.within)
    assert row["edge_interval_low_s"] <= truth <= row["edge_interval_high_s"]


def test_with_a_worker_host_killed_the_queue_grows_as_the_plan_said(
    broker_url, redis_client, celery_worker, celery_beat
):
    celery_worker(APP, broker_url, "-c", "1", "-n", "w1@east")
    lost = celery_worker(APP, broker_url, "-c", "1", "-n", "w2@west")
    case = Case("", "work.wait", ("constant", 0.12), 0.08)
    celery_beat(case.schedule(0.08), broker_url)
    time.sleep(MEASURED_S)
    row = entry_of(plan(broker_url, "--hosts-lost", "1"))
    lost.signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while redis_client.llen("celery") < 10:
        assert time.monotonic() < deadline, "the queue does not grow"
        time.sleep(0.05)
    measured = slope(lambda: redis_client.llen("celery"), 30.0)
    said = row["with_hosts_lost"][0]["growth_per_s"]
    print(f"one of two hosts killed: said {said:.3f}/s, measured {measured:.3f}/s")
    assert row["growth_per_s"] == 0
    assert said == pytest.approx(measured, rel=0.10)


def test_numbers_drawn_evenly_have_the_mean_of_their_law():
    """What the cases rest on: the mean of every law is 1."""
    scope: dict[str, Any] = {}
    exec(APP.split("app = Celery")[0] + APP[APP.index("def evenly") : APP.index("DRAWS =")], scope)
    draws = list(itertools.islice(scope["evenly"](), 1 << 14))
    for name, law in scope["LAWS"].items():
        assert sum(map(law, draws)) / len(draws) == pytest.approx(1.0, rel=0.02), name
