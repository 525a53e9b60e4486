"""What the transport leaves as it is: the bytes of a message, everything that is no task, and what tools see."""

import json

import kombu
import kombu.transport.redis
import pytest

from gatehouse import Given, gated, list_of, publish
from tidegate.act.gate import transport
from tidegate.errors import BrokerSilent, QueueFull
from tidegate.facts.gate import Bound, Outcome, Overflow

ANY_BOUND = Given({"*": Bound(max_length=100)})


@pytest.fixture
def stock_url(broker_url):
    """The same server under another name: connections are pooled by what they name."""
    return broker_url.replace("127.0.0.1", "localhost")


def elements(client, key):
    """The messages of a list without the tag that Kombu makes anew for every publish."""
    messages = [json.loads(raw) for raw in client.lrange(key, 0, -1)]
    for message in messages:
        del message["properties"]["delivery_tag"]
    return messages


@pytest.mark.parametrize("policies", [Given(), ANY_BOUND], ids=["unbounded", "bounded"])
def test_a_message_is_the_one_that_stock_kombu_writes(broker_url, stock_url, policies):
    with kombu.Connection(stock_url) as stock:
        publish(kombu.Producer(stock.channel()), "a", "stock", priority=4)
    with gated(broker_url, policies=policies) as gate:
        gate.publish("a", queue="ours", priority=4)
        mine, theirs = (elements(gate.look, list_of(queue, 3)) for queue in ("ours", "stock"))
        for message in (*mine, *theirs):
            assert message["properties"]["delivery_info"].pop("routing_key") in ("ours", "stock")
        assert mine == theirs


def test_each_side_reads_what_the_other_wrote(broker_url, stock_url):
    got = []

    def take(body, message):
        got.append(body[0][0])
        message.ack()

    def consume(connection):
        with connection.Consumer(kombu.Queue("q"), callbacks=[take], accept=["json"]):
            connection.drain_events(timeout=5)

    with gated(broker_url, policies=ANY_BOUND) as gate:
        gate.publish("a", size=1)
        transport.unregister()
        with kombu.Connection(stock_url) as stock:
            consume(stock)
            publish(kombu.Producer(stock.channel()), "b", size=2)
        consume(gate.connection)
    assert got == ["x", "xx"]


@pytest.mark.parametrize("policies", [Given(), ANY_BOUND, Given(ceiling=0.8)], ids=["unbounded", "bounded", "ceiling"])
def test_a_message_costs_one_command_as_stock(broker_url, policies):
    with gated(broker_url, policies=policies) as gate:
        gate.publish("warm")
        gate.look.config_resetstat()
        for n in range(20):
            gate.publish(n)
        sent = {name: calls for name, calls in gate.commands().items() if name in ("evalsha", "eval", "ping", "multi")}
        assert sent == {"evalsha": 20}


def test_replies_and_remote_control_take_stocks_way(broker_url):
    with gated(broker_url, policies=Given({"*": Bound(max_length=1)})) as gate:
        gate.look.config_resetstat()
        for _ in range(3):
            gate.producer.publish({"ok": 1}, routing_key="x.reply.celery.pidbox", exchange="")
        assert "evalsha" not in gate.commands()
        assert gate.look.llen("x.reply.celery.pidbox") == 3


expiring = pytest.mark.skipif(
    not hasattr(kombu.transport.redis.Channel, "_get_queue_expire"), reason="queues of this Kombu do not expire"
)


@expiring
def test_a_queue_that_expires_is_kept_alive_by_every_message(broker_url):
    with gated(broker_url, policies=ANY_BOUND) as gate:
        kombu.Queue("q", expires=50.0, channel=gate.producer.channel).declare()
        for priority in (0, 9):
            gate.publish(priority, priority=priority)
        assert all(49_000 < gate.look.pttl(list_of("q", step)) <= 50_000 for step in (0, 9))


@expiring
def test_an_expiring_queue_without_a_bound_is_kept_alive_as_well(broker_url):
    with gated(broker_url) as gate:
        kombu.Queue("q", expires=50.0, channel=gate.producer.channel).declare()
        for priority in (9, 0):
            gate.publish(priority, priority=priority)
        assert all(49_000 < gate.look.pttl(list_of("q", step)) <= 50_000 for step in (0, 9))


def test_tools_see_the_transport_they_know(broker_url):
    with gated(broker_url) as gate:
        assert gate.connection.info()["transport"] == "redis"
        assert gate.connection.transport.driver_type == "redis"
        assert gate.connection.transport.driver_name == "redis"
        assert type(gate.connection.transport).__module__ == "tidegate.act.gate.transport"


def test_after_unregistering_connections_are_stocks_again(broker_url):
    with gated(broker_url) as gate:
        transport.register()
        transport.unregister()
        transport.unregister()
        with gate.connect() as connection:
            assert type(connection.transport).__module__ == "kombu.transport.redis"


