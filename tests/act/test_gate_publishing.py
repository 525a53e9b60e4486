"""What `app.send_task` makes of a message before the transport sees it, and what it returns."""

import time

import pytest
from celery import Celery, chain, chord, group, signals
from celery.beat import Scheduler, Service
from celery.exceptions import TaskRevokedError
from gated import depth, gated, waiting
from kombu import Queue

import tidegate
from tidegate.act.gate import after, publishing
from tidegate.act.gate.install import uninstall_gate
from tidegate.act.gate.publication import current
from tidegate.act.gate.settings import policies
from tidegate.act.gate.signals import gate_decided
from tidegate.act.gate.skipped import Skipped
from tidegate.errors import QueueFull, UsageError
from tidegate.facts.gate import Outcome

FULL = {"celery": {"max_length": 1}}


#: Celery's backend uses what redis-py 8 would rather not have.
SETEX = pytest.mark.filterwarnings("ignore:Call to deprecated setex")


@pytest.fixture
def app(broker_url):
    with gated(broker_url) as app:
        yield app


def caught(app: Celery, monkeypatch) -> list:
    """The publications, as the transport would see them, instead of messages."""
    seen = []

    def send(producer, name, message, **options):
        seen.append((current(), message.headers | (options.get("headers") or {})))

    monkeypatch.setattr(app.amqp, "send_task_message", send)
    return seen


def test_a_message_of_which_nothing_is_to_be_known_has_no_header_and_a_deadline(app, monkeypatch):
    seen = caught(app, monkeypatch)
    app.tasks["plain"].delay(1)
    ((publication, headers),) = seen

    assert (publication.guard, publication.exempt, publication.timeout_s) == (None, "", 5.0)
    assert "tidegate" not in headers
    assert current() is None


def test_a_guarded_message_says_what_must_not_be_pending_twice(app, redis_client):
    app.tasks["one"].delay(7)

    assert waiting(redis_client)[0]["tidegate"] == {"key": "one(7)", "overlap": "buffer_one"}


def test_a_firing_is_named_by_its_first_message(app, redis_client):
    result = app.tasks["tree"].delay(7)

    assert waiting(redis_client)[0]["tidegate"] == {
        "key": "tree(7)",
        "overlap": "buffer_one",
        "scope": "firing",
        "firing": result.id,
        "entry": "tree(7)",
    }


def test_the_options_of_one_call_never_get_into_the_message(app, redis_client):
    options = {"overlap": "skip", "payload": "keep", "scope": "message", "overlap_key": "{0}"}
    app.tasks["plain"].apply_async((7,), **options)
    app.send_task("unknown", (7,), **options)
    app.tasks["plain"].s(8).set(**options).delay()

    assert [headers["tidegate"]["key"] for headers in waiting(redis_client)] == ["plain#7", "unknown#7", "plain#8"]
    assert b"overlap_key" not in b"".join(redis_client.lrange("celery", 0, -1))


def test_the_headers_of_a_caller_stay_as_they_are_and_nobody_speaks_for_the_gate(app, redis_client):
    headers = {"mine": 1, "tidegate": {"key": "foreign", "overlap": "skip"}}
    app.tasks["plain"].apply_async(headers=headers)
    app.tasks["one"].apply_async(headers=headers)
    first, second = waiting(redis_client)

    assert headers == {"mine": 1, "tidegate": {"key": "foreign", "overlap": "skip"}}
    assert (first["mine"], first.get("tidegate")) == (1, None)
    assert (second["mine"], second["tidegate"]["key"]) == (1, "one()")


def test_what_comes_by_position_is_taken_as_stock_takes_it(app, redis_client):
    app.send_task("plain", (1,), None, 60, None, "an-id")
    (headers,) = waiting(redis_client)

    assert headers["id"] == "an-id"
    assert headers["eta"] is not None


