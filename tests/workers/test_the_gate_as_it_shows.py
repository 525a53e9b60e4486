"""`tidegate gate status` on real workers: what they hold, who of them has the gate, and what of it is left after a crash."""

import json
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from tidegate.cli.main import tidegate
from tidegate.units import parse_size

APP = """
import time
from celery import Celery
import tidegate

app = Celery("proj")
tidegate.install(app)
app.conf.tidegate_queues = {"celery": {"max_length": 100}, "full": {"max_length": 3, "x-overflow": "drop-head"}}
app.conf.tidegate_gate_memory = "1GB"

@app.task(name="nap", ignore_result=True, overlap="buffer_one", shared=False)
def nap(seconds):
    time.sleep(seconds)

@app.task(name="add", ignore_result=True, shared=False)
def add(number):
    pass
"""
PLAIN = APP.replace("tidegate.install(app)\n", "tidegate.install(app, gate=False)\n")


@pytest.fixture
def publisher(broker_url, tmp_path, monkeypatch):
    """The same application in this process; its tasks are not shared, or those of other tests would be shadowed."""
    (tmp_path / "gated_proj.py").write_text(APP)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("CELERY_BROKER_URL", broker_url)
    import gated_proj

    yield gated_proj
    gated_proj.app.close()
    del sys.modules["gated_proj"]


def status(*words: str) -> dict[str, Any]:
    result = CliRunner().invoke(tidegate, ["gate", "status", *words, "--window", "0.2", "--json"])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def once(words: tuple[str, ...], is_so: Callable[[dict[str, Any]], bool], within_s: float = 30.0) -> dict[str, Any]:
    deadline = time.monotonic() + within_s
    while not is_so(seen := status(*words)):
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
    return seen


def mark_of(seen: dict[str, Any], key: str) -> dict[str, Any]:
    return next((mark for mark in seen["gate"]["marks"] if mark["key"] == key), {})


def queue_of(seen: dict[str, Any], name: str) -> dict[str, Any]:
    return next(queue for queue in seen["gate"]["queues"] if queue["name"] == name)


def test_bounds_marks_and_counts_are_shown_as_they_are(publisher, broker_url):
    for number in range(5):
        publisher.add.apply_async((number,), queue="full")
    kept = publisher.nap.delay(1)
    assert publisher.nap.delay(1).id == kept.id
    seen = status("-A", "gated_proj", broker_url)
    full = queue_of(seen, "full")
    assert (full["depth"], full["max_length"], full["overflow"], full["share"]) == (3, 3, "drop-head", 1.0)
    assert full["counts"] == {"dropped_head": 2}
    assert queue_of(seen, "celery")["counts"] == {"overlap_skipped": 1}
    assert {k: mark_of(seen, "nap(1)")[k] for k in ("id", "state", "worker", "alive")} == {
        "id": kept.id, "state": "waiting", "worker": None, "alive": None,
    }  # fmt: skip
    assert seen["gate"]["memory"]["ceiling_bytes"] == parse_size("1GB")
    assert [decision["what"] for decision in seen["journal"]] == ["overlap_skipped", "dropped_head", "dropped_head"]
    [bound] = [finding for finding in seen["findings"] if finding["rule"] == "TG140"]
    assert (bound["level"], bound["evidence"]["queue"]) == ("warning", "full")


def test_a_worker_s_hold_is_shown_while_it_lives_and_after_it_was_killed(publisher, broker_url, celery_worker):
    worker = celery_worker(APP, broker_url, "-c", "1", "-n", "gated@%h")
    for seconds in (30, 31):
        publisher.nap.delay(seconds)
    seen = once((broker_url,), lambda seen: mark_of(seen, "nap(31)").get("state") == "held")
    [node] = seen["gate"]["fleet"]["with_gate"]
    assert node.startswith("gated@")
    assert mark_of(seen, "nap(31)")["worker"] == node
    assert mark_of(seen, "nap(31)")["alive"] is True
    worker.signal(signal.SIGKILL)
    seen = once((broker_url,), lambda seen: mark_of(seen, "nap(31)").get("alive") is False)
    assert seen["gate"]["fleet"]["with_gate"] == []


def test_in_a_mixed_fleet_every_message_runs_and_the_worker_without_the_gate_is_named(
    publisher, broker_url, redis_client, celery_worker
):
    celery_worker(APP, broker_url, "-c", "1", "-n", "gated@%h")
    celery_worker(PLAIN, broker_url, "-c", "1", "-n", "plain@%h")
    for number in range(20):
        publisher.add.delay(number)
        publisher.nap.delay(number / 1000)
    deadline = time.monotonic() + 30
    while redis_client.llen("celery") or redis_client.hlen("unacked"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    result = CliRunner().invoke(tidegate, ["gate", "status", broker_url, "--window", "2.5", "--json"])
    seen = json.loads(result.stdout)
    assert [name.partition("@")[0] for name in seen["gate"]["fleet"]["with_gate"]] == ["gated"]
    assert [name.partition("@")[0] for name in seen["gate"]["fleet"]["without_gate"]] == ["plain"]
    assert seen["gate"]["fleet"]["mixed"] is True
    assert [finding["level"] for finding in seen["findings"] if finding["rule"] == "TG148"] == ["warning"]
