"""From one line in an application to the safe interval: real workers, real beat, nothing measured by hand."""

import json
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tidegate.cli.main import tidegate

APP = """
import time
from celery import Celery
import tidegate

app = Celery("proj")
app.conf.tidegate_probe_every_s = 1
tidegate.install(app)

@app.task(name="flush", ignore_result=True)
def flush(seconds):
    time.sleep(seconds)

@app.task(name="refresh", ignore_result=True)
def refresh(children, seconds):
    for _ in range(children):
        flush.delay(seconds)
"""


def scheduled(task: str, args: tuple[Any, ...], every: float) -> str:
    return APP + f'\napp.conf.beat_schedule = {{"entry": {{"task": "{task}", "args": {args}, "schedule": {every}}}}}\n'


def run(*words: str) -> Result:
    result = CliRunner().invoke(tidegate, [*words, "-v"])
    assert result.exit_code == 0, result.stderr
    return result


def plan(url: str, *options: str) -> dict[str, Any]:
    return json.loads(run("plan", url, "--json", *options).stdout)


def entry(answer: dict[str, Any]) -> dict[str, Any] | None:
    return next((row for row in answer["entries"] if row["entry"] == "entry"), None)


def once(url: str, is_so: Callable[[dict[str, Any]], bool], within_s: float = 60.0) -> dict[str, Any]:
    """The plan, as soon as it is so."""
    deadline = time.monotonic() + within_s
    while not is_so(answer := plan(url)):
        assert time.monotonic() < deadline, answer
        time.sleep(0.2)
    return answer


def known(field: str, least_firings: int = 30) -> Callable[[dict[str, Any]], bool]:
    def is_known(answer: dict[str, Any]) -> bool:
        row = entry(answer)
        return row is not None and row[field] is not None and row["firings"] >= least_firings

    return is_known


@pytest.mark.calm
def test_one_line_in_the_application_gives_the_edge_and_the_safe_interval(broker_url, celery_worker, celery_beat):
    celery_worker(APP, broker_url, "-c", "1")
    celery_beat(scheduled("flush", (0.06,), 0.1), broker_url)
    answer = once(broker_url, known("interval_s"))
    row = entry(answer)
    assert row["task"] == "flush"
    # The task, what the worker adds, and a busy machine's share.
    assert 0.06 < row["edge_interval_s"] < 0.07
    assert row["edge_interval_low_s"] < row["edge_interval_s"] < row["edge_interval_high_s"]
    assert row["min_safe_interval_s"]["estimate"] == pytest.approx(row["edge_interval_s"] / 0.8, rel=1e-4)
    assert row["interval_s"] == pytest.approx(0.1, rel=0.1)
    assert row["safe"] is True
    assert answer["pools"][0]["slots"] == answer["pools"][0]["hosts"] == 1


@pytest.mark.calm
def test_a_firing_is_counted_with_all_that_it_spawns_while_its_children_pile_up(broker_url, celery_worker, celery_beat):
    celery_worker(APP, broker_url, "-c", "1")
    celery_beat(scheduled("refresh", (10, 0.03), 0.25), broker_url)
    row = entry(once(broker_url, known("edge_interval_s", least_firings=8)))
    assert row["runs_per_firing"] == 11
    assert 0.3 < row["edge_interval_s"] < 0.42


def test_a_killed_worker_is_gone_from_the_plan_and_named(broker_url, celery_worker, celery_beat):
    celery_worker(APP, broker_url, "-c", "1", "-n", "w1@east")
    lost = celery_worker(APP, broker_url, "-c", "1", "-n", "w2@west")
    celery_beat(scheduled("flush", (0.03,), 0.05), broker_url)
    before = once(broker_url, known("edge_interval_s"))
    assert before["pools"][0]["slots"] == before["pools"][0]["hosts"] == 2
    assert entry(before)["with_hosts_lost"][0]["slots"] == 1
    lost.signal(signal.SIGKILL)
    after = once(broker_url, lambda answer: answer["pools"][0]["slots"] == 1)
    assert any("w2@west" in note for note in after["notes"])


def test_what_was_measured_can_be_simulated(broker_url, celery_worker, celery_beat):
    celery_worker(APP, broker_url, "-c", "1")
    celery_beat(scheduled("flush", (0.06,), 0.1), broker_url)
    once(broker_url, known("edge_interval_s"))
    result = run("simulate", "--from-probe", broker_url, "--duration", "10m", "--json")
    assert result.exit_code == 0, result.output
    [queue] = json.loads(result.stdout)["queues"]
    assert queue["name"] == "celery"
    assert queue["state"] == "ok"