def test_what_the_class_is_given_later_stays_in_between(app, monkeypatch):
    before, seen = Celery.send_task, []

    def traced(self, *args, **kwargs):
        seen.append(args[0])
        return before(self, *args, **kwargs)

    monkeypatch.setattr(Celery, "send_task", traced)
    app.tasks["plain"].delay()

    assert seen == ["plain"]


def test_installing_twice_is_installing_once_and_uninstalling_undoes_it(broker_url):
    app = Celery("proj", broker=broker_url, set_as_current=False)
    tidegate.install(app)
    once = app.send_task
    tidegate.install(app)
    assert app.send_task is once

    uninstall_gate()
    assert "send_task" not in app.__dict__
    with app.connection_for_write() as connection:
        assert type(connection.transport).__module__ == "kombu.transport.redis"


def test_who_was_there_before_is_called_and_is_there_again_afterwards(broker_url):
    app = Celery("proj", broker=broker_url, set_as_current=False)
    calls = []
    app.send_task = lambda *args, **options: calls.append((args, options))
    own = app.send_task
    tidegate.install(app)
    app.send_task("t", (1,), overlap="skip")
    uninstall_gate()

    assert calls[0][0][0] == "t"
    assert "overlap" not in calls[0][1]
    assert app.send_task is own


def test_without_the_gate_nothing_of_it_is_there(broker_url):
    app = Celery("proj", broker=broker_url, set_as_current=False)
    tidegate.install(app, gate=False)

    assert "send_task" not in app.__dict__


def test_a_gate_that_is_switched_off_lets_everything_in(broker_url, redis_client):
    with gated(broker_url, tidegate_gate=False, tidegate_queues=FULL) as app:
        for _ in range(3):
            app.tasks["one"].apply_async((1,), overlap="skip")

    assert depth(redis_client) == 3
    assert all("tidegate" not in headers for headers in waiting(redis_client))


def test_an_application_that_has_published_already_goes_through_the_gate_from_then_on(broker_url, redis_client, caplog):
    with Celery("proj", broker=broker_url, set_as_current=False) as app:
        app.send_task("t")
        app.conf.tidegate_queues = FULL
        tidegate.install(app)
        with pytest.raises(QueueFull):
            app.send_task("t")

    assert [record.message for record in caplog.records if "installed" in record.message] == []


def test_a_connection_that_is_in_use_when_the_gate_is_installed_is_said_once_to_go_round_it(broker_url, caplog):
    with Celery("proj", broker=broker_url, set_as_current=False) as app, app.pool.acquire() as connection:
        connection.ensure_connection()
        tidegate.install(app)
        tidegate.install(app)

    assert [record.message.partition(" while ")[0] for record in caplog.records] == ["the gate was installed"]


def test_arguments_that_no_key_can_be_made_of_let_the_message_in_and_are_counted(app, redis_client, caplog):
    app.tasks["one"].apply_async((object(),), serializer="pickle")
    app.tasks["plain"].apply_async((1,), overlap="skip", overlap_key=lambda args, kwargs: args[5])
    app.tasks["one"].delay(1)

    assert depth(redis_client) == 3
    assert int(redis_client.hget("tidegate:gate:1:counts", "open|key")) == 2
    assert len([record for record in caplog.records if "no key for" in record.message]) == 1


def test_a_failure_of_our_own_lets_the_message_in(app, redis_client, monkeypatch):
    monkeypatch.setattr(publishing, "exempt", lambda *_: 1 / 0)
    app.tasks["one"].apply_async((1,), overlap="skip")

    assert depth(redis_client) == 1


def test_an_eager_call_runs_at_once_whatever_its_options(broker_url):
    with gated(broker_url, task_always_eager=True) as app:
        ran = []

        @app.task(name="eager", shared=False)
        def eager(number):
            ran.append(number)

        app.tasks["eager"].apply_async((7,), overlap="skip", overlap_key="x")

    assert ran == [7]


# What an entry of the schedule sends