def test_an_open_connection_goes_by_nothing_when_the_gate_is_gone(broker_url):
    from tidegate.act.gate.known import known

    with gated(broker_url, q=Bound(max_length=1)) as gate:
        gate.publish("a")
        known.forget()
        assert gate.publish("b").outcome is None
        assert gate.waiting() == ["a", "b"]


def test_an_exchange_with_two_queues_is_decided_for_each(broker_url):
    with gated(broker_url, full=Bound(max_length=1)) as gate:
        channel = gate.producer.channel
        exchange = kombu.Exchange("e", type="topic")
        for queue in ("full", "free"):
            kombu.Queue(queue, exchange, routing_key="a.#", channel=channel).declare()
        gate.publish("first", queue="full")
        with pytest.raises(QueueFull):
            for _ in range(2):
                gate.producer.publish([[], {}, {}], exchange="e", routing_key="a.b", headers={"task": "t", "id": "x"})
        assert gate.waiting("full") == ["first"]


# Batches


batches = pytest.mark.skipif(not hasattr(kombu.Producer, "batch"), reason="this Kombu publishes no batches")


@batches
@pytest.mark.parametrize("prefix", ["", "app:"])
def test_a_batch_is_published_in_its_order_by_one_command_for_each_list(broker_url, prefix):
    with gated(broker_url, prefix=prefix, policies=ANY_BOUND) as gate:
        with gate.producer.batch():
            gate.publish("warm")
        gate.look.config_resetstat()
        with gate.producer.batch():
            publications = [gate.publish(n, queue=queue) for n in range(10) for queue in ("q", "r")]
            assert gate.look.llen(f"{prefix}r") == 0
        assert gate.commands()["evalsha"] == 2
        assert gate.waiting() == ["warm", *map(str, range(10))]
        assert gate.waiting("r") == [*map(str, range(10))]
        assert {publication.outcome for publication in publications} == {Outcome.ADMITTED}


@batches
@pytest.mark.parametrize("max_size", [1000, 3])
def test_what_a_batch_may_not_publish_is_said_at_its_end(broker_url, max_size):
    with gated(broker_url, q=Bound(max_length=4)) as gate:
        with pytest.raises(QueueFull) as refused, gate.producer.batch(max_size=max_size):
            for n in range(10):
                gate.publish(n, queue="q")
                gate.publish(n, queue="free")
        assert "6 of 20 messages of the batch were not published" in str(refused.value)
        assert "queue 'q' is full" in str(refused.value)
        assert refused.value.bound == 4
        assert gate.waiting() == ["0", "1", "2", "3"]
        assert gate.waiting("free") == [*map(str, range(10))]
        assert gate.counts() == {"queue_full|q": 6}


@batches
def test_a_batch_goes_on_after_a_refusal(broker_url):
    with gated(broker_url, q=Bound(max_length=1)) as gate, gate.producer.batch() as batch:
        gate.publish("a")
        gate.publish("b")
        with pytest.raises(QueueFull):
            batch.flush()
        gate.look.delete("q")
        gate.publish("c")
        batch.flush()
        assert gate.waiting() == ["c"]


@batches
def test_a_batch_that_the_server_does_not_know_the_script_of_loses_and_doubles_nothing(broker_url):
    with gated(broker_url, q=Bound(max_length=50)) as gate:
        with gate.producer.batch():
            for n in range(10):
                gate.publish(n)
                gate.publish(n, queue="free")
            gate.look.script_flush()
        assert gate.waiting() == gate.waiting("free") == [*map(str, range(10))]


@batches
def test_a_batch_waits_for_room_where_the_bound_says_so(broker_url):
    with gated(broker_url, q=Bound(max_length=2, overflow=Overflow.BLOCK, block_s=0.2)) as gate:
        with pytest.raises(QueueFull, match="1 of 3"), gate.producer.batch():
            for n in range(3):
                gate.publish(n)
        assert gate.waiting() == ["0", "1"]


@batches
def test_what_is_no_task_keeps_its_place_in_a_batch(broker_url):
    with gated(broker_url, policies=ANY_BOUND) as gate:
        with gate.producer.batch():
            gate.publish("a")
            gate.producer.publish({"ok": 1}, routing_key="x.reply.celery.pidbox", exchange="")
            gate.publish("b")
        assert gate.waiting() == ["a", "b"]
        assert gate.look.llen("x.reply.celery.pidbox") == 1


@batches
def test_a_batch_gives_up_on_a_frozen_server(private_broker):
    broker = private_broker()
    with gated(broker.url, policies=Given(timeout_s=0.3)) as gate:
        batch = gate.producer.batch()
        batch.__enter__()
        gate.publish("a")
        broker.pause()
        try:
            with pytest.raises(BrokerSilent):
                batch.__exit__(None, None, None)
        finally:
            broker.resume()
