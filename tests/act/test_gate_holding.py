"""A consumer that takes, acknowledges, rejects and returns guarded messages through Kombu, and what goes wrong there."""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import kombu
import pytest
from overlap_lua import Place, Told, child, root

import gatehouse
from gatehouse import Given
from tidegate.act.gate import header, holding, transport
from tidegate.act.gate.hands import hands
from tidegate.act.gate.holding import GateQoS
from tidegate.act.gate.known import known
from tidegate.act.gate.openings import openings
from tidegate.act.gate.publication import Publication
from tidegate.act.gate.skipped import Skipped
from tidegate.facts.gate import Guard
from tidegate.facts.overlap import Overlap


class Consumer:
    """One channel of a worker with the gate."""

    def __init__(self, url: str, **options: Any) -> None:
        self.connection = kombu.Connection(url, transport_options=options)
        self.channel = self.connection.channel()
        self.got: list[Any] = []
        queue = kombu.Queue("celery", channel=self.channel)
        self.consumer = kombu.Consumer(
            self.channel, [queue], callbacks=[lambda _, m: self.got.append(m)], accept=["json"]
        )
        self.consumer.consume()

    def take(self) -> Any:
        had, until = len(self.got), time.monotonic() + 10
        while len(self.got) == had:
            assert time.monotonic() < until
            self.connection.drain_events(timeout=5)
        return self.got[-1]


@contextmanager
def working(url: str, **options: Any) -> Iterator[Consumer]:
    """This process is the worker "w1" meanwhile."""
    transport.register()
    hands.begin("w1", None)
    openings.take()
    consumer = Consumer(url, **options)
    try:
        yield consumer
    finally:
        consumer.connection.release()
        hands.end()
        transport.unregister()


@pytest.fixture
def consumer(broker_url):
    with working(broker_url) as consumer:
        yield consumer


@pytest.fixture
def place(redis_client):
    place = Place(redis_client)
    place.lives("w1")
    return place


def put(place: Place, header: Any, **headers: Any) -> None:
    """A message whose header says that, whatever it is."""
    message = Told(key="").message
    message["headers"] |= {"tidegate": header, **headers}
    place.client.lpush(place.queue, json.dumps(message))


def test_a_guarded_message_is_held_by_this_session_until_it_is_acknowledged(consumer, place):
    m = Told()
    place.publish(m)
    taken = consumer.take()

    assert (place.mark()["state"], place.mark()["who"]) == ("held", consumer.channel.qos.holder)
    assert place.client.zscore(place.taken[0], m.tag)
    taken.ack()
    assert place.mark() is None
    assert place.client.hlen(place.taken[1]) == 0


@pytest.mark.parametrize("way", ["reject", "requeue", "close"])
def test_one_that_is_not_acknowledged_goes_or_comes_back_with_its_mark(consumer, place, way):
    m = Told()
    place.publish(m)
    taken = consumer.take()
    {"reject": taken.reject, "requeue": taken.requeue, "close": consumer.channel.close}[way]()

    assert place.client.hlen(place.taken[1]) == 0
    assert [one.id for one in place.waiting()] == ([] if way == "reject" else [m.id])
    assert (place.mark() or {}).get("state") == (None if way == "reject" else "waiting")
    if way != "reject":
        assert place.publish(m.again()) == ["overlap_skipped", m.id]


def test_what_the_visibility_timeout_brings_back_is_dropped_beside_a_newer_one_and_told(broker_url, place, monkeypatch):
    told = []
    monkeypatch.setattr(holding, "tell", lambda *said: told.append(said))
    with working(broker_url, visibility_timeout=60) as consumer:
        older, plain = Told(), Told(key="")
        for m in (older, plain):
            place.publish(m)
            place.take("dead/1")
        newer = older.again()
        assert place.admits(newer)
        place.later(120_000)
        consumer.channel.qos.restore_visible()

    assert {m.id for m in place.waiting()} == {newer.id, plain.id}
    ((outcome, queue, headers, why, _),) = told
    assert (outcome, queue, headers["id"], why) == ("superseded", "celery", older.id, newer.id)


def test_a_message_without_a_guard_takes_exactly_the_commands_of_stock(broker_url, place):
    assert _commands(broker_url, place, Told(key=""), GateQoS) == _commands(broker_url, place, Told(key=""), None)


def test_a_guarded_one_takes_fewer_commands_than_one_of_stock(broker_url, place):
    ours = _commands(broker_url, place, Told(), GateQoS)

    assert {name: many for name, many in ours.items() if name in ("evalsha", "multi", "exec")} == {"evalsha": 2}


def _commands(url: str, place: Place, m: Told, qos: Any) -> dict[str, int]:
    counted = {}
    with working(url) as consumer:
        if qos is None:
            consumer.channel.QoS = GateQoS.__mro__[1]
        for turn in range(2):
            # The first one loads the scripts.
            place.publish(m if turn else Told(key=m.key))
            place.client.config_resetstat()
            consumer.take().ack()
            counted = place.client.info("commandstats")
            place.client.delete(place.key("marks"))
    return {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in counted.items() if "info" not in name}


@pytest.mark.parametrize(
    "header",
    [
        "text", 7, None, [], {"key": 7}, {"key": "x" * 301}, {"key": "k", "overlap": "never"}, {"key": "k", "overlap": 1},
        {"key": None}, {"firing": "f"}, {"entry": {"deep": []}, "firing": "f"}, {"other": "tool"}, "x" * 2_000_000,
    ],
    ids=lambda header: repr(header)[:20],
)  # fmt: skip
def test_a_header_of_somebody_else_is_no_guard(consumer, place, header):
    put(place, header)
    taken = consumer.take()
    assert place.client.hlen(place.taken[1]) == 1
    taken.ack()

    assert place.client.hlen(place.taken[1]) == 0
    assert list(place.client.scan_iter("tidegate:gate:1:[bfm]*")) == []


