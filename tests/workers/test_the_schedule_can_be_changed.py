"""Live control of real beats: in force within a second, kept over a restart, also while two of them run, and journaled."""

import sys

import pytest

from act.taking import until
from faces.shell import call
from projects import write

LEASE = "tidegate:beat:1:shop:lease"
PROJECT = """
import os
from celery import Celery
import tidegate
app = Celery("shop", broker=os.environ["CELERY_BROKER_URL"])
app.conf.update(
    beat_scheduler="tidegate",
    beat_schedule={
        "quick": {"task": "shop.quick", "schedule": 0.2, "options": {"queue": "quick", "expires": 0}},
        "slow": {"task": "shop.slow", "schedule": 3600.0, "options": {"queue": "slow"}},
    },
)
tidegate.install(app)
@app.task(name="shop.quick", shared=False)
def quick(): pass
@app.task(name="shop.slow", shared=False)
def slow(): pass
"""


class Operator:
    """Acts on the schedule in this process, as `tidegate schedule … -A proj` does in one of its own."""

    def __init__(self, url, client):
        self.url, self.client = url, client

    def act(self, *words):
        ran = call("schedule", *words, self.url, "-A", "proj", "--json")
        assert ran.code == 0, ran.said
        return ran.parsed

    def sent(self, queue):
        return self.client.llen(queue)

    def run_now(self):
        """One run of `slow`, waited for: what beat did meanwhile it did by the orders that were there before."""
        before = self.sent("slow")
        self.act("run-now", "slow")
        until(lambda: self.sent("slow") == before + 1)


@pytest.fixture
def operator(broker_url, redis_client, tmp_path, monkeypatch):
    write(tmp_path / "operator", proj=PROJECT)
    monkeypatch.chdir(tmp_path / "operator")
    monkeypatch.setenv("CELERY_BROKER_URL", broker_url)
    monkeypatch.syspath_prepend(str(tmp_path / "operator"))
    monkeypatch.delitem(sys.modules, "proj", raising=False)
    yield Operator(broker_url, redis_client)
    monkeypatch.delitem(sys.modules, "proj", raising=False)


def test_an_order_is_in_force_within_a_second_and_over_a_restart(operator, broker_url, celery_beat):
    beat = celery_beat(PROJECT, broker_url)
    until(lambda: operator.sent("quick") > 3)

    slower = operator.act("set", "quick", "--every", "1h")
    sent = operator.sent("quick")
    operator.run_now()
    assert slower["in_force"] is True
    assert slower["waited_s"] < 1
    assert operator.sent("quick") == sent

    operator.act("set", "quick", "--every", "0.1")
    until(lambda: operator.sent("quick") > sent + 5)
    paused = operator.act("pause", "quick", "--why", "a restart")
    sent = operator.sent("quick")
    beat.stop()
    celery_beat(PROJECT, broker_url)
    operator.run_now()
    assert paused["in_force"] is True
    assert operator.sent("quick") == sent

    operator.act("resume", "quick")
    until(lambda: operator.sent("quick") > sent)
    lines = operator.act("show", "quick")["journal"]
    assert [(line["what"], line["was"], line["now"], line["why"]) for line in reversed(lines)] == [
        ("set", "nothing ordered", "every 3600 s", ""),
        ("set", "every 3600 s", "every 0.1 s", ""),
        ("pause", "every 0.1 s", "every 0.1 s, paused", "a restart"),
        ("resume", "every 0.1 s, paused", "every 0.1 s", ""),
    ]
    assert {line["who"] for line in lines} == {slower["who"]}


def test_an_order_holds_with_two_beats_and_when_the_leading_one_is_killed(
    operator, broker_url, redis_client, celery_beat
):
    first = celery_beat(PROJECT, broker_url)
    until(lambda: operator.sent("quick") > 0)
    led = redis_client.get(LEASE)
    celery_beat(PROJECT, broker_url)

    assert operator.act("pause", "quick")["in_force"] is True
    sent = operator.sent("quick")
    operator.run_now()
    first.signal(9)
    until(lambda: redis_client.get(LEASE) not in (None, led))
    operator.run_now()
    assert operator.sent("quick") == sent

    assert operator.act("reset", "quick")["in_force"] is True
    until(lambda: operator.sent("quick") > sent)
    [row] = [row for row in operator.act("list")["entries"] if row["entry"] == "quick"]
    assert (row["interval_why"], row["paused"], row["last_outcome"]) == ("as declared", False, "sent")