def test_a_run_that_beat_sends_goes_by_its_entry(broker_url, redis_client):
    entries = {"refresh": {"overlap": "skip", "every": "auto", "min": 1.0}, "other": {"overlap": "buffer_one"}}
    schedule = {"refresh": {"task": "plain", "schedule": 0.1, "args": (1,)}}
    with gated(broker_url, tidegate_entries=entries, tidegate_probe=False, beat_schedule=schedule) as app:
        service = Service(app, scheduler_cls=Scheduler)
        signals.beat_init.send(sender=service)
        service.scheduler.apply_async(service.scheduler.schedule["refresh"])
        app.tasks["plain"].delay(1)
        # As django-celery-beat says it.
        app.tasks["plain"].apply_async((2,), headers={"periodic_task_name": "other"})

    assert [headers.get("tidegate") for headers in waiting(redis_client)] == [
        {"key": "entry refresh", "overlap": "skip"},
        None,
        {"key": "entry other", "overlap": "buffer_one"},
    ]


# What belongs to a workflow


EXEMPT = [
    ("a retry", {"retries": 1}, "retry"),
    ("a member of a chord", {"chord": {"task": "plain"}}, "chord"),
    ("a step, which is given its root", {"root_id": "r"}, "workflow"),
    ("a callback, which is given its parent", {"parent_id": "p"}, "workflow"),
    ("what replaces a task", {"replaced_task_nesting": 1}, "workflow"),
]


@pytest.mark.parametrize(("options", "why"), [row[1:] for row in EXEMPT], ids=[row[0] for row in EXEMPT])
def test_exempt_is(app, monkeypatch, options, why):
    seen = caught(app, monkeypatch)
    app.tasks["one"].apply_async((1,), **options)
    ((publication, _),) = seen

    assert (publication.exempt, publication.guard, publication.timeout_s) == (why, None, None)


def test_the_members_of_a_chord_are_let_in_and_those_of_a_plain_group_are_bounded(
    broker_url, backend_url, redis_client
):
    with gated(broker_url, tidegate_queues=FULL, backend=backend_url) as app:
        plain = app.tasks["plain"]
        chord([plain.si(number) for number in range(3)], plain.si(9)).apply_async()
        assert depth(redis_client) == 3
        with pytest.raises(QueueFull):
            group(plain.si(1), plain.si(2)).apply_async()
        with pytest.raises(QueueFull):
            chain(plain.si(1), plain.si(2)).apply_async()
    assert depth(redis_client) == 3


def test_no_other_run_stands_in_for_a_part_of_a_group_or_a_chain(app, redis_client):
    one = app.tasks["one"]
    one.delay(1)
    results = group(one.si(1), one.si(1)).apply_async()
    chained = chain(one.si(1), one.si(2)).apply_async()
    ids = [headers["id"] for headers in waiting(redis_client)]

    assert ids[1:] == [*(result.id for result in results), chained.parent.id]


def test_a_retry_keeps_the_guard_of_the_try_before(app, monkeypatch):
    seen = caught(app, monkeypatch)
    guard = {"key": "one(1)", "overlap": "buffer_one"}
    app.tasks["one"].apply_async((1,), retries=2, headers={"tidegate": guard})
    app.tasks["one"].apply_async((1,), retries=2, headers={"tidegate": {"key": 5, "overlap": "everything"}})
    (first, written), (second, nothing) = seen

    assert (first.guard.key, first.exempt, written["tidegate"]) == ("one(1)", "retry", guard)
    assert (second.guard, second.exempt, "tidegate" in nothing) == (None, "retry", False)


# What a caller gets for a message that was not published


def instead(app: Celery, monkeypatch, pending: str) -> None:
    def skip(*_, **__):
        raise Skipped(pending)

    monkeypatch.setattr(app.amqp, "send_task_message", skip)