@pytest.mark.parametrize("id_", [None, 7, ["a"]], ids=repr)
def test_a_guard_without_a_proper_task_id_is_none(consumer, place, id_):
    put(place, {"key": "k", "overlap": "skip"}, id=id_)
    consumer.take().ack()

    assert place.mark() is None


WRONG = ["marks", "bodies", "firings", "firing:{firing}", "worker:w1"]


@pytest.mark.parametrize("end", ["ack", "reject", "requeue", "close"])
@pytest.mark.parametrize("name", WRONG)
def test_keys_of_the_wrong_type_lose_no_message_and_are_counted(consumer, place, name, end):
    m = root(overlap="skip")
    place.client.lpush(place.queue, m.element)
    place.client.delete(place.key(name.format(firing=m.firing)))
    place.client.xadd(place.key(name.format(firing=m.firing)), {"a": "stream"})
    taken = consumer.take()
    assert place.client.hlen(place.taken[1]) == 1
    {"ack": taken.ack, "reject": taken.reject, "requeue": taken.requeue, "close": consumer.channel.close}[end]()

    assert place.client.hlen(place.taken[1]) == 0
    assert [one.id for one in place.waiting()] == ([m.id] if end in ("requeue", "close") else [])
    assert openings.take() or name.startswith("worker")


@pytest.mark.parametrize("end", ["ack", "reject", "requeue", "close"])
def test_a_server_that_refuses_scripts_gets_the_commands_of_stock(consumer, place, end):
    m = Told()
    place.client.lpush(place.queue, m.element)
    place.client.execute_command("ACL", "SETUSER", "default", "-@scripting")
    try:
        taken = consumer.take()
        {"ack": taken.ack, "reject": taken.reject, "requeue": taken.requeue, "close": consumer.channel.close}[end]()
    finally:
        place.client.execute_command("ACL", "SETUSER", "default", "+@all")

    assert place.client.hlen(place.taken[1]) == 0
    assert [one.id for one in place.waiting()] == ([m.id] if end in ("requeue", "close") else [])
    assert openings.take()


def test_marks_that_are_not_ours_to_read_are_written_anew(consumer, place):
    for value in (b"\x80\x02}q", b"[]", b'{"tag": 7}', b"null", b'"text"', b"{" * 5000):
        place.client.hset(place.key("marks"), "k", value)
        m = Told()
        assert place.admits(m)
        consumer.take().ack()
        assert place.mark() is None


def test_a_consumer_outside_of_a_worker_holds_as_stock_does_and_clears_the_mark(broker_url, place):
    transport.register()
    try:
        consumer = Consumer(broker_url)
        m = Told()
        place.publish(m)
        taken = consumer.take()
        assert place.publish(m.again()) == ["overlap_skipped", m.id]
        taken.ack()
        assert place.mark() is None
        consumer.connection.release()
    finally:
        transport.unregister()


def test_with_a_prefix_every_key_stands_behind_it(broker_url, redis_client):
    place = Place(redis_client, "shop:")
    with working(broker_url, global_keyprefix="shop:") as consumer:
        place.lives("w1")
        first = root()
        place.publish(first)
        place.publish(child(first))
        consumer.take().requeue()
        consumer.take()
        place.publish(first.again())
        consumer.channel.close()

    assert len(place.waiting()) == 2
    assert [key for key in redis_client.scan_iter() if not key.startswith(b"shop:")] == []


def test_the_names_and_the_time_of_kombus_own_options_are_kept(broker_url, redis_client):
    options = {"unacked_key": "mine", "unacked_index_key": "mine_index", "visibility_timeout": 60}
    place = Place(redis_client)
    place.taken = ["mine_index", "mine"]
    with working(broker_url, **options) as consumer, guarded_producer(broker_url, options) as publish:
        place.lives("w1")
        assert publish() == "admitted"
        taken = consumer.take()
        assert publish() == "overlap_skipped"
        taken.ack()
        assert publish() == "admitted"
        place.register(place.pop())
        assert publish() == "overlap_skipped"
        place.later(59_000)
        assert publish() == "overlap_skipped"
        place.later(2_000)
        assert publish() == "admitted"
        assert not redis_client.exists("unacked_index")


@contextmanager
def guarded_producer(url: str, options: dict[str, Any]) -> Iterator[Any]:
    """What becomes of a message of the key "k" that is published through the gate's own channel."""
    known.note("app", lambda: Given())
    connection = kombu.Connection(url, transport_options=options)
    producer = kombu.Producer(connection.channel())

    def publish() -> str:
        publication = Publication(guard=Guard(key="k", overlap=Overlap.SKIP))
        name = str(uuid.uuid4())
        with suppress(Skipped):
            gatehouse.publish(
                producer, name, "celery", publication=publication, tidegate=header.written(publication.guard)
            )
        return publication.outcome.value

    try:
        yield publish
    finally:
        connection.release()
        known.forget()


def test_a_session_lives_as_long_as_its_channel(consumer, place):
    place.publish(Told())
    consumer.take()
    number = consumer.channel.qos.holder.partition("/")[2]
    assert hands.sessions() == [number]
    consumer.channel.close()

    assert hands.sessions() == []
