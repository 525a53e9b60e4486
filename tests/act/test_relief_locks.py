"""Locks of celery-singleton and celery-once that belong to removed messages, held against the packages themselves."""

import json
import warnings

import pytest
from celery import Celery
from celery_once import AlreadyQueued, QueueOnce
from celery_once.backends import redis as once_backend
from celery_once.helpers import queue_once_key
from celery_singleton import Singleton
from celery_singleton import backends as singleton_backends
from celery_singleton.util import generate_lock
from hypothesis import given
from hypothesis import strategies as st
from kombu import pools

from tidegate.act.relief.locks import ONCE, SINGLETON, once_key, singleton_key
from tidegate.act.relief.releasing import Releasing
from tidegate.broker.address import parse_address
from tidegate.broker.client import connect

NAMES = st.text(max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(task=NAMES, args=st.lists(VALUES, max_size=3), kwargs=st.dictionaries(NAMES, VALUES, max_size=3))
def test_a_lock_of_celery_singleton_is_named_as_the_package_names_it(task, args, kwargs):
    assert singleton_key(task, args, kwargs) == generate_lock(task, args, kwargs)


@given(task=NAMES, kwargs=st.dictionaries(NAMES, VALUES, max_size=3))
def test_a_lock_of_celery_once_is_named_as_the_package_names_it(task, kwargs):
    assert once_key(task, kwargs) == queue_once_key(task, kwargs)


def called(user, deep=False):
    """What every task here is called with."""


@pytest.fixture
def app(backend_url, monkeypatch):
    """An application with a task of each package, and one of neither."""
    # Both packages keep one client for the whole process.
    monkeypatch.setattr(once_backend, "redis", None)
    monkeypatch.setattr(singleton_backends, "_backend", None)
    app = Celery("shop", broker=backend_url, backend=backend_url, set_as_current=False)
    app.conf.update(ONCE={"backend": "celery_once.backends.Redis", "settings": {"url": backend_url}})
    app.task(called, name="one", base=Singleton, shared=False)
    app.task(called, name="by_user", base=Singleton, unique_on=["user"], shared=False)
    app.task(called, name="once", base=QueueOnce, shared=False)
    app.task(called, name="plain", shared=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield app
        if once_backend.redis is not None:
            once_backend.redis.close()
        if singleton_backends._backend is not None:
            singleton_backends._backend.redis.close()
        # The test still holds the application when its fixtures end, so what it opened is closed here.
        app.backend.result_consumer.stop()
        app.backend.client.connection_pool.disconnect()
        pools.reset()
        app.close()


@pytest.fixture
def broker(broker_url):
    with connect(parse_address(broker_url)) as broker:
        yield broker


def waiting(client):
    return client.lrange("celery", 0, -1)


def test_a_task_that_was_removed_can_be_queued_again_and_its_lock_is_released_once(app, broker, redis_client):
    for name in ("one", "by_user", "once"):
        app.tasks[name].delay(7, deep=True)
    app.tasks["plain"].delay(7)
    removed = waiting(redis_client)
    redis_client.delete("celery")
    with pytest.raises(AlreadyQueued):
        app.tasks["once"].delay(7, deep=True)

    releasing = Releasing(broker, app)
    assert releasing.removed(removed) == {SINGLETON: 2, ONCE: 1}
    assert releasing.removed(removed) == {}
    for name in ("one", "by_user", "once"):
        app.tasks[name].delay(7, deep=True)
    assert redis_client.llen("celery") == 3
    assert releasing.notes == ()


def test_without_the_application_what_the_packages_do_by_default_is_tried(app, broker, redis_client):
    app.tasks["one"].delay(7, deep=True)
    app.tasks["once"].delay(user=7, deep={"b": 1, "a": [2]})
    app.tasks["once"].delay(8)
    assert Releasing(broker).removed(waiting(redis_client)) == {SINGLETON: 1, ONCE: 1}
    assert redis_client.keys("qo_*") == [b"qo_once_user-8"]


def test_where_messages_with_the_same_arguments_stay_only_locks_that_say_whose_they_are_go(app, broker, redis_client):
    for name in ("one", "once"):
        app.tasks[name].delay(7)
    assert Releasing(broker, app, alike_stay=True).removed(waiting(redis_client)) == {SINGLETON: 1}
    with pytest.raises(AlreadyQueued):
        app.tasks["once"].delay(7)


def test_the_lock_of_a_newer_message_stays(app, broker, redis_client):
    app.tasks["one"].delay(7)
    removed = waiting(redis_client)
    [lock] = redis_client.keys("SINGLETONLOCK_*")
    redis_client.set(lock, "id-of-a-newer-one")
    assert Releasing(broker, app).removed(removed) == Releasing(broker).removed(removed) == {}
    assert redis_client.get(lock) == b"id-of-a-newer-one"


def test_a_key_of_that_name_that_is_no_lock_stays(broker, redis_client):
    redis_client.lpush(once_key("t", {}), "x")
    message = {"body": json.dumps([[], {}, {}]), "headers": {"task": "t", "id": "1"}, "properties": {}}
    message |= {"content-type": "application/json", "content-encoding": "utf-8"}
    assert Releasing(broker).removed([json.dumps(message).encode()]) == {}
    assert redis_client.exists(once_key("t", {}))


def test_what_cant_be_worked_out_is_said_and_the_rest_is_released(app, broker, redis_client, monkeypatch):
    app.tasks["one"].delay(7)
    app.send_task("by_user", kwargs={"no": "such argument"})
    app.send_task("one", args=[1], serializer="pickle")
    releasing = Releasing(broker, app)
    assert releasing.removed([b"\xff", *waiting(redis_client)]) == {SINGLETON: 1}
    assert [note.partition(":")[0] for note in releasing.notes] == [
        "locks of messages that can't be read stay",
        "locks of messages that can't be read stay",
        "by_user can't name its lock (TypeError",
    ]


def test_locks_on_a_server_that_is_gone_are_noted_and_end_nothing(app, broker, redis_client, private_broker):
    elsewhere = private_broker()
    app.conf["singleton_backend_url"] = elsewhere.url
    app.tasks["one"].delay(7)
    elsewhere.stop()
    releasing = Releasing(broker, app)
    assert releasing.removed(waiting(redis_client)) == {}
    [note] = releasing.notes
    assert note.startswith("locks could not be released (ConnectionError")


def test_a_server_that_refuses_is_noted(app, broker_url, redis_client):
    app.tasks["one"].delay(7)
    redis_client.acl_setuser("few", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-mget"])
    try:
        with connect(parse_address(broker_url.replace("://", "://few:x@"))) as broker:
            releasing = Releasing(broker)
            assert releasing.removed(waiting(redis_client)) == {}
            assert "locks could not be released" in releasing.notes[0]
    finally:
        redis_client.acl_deluser("few")
