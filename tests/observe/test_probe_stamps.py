"""Stamps at publish: the time always anew, the entry from beat to the last grandchild, and never a raise."""

import datetime
import functools
import json
import time

import pytest
from celery import Celery, signals
from celery.beat import Scheduler

from tidegate import install
from tidegate.observe.probe.stamps import Stamps


@pytest.fixture
def stamps():
    """Stamps that are connected as those of an installed probe, for this test alone."""
    own = Stamps(lambda: True)
    signals.before_task_publish.connect(own.stamp, weak=False, dispatch_uid="test")
    yield own
    signals.before_task_publish.disconnect(dispatch_uid="test")


@pytest.fixture
def app(broker_url):
    with Celery("proj", broker=broker_url, set_as_current=False) as made:
        yield made


def published(client, queue: str = "celery") -> dict[str, object]:
    return json.loads(client.lpop(queue))["headers"]


def test_every_message_says_when_it_was_published(stamps, app, redis_client):
    before = time.time()
    app.send_task("proj.task")
    headers = published(redis_client)

    assert before - 0.001 <= headers["enqueued_at"] <= time.time()
    assert "periodic_task_name" not in headers
    assert "enqueued_clock" not in headers


def test_a_stamp_that_is_there_is_written_anew_for_a_retry_copies_its_headers(stamps, app, redis_client):
    app.send_task("proj.task", headers={"enqueued_at": 5.0, "enqueued_clock": "broker", "periodic_task_name": "mine"})
    headers = published(redis_client)

    assert headers["enqueued_at"] > 1e9
    assert "enqueued_clock" not in headers
    assert headers["periodic_task_name"] == "mine"


def test_in_a_worker_the_stamp_is_in_the_brokers_time(stamps, app, redis_client):
    stamps.clock = lambda: (1_700_000_000.123456789, True)
    app.send_task("proj.task")
    headers = published(redis_client)

    assert (headers["enqueued_at"], headers["enqueued_clock"]) == (1_700_000_000.123457, "broker")


def test_a_child_carries_the_entry_of_the_run_that_published_it(stamps, app, redis_client):
    stamps.published = lambda task: "every second" if task == "proj.child" else ""
    app.send_task("proj.child")
    assert published(redis_client)["periodic_task_name"] == "every second"
    app.send_task("proj.child", headers={"periodic_task_name": "another"})
    assert published(redis_client)["periodic_task_name"] == "another"
    app.send_task("proj.other")
    assert "periodic_task_name" not in published(redis_client)


class Service:
    """What sends `beat_init`: it has a scheduler."""

    def __init__(self, scheduler):
        self.scheduler = scheduler


def entry(scheduler: Scheduler, name: str):
    return scheduler.Entry(name=name, task="proj.task", schedule=datetime.timedelta(1), app=scheduler.app)


def test_beat_says_which_entry_it_publishes(stamps, app, redis_client):
    scheduler = Scheduler(app, lazy=True)
    stamps.watch_beat(Service(scheduler))
    stamps.watch_beat(Service(scheduler))
    for name in ("first", "second"):
        scheduler.schedule[name] = entry(scheduler, name)
        scheduler.apply_async(scheduler.schedule[name], producer=scheduler.producer, advance=False)
        assert published(redis_client)["periodic_task_name"] == name
    app.send_task("proj.task")

    assert "periodic_task_name" not in published(redis_client)


def test_a_scheduler_keeps_its_own_way_of_applying_and_others_may_wrap_it_as_well(stamps, app):
    calls = []

    class Own(Scheduler):
        def apply_async(self, entry, producer=None, advance=True, **kwargs):
            calls.append((entry.name, producer, advance, kwargs))
            return "sent"

    scheduler = Own(app, lazy=True)
    stamps.watch_beat(Service(scheduler))
    inner = scheduler.apply_async
    scheduler.apply_async = functools.wraps(inner)(lambda *args, **kwargs: inner(*args, **kwargs))

    assert scheduler.apply_async(entry(scheduler, "e"), "producer", more=1) == "sent"
    assert calls == [("e", "producer", True, {"more": 1})]


def test_an_entry_that_can_not_be_sent_leaves_no_name_behind(stamps, app, redis_client):
    class Failing(Scheduler):
        def apply_async(self, entry, producer=None, advance=True, **kwargs):
            raise ValueError("no")

    scheduler = Failing(app, lazy=True)
    stamps.watch_beat(Service(scheduler))
    with pytest.raises(ValueError, match="no"):
        scheduler.apply_async(entry(scheduler, "e"))
    app.send_task("proj.task")

    assert "periodic_task_name" not in published(redis_client)


def test_whatever_breaks_the_message_goes_out_and_it_is_said_once(stamps, app, redis_client, caplog):
    def broken() -> tuple[float, bool]:
        raise RuntimeError("no clock")

    stamps.clock = broken
    for _ in range(3):
        app.send_task("proj.task")

    assert redis_client.llen("celery") == 3
    assert [record.getMessage() for record in caplog.records] == [
        "the probe can't stamp messages (RuntimeError: no clock)"
    ]


def test_a_probe_that_is_switched_off_stamps_nothing(app, redis_client):
    off = Stamps(lambda: False)
    signals.before_task_publish.connect(off.stamp, weak=False, dispatch_uid="test-off")
    app.send_task("proj.task")
    signals.before_task_publish.disconnect(dispatch_uid="test-off")

    assert "enqueued_at" not in published(redis_client)


def test_installing_twice_is_the_same_as_once():
    app = Celery("proj", set_as_current=False)
    install(app)
    receivers = [len(signal.receivers) for signal in (signals.before_task_publish, signals.beat_init)]
    steps = len(app.steps["worker"])
    install(app, gate=False)

    assert [len(signal.receivers) for signal in (signals.before_task_publish, signals.beat_init)] == receivers
    assert len(app.steps["worker"]) == steps