def test_who_publishes_what_is_pending_already_gets_the_result_of_the_pending_run(app, monkeypatch):
    instead(app, monkeypatch, "the-pending-one")

    class Result:
        def __init__(self, id_):
            self.id = id_

    one = app.tasks["one"]
    assert one.delay(1).id == "the-pending-one"
    assert one.apply_async((1,), ignore_result=True).ignored is True
    assert app.send_task("one", (1,), overlap="skip", result_cls=Result).id == "the-pending-one"
    assert current() is None


@pytest.mark.parametrize(
    "call", [{"overlap": "skip"}, {"overlap": "buffer_one"}, {"overlap": "buffer_one", "payload": "replace"}]
)
def test_a_call_of_what_waits_already_publishes_nothing_and_returns_the_run_that_waits(app, redis_client, call):
    published = []
    signals.after_task_publish.connect(lambda **said: published.append(said["sender"]), weak=False, dispatch_uid="here")
    plain = app.tasks["plain"]
    first = plain.apply_async((1,), **call)
    second = plain.apply_async((1,), **call)
    other = plain.apply_async((2,), **call)
    signals.after_task_publish.disconnect(dispatch_uid="here")

    assert second.id == first.id != other.id
    assert len(published) == depth(redis_client) == 2


@SETEX
def test_who_waits_for_an_id_that_he_gave_himself_does_not_wait_for_ever(broker_url, backend_url, monkeypatch):
    with gated(broker_url, backend=backend_url) as app:
        instead(app, monkeypatch, "the-pending-one")
        app.tasks["one"].apply_async((1,), task_id="mine")
        assert after.flush()
        with pytest.raises(TaskRevokedError, match=r"^not published, for the-pending-one is pending$"):
            app.AsyncResult("mine").get(timeout=5)


def test_nothing_is_listened_for_that_was_not_published(broker_url, backend_url, monkeypatch):
    with gated(broker_url, backend=backend_url) as app:
        instead(app, monkeypatch, "the-pending-one")
        for _ in range(5):
            app.tasks["one"].delay(1)
        assert app.backend.result_consumer.subscribed_to == set()


def test_a_refusal_says_what_was_found_and_goes_to_the_caller_and_the_listener(broker_url):
    heard = []

    def listen(sender, **said):
        heard.append((sender, said["outcome"], said["queue"]))

    gate_decided.connect(listen)
    with gated(broker_url, tidegate_queues=FULL) as app:
        app.tasks["plain"].delay(1)
        with pytest.raises(tidegate.QueueFull) as refused:
            app.tasks["plain"].delay(2)

    assert (refused.value.queue, refused.value.depth, refused.value.bound) == ("celery", 1, 1)
    assert heard == [("plain", Outcome.QUEUE_FULL, "celery")]


def test_a_bound_that_is_declared_with_the_queue_holds(broker_url, redis_client):
    with gated(broker_url, task_queues=[Queue("celery", max_length=2)]) as app:
        app.tasks["plain"].delay(1)
        app.tasks["plain"].delay(2)
        with pytest.raises(QueueFull):
            app.tasks["plain"].delay(3)
    assert depth(redis_client) == 2


def test_what_is_wrong_with_the_settings_is_said_at_every_publish(broker_url):
    with gated(broker_url) as app:
        app.conf.tidegate_gate_memory = 7
        for _ in range(2):
            with pytest.raises(UsageError, match="tidegate_gate_memory"):
                app.tasks["plain"].delay()


def test_a_publish_that_nothing_is_to_be_known_of_costs_a_few_microseconds(app):
    options = {"task_type": app.tasks["plain"], "task_id": None, "ignore_result": False}
    policies(app)
    best_s = min(_timed(app, options) for _ in range(5))

    assert best_s < 15e-6


def _timed(app: Celery, options: dict) -> float:
    start_s = time.perf_counter()
    for _ in range(1000):
        publishing._prepared(app, "plain", (1,), {}, options)
    return (time.perf_counter() - start_s) / 1000
