"""Whatever is wrong, a message is published once, or its publisher is told: the gate never takes an application down."""

import logging

import kombu.exceptions
import pytest
import redis

from gatehouse import Given, gated
from tidegate.act.gate import admitting, openings, telling
from tidegate.act.gate.known import known
from tidegate.broker.scripts import ADMIT, MANY, PUSH
from tidegate.errors import BrokerFull, QueueFull
from tidegate.facts.gate import Bound, Outcome, Overflow

BOUNDED = Bound(max_length=2)
SPILLING = Bound(max_length=1, overflow=Overflow.SPILL)


@pytest.fixture(autouse=True)
def _first_of_its_minute(monkeypatch):
    fresh = openings.Openings()
    for module in (openings, admitting):
        monkeypatch.setattr(module, "openings", fresh)


@pytest.mark.parametrize(
    ("key", "policies"),
    [
        ("tidegate:gate:1:counts", Given({"q": Bound(max_length=1, overflow=Overflow.DROP_HEAD)})),
        ("tidegate:journal", Given({"q": Bound(max_length=1, overflow=Overflow.DROP_HEAD)})),
        ("tidegate:gate:1:memory", Given(ceiling=0.8)),
        ("tidegate:gate:1:spill:q", Given({"q": SPILLING})),
        ("tidegate:gate:1:asleep:q", Given()),
        ("tidegate:gate:1:bell:q", Given()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("kind", ["a string", "a set"])
def test_a_key_of_ours_that_is_something_else_opens_the_gate(broker_url, key, policies, kind):
    with gated(broker_url, policies=policies) as gate:
        if kind == "a string":
            gate.look.set(key, "whatever")
        else:
            gate.look.sadd(key, "whatever")
        for n in range(3):
            assert gate.publish(n).outcome is Outcome.ADMITTED
        assert gate.waiting()[-1] == "2"
        assert gate.look.type(key) in ("string", "set")


def test_what_passed_an_open_gate_is_counted_with_the_next_that_is_decided_on(broker_url, caplog):
    with gated(broker_url, q=SPILLING) as gate:
        gate.look.set("tidegate:gate:1:spill:q", "whatever")
        with caplog.at_level(logging.WARNING, logger="tidegate.gate"):
            for n in range(3):
                gate.publish(n)
        gate.look.delete("tidegate:gate:1:spill:q")
        gate.publish("next", queue="other")
        assert gate.waiting() == ["0", "1", "2"]
        assert gate.counts() == {"open|bounds": 3}
        assert [record.message for record in caplog.records if "the gate is open (bounds)" in record.message] != []
        assert len(caplog.records) == 1, "once a minute for each reason"


def test_a_bug_of_ours_opens_the_gate(broker_url, monkeypatch):
    with gated(broker_url, q=BOUNDED) as gate:
        monkeypatch.setattr(gate.policies, "bound_of", lambda queue: 1 / 0)
        for n in range(3):
            gate.publish(n)
        assert gate.waiting() == ["0", "1", "2"]
        assert admitting.openings.take() == {"python": 3}


def test_settings_that_cannot_be_used_any_more_open_the_gate(broker_url, monkeypatch):
    with gated(broker_url, q=BOUNDED) as gate:
        monkeypatch.setattr(known, "of", lambda client: 1 / 0)
        for n in range(3):
            gate.publish(n)
        if hasattr(gate.producer, "batch"):
            with gate.producer.batch():
                gate.publish(3)
        assert gate.waiting()[:3] == ["0", "1", "2"]


def test_a_listener_that_fails_changes_nothing(broker_url, monkeypatch):
    with gated(broker_url, q=Bound(max_length=1, overflow=Overflow.DROP_HEAD)) as gate:
        monkeypatch.setattr(telling, "tell", lambda *_: 1 / 0)
        for n in range(3):
            gate.publish(n)
        assert gate.waiting() == ["2"]


@pytest.mark.parametrize("text", ["return redis.call('NONSENSE')", "this is no Lua", "error('a bug')"])
def test_a_script_that_fails_opens_the_gate(broker_url, monkeypatch, text):
    with gated(broker_url, q=BOUNDED) as gate:
        gate.publish(0)
        for script in (ADMIT, MANY, PUSH):
            monkeypatch.setattr(script, "text", text)
            monkeypatch.setattr(script, "digest", "0" * 40)
        for n in range(1, 4):
            assert gate.publish(n).outcome is Outcome.ADMITTED
        gate.publish("x", queue="free")
        assert gate.waiting() == ["0", "1", "2", "3"]
        assert gate.waiting("free") == ["x"]
        assert admitting.openings.take() == {"script": 4}


def test_a_script_that_fails_in_a_batch_opens_the_gate_for_its_messages(broker_url, monkeypatch):
    with gated(broker_url, q=BOUNDED) as gate:
        if not hasattr(gate.producer, "batch"):
            pytest.skip("this Kombu publishes no batches")
        monkeypatch.setattr(ADMIT, "text", "return redis.call('NONSENSE')")
        monkeypatch.setattr(ADMIT, "digest", "0" * 40)
        with gate.producer.batch():
            for n in range(4):
                gate.publish(n)
                gate.publish(n, queue="free")
        assert gate.waiting() == gate.waiting("free") == ["0", "1", "2", "3"]


def test_a_user_who_may_run_no_script_publishes_as_before_and_the_log_says_which_command(private_broker, caplog):
    broker = private_broker()
    broker.ask("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-evalsha", "-eval")
    with gated(broker.url.replace("redis://", "redis://app:pw@"), q=BOUNDED) as gate:
        for n in range(3):
            gate.publish(n)
        assert gate.waiting() == ["0", "1", "2"]
        assert "evalsha" not in gate.commands() or gate.look.info("commandstats")["cmdstat_evalsha"]["calls"] == 0
        assert admitting.openings.take() == {"forbidden": 1}, "it is not asked again for every message"
        assert "no permissions to run the 'evalsha' command" in caplog.text


def test_a_user_who_may_not_touch_our_keys_publishes_as_before(private_broker):
    broker = private_broker()
    broker.ask("ACL", "SETUSER", "app", "on", ">pw", "~q*", "~_kombu*", "~unacked*", "&*", "+@all")
    with gated(broker.url.replace("redis://", "redis://app:pw@"), q=SPILLING) as gate:
        for n in range(3):
            gate.publish(n)
        assert gate.waiting() == ["0", "1", "2"]


def test_a_read_only_replica_gives_stocks_error(private_broker):
    main, replica = private_broker(), private_broker()
    with gated(replica.url, q=BOUNDED) as gate:
        gate.publish("warm")
        replica.ask("REPLICAOF", "127.0.0.1", str(main.port))
        with pytest.raises(redis.exceptions.ReadOnlyError):
            gate.publish("a")


def test_a_queue_that_is_no_list_gives_stocks_error(broker_url):
    with gated(broker_url, q=BOUNDED) as gate:
        gate.look.set("q", "whatever")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            gate.publish("a")


@pytest.mark.parametrize("bound", [None, BOUNDED, Bound(max_length=2, overflow=Overflow.SPILL)])
def test_a_server_without_memory_is_told_with_its_remedy(private_broker, bound):
    broker = private_broker(maxmemory="100mb")
    with gated(broker.url, policies=Given({"q": bound} if bound else {})) as gate:
        gate.publish("warm")
        broker.ask("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(BrokerFull, match=r"its memory is used up: raise its maxmemory, or free some"):
            gate.publish("a")
        broker.ask("CONFIG", "SET", "maxmemory", "0")
        gate.publish("b")
        assert gate.waiting() == ["warm", "b"]


def test_a_batch_on_a_server_without_memory_says_so(private_broker):
    broker = private_broker(maxmemory="100mb")
    with gated(broker.url) as gate:
        if not hasattr(gate.producer, "batch"):
            pytest.skip("this Kombu publishes no batches")
        with pytest.raises(BrokerFull, match="2 of 2 messages"), gate.producer.batch():
            gate.publish("a")
            gate.publish("b")
            broker.ask("CONFIG", "SET", "maxmemory", "1")


def test_a_full_server_still_drops_the_head_for_a_newer_one(private_broker):
    broker = private_broker(maxmemory="100mb")
    with gated(broker.url, q=Bound(max_length=1, overflow=Overflow.DROP_HEAD)) as gate:
        gate.publish("old")
        broker.ask("CONFIG", "SET", "maxmemory", "1")
        gate.publish("new")
        broker.ask("CONFIG", "SET", "maxmemory", "0")
        assert gate.waiting() == ["new"]


def test_a_new_connection_to_a_full_server_is_told_the_same(private_broker):
    broker = private_broker(maxmemory="100mb")
    with gated(broker.url) as gate:
        broker.ask("CONFIG", "SET", "maxmemory", "1")
        queue = kombu.Queue("q", kombu.Exchange("q"), routing_key="q")
        from tidegate.act.gate.publication import Publication, publishing

        with pytest.raises(BrokerFull), publishing(Publication()):
            gate.producer.publish("a", routing_key="q", exchange="q", declare=[queue], retry=True)


def test_a_lost_connection_gives_stocks_error_and_pushes_nothing_twice(private_broker, monkeypatch):
    broker = private_broker()
    with gated(broker.url, q=BOUNDED) as gate:
        gate.publish("a")
        client = gate.producer.channel._publishing_client()
        connection_class = client.connection_pool.connection_class
        real = connection_class.read_response

        def lost(self, *args, **kwargs):
            real(self, *args, **kwargs)
            raise redis.ConnectionError("the answer was lost")

        monkeypatch.setattr(connection_class, "read_response", lost)
        with pytest.raises(redis.ConnectionError, match="the answer was lost"):
            gate.publish("b")
        monkeypatch.undo()
        assert gate.waiting() == ["a", "b"]


def test_a_server_that_is_down_gives_stocks_error_after_stocks_retries(private_broker):
    broker = private_broker()
    with gated(broker.url, policies=Given(timeout_s=5.0)) as gate:
        gate.publish("warm")
        broker.kill()
        policy = {"max_retries": 2, "interval_start": 0, "interval_step": 0.05, "interval_max": 0.1}
        with pytest.raises(kombu.exceptions.OperationalError):
            gate.producer.publish(
                "x", routing_key="q", exchange="", headers={"task": "t"}, retry=True, retry_policy=policy
            )


def test_a_refusal_is_not_retried(broker_url):
    with gated(broker_url, q=Bound(max_length=1)) as gate:
        gate.publish("a")
        with pytest.raises(QueueFull):
            gate.producer.publish(
                "x", routing_key="q", exchange="", headers={"task": "t"}, retry=True, retry_policy={"max_retries": 5}
            )
        assert gate.counts() == {"queue_full|q": 1}
