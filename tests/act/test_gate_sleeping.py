"""An idle worker sleeps on the bells of its queues: nothing can be lost there, and nothing waits longer than with stock."""

import time
from queue import Empty

import pytest
from taking import GATE, STOCK, consuming, drain, step, until
from test_gate_fetching import raw

from tidegate.act.gate import rest
from tidegate.act.gate.rest import Rest
from tidegate.broker.scripts import Script

BELL, ASLEEP = "tidegate:gate:1:bell:q", "tidegate:gate:1:asleep:q"


@pytest.fixture(scope="module")
def put():
    """Puts a message in as the gate's producers do: `put(client, number, queue)`; the list's name follows from both."""
    script = Script("door")
    script = _with(script, "redis.call('LPUSH', KEYS[1], ARGV[1]) ring('', ARGV[2])")

    def push(client, number, queue="q", step_=""):
        script.run(client, [queue + step_], [raw(number, queue), queue])

    return push


def _with(script, more):
    import hashlib

    script.text += "\n" + more
    script.digest = hashlib.sha1(script.text.encode()).hexdigest()
    return script


def fall_asleep(connection, client, sleepers=1):
    """Work until the server has so many clients waiting on bells."""

    def sleeps():
        step(connection, 0.01)
        return client.info("clients")["blocked_clients"] == sleepers

    until(sleeps)


def calls(client, *names):
    """How often clients have sent these commands since the statistics were reset."""
    stats = client.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in names)


def test_a_message_put_in_by_the_gate_wakes_a_sleeper_at_once(broker_url, redis_client, put):
    with consuming(GATE, broker_url, "q") as connection:
        fall_asleep(connection, redis_client)
        began = time.monotonic()
        put(redis_client, 1)

        drain(connection, 1)
        assert time.monotonic() - began < 0.5
        assert redis_client.exists(BELL) == 0


def test_a_message_that_comes_before_the_worker_lies_down_is_not_slept_over(broker_url, redis_client, put):
    with consuming(GATE, broker_url, "q") as connection:
        step(connection, 1.0)  # has looked, found nothing, and would sleep next
        assert connection.default_channel._found_nothing
        began = time.monotonic()
        put(redis_client, 1)

        drain(connection, 1)
        assert time.monotonic() - began < 0.5


def test_one_message_wakes_one_of_the_sleepers(broker_url, redis_client, put):
    with consuming(GATE, broker_url, "q") as first, consuming(GATE, broker_url, "q") as second:
        fall_asleep(first, redis_client)
        fall_asleep(second, redis_client, 2)
        put(redis_client, 1)

        until(lambda: redis_client.info("clients")["blocked_clients"] == 1)
        drain(first, 1)
        assert second.taken == []


def test_a_sleeper_who_finds_more_than_one_message_wakes_the_next(broker_url, redis_client, put):
    with consuming(GATE, broker_url, "q") as first, consuming(GATE, broker_url, "q", prefetch=1) as second:
        fall_asleep(first, redis_client)
        fall_asleep(second, redis_client, 2)
        with redis_client.pipeline(transaction=True) as both:  # the second finds the first one's token in the bell
            both.lpush("q", raw(1))
            both.lpush("q", raw(2))
            both.lpush(BELL, "1")
            both.execute()

        step(first, 1.0)
        began = time.monotonic()
        drain(second, 1)
        assert time.monotonic() - began < 0.5
        assert len(first.taken) == 1


def test_a_token_for_a_queue_that_is_not_taken_from_is_passed_on(broker_url, redis_client, put):
    """The first is at its limit with a message of another queue when the bell rings; the second gets what it rang for."""
    in_order = {"queue_order_strategy": "sorted"}
    with (
        consuming(GATE, broker_url, "a", "q", prefetch=1, **in_order) as first,
        consuming(GATE, broker_url, "q") as second,
    ):
        fall_asleep(first, redis_client)
        fall_asleep(second, redis_client, 2)
        with redis_client.pipeline(transaction=True) as both:
            both.lpush("a", raw(1, "a"))
            both.lpush("q", raw(2))
            both.lpush(BELL, "1")
            both.execute()

        drain(first, 1)
        began = time.monotonic()
        drain(second, 1)
        assert time.monotonic() - began < 0.5


def test_a_channel_at_its_limit_passes_the_token_on(broker_url, redis_client, put):
    with consuming(GATE, broker_url, "q") as first, consuming(GATE, broker_url, "q") as second:
        fall_asleep(first, redis_client)
        fall_asleep(second, redis_client, 2)
        first.default_channel.qos.can_consume = lambda: False
        put(redis_client, 1)
        until(lambda: redis_client.info("clients")["blocked_clients"] == 1)
        with pytest.raises(Empty):
            first.default_channel.handlers["BRPOP"]()

        drain(second, 1)


def test_an_idle_worker_sends_no_more_commands_than_stock(broker_url, redis_client):
    wait = {"polling_interval": 0.5}
    with consuming(STOCK, broker_url, "s", **wait) as stock, consuming(GATE, broker_url, "q", **wait) as gate:
        fall_asleep(stock, redis_client)
        fall_asleep(gate, redis_client, 2)
        redis_client.config_resetstat()
        deadline = time.monotonic() + 2.8
        while time.monotonic() < deadline:
            step(stock, 0.01)
            step(gate, 0.01)

    looks = calls(redis_client, "pttl")  # one in each; EVALSHA is also sent by stock's locks
    assert 2 <= calls(redis_client, "blpop") + looks <= calls(redis_client, "brpop")


def test_a_message_that_nobody_rang_for_is_found_when_the_sleep_is_over(broker_url, redis_client):
    with consuming(GATE, broker_url, "q") as connection:
        connection.default_channel.brpop_timeout = 0.1
        fall_asleep(connection, redis_client)
        redis_client.lpush("q", raw(1))
        began = time.monotonic()

        drain(connection, 1)
        assert time.monotonic() - began < 0.7


def test_while_such_messages_come_the_sleeps_are_short_and_then_longer_again(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(rest, "monotonic", lambda: now[0])
    sleeps = Rest()
    assert sleeps.length_s(1.0) == 2.2

    sleeps.over(rung=False)
    sleeps.looked(found=True)
    assert sleeps.length_s(1.0) == rest.SHORTEST_S
    now[0] += 5.0
    assert sleeps.length_s(1.0) == pytest.approx(0.5)
    now[0] += 60.0
    assert sleeps.length_s(1.0) == 2.2
    assert sleeps.length_s(0.0) == 2.2  # stock would wait for ever


def test_a_message_that_was_rung_for_makes_no_sleep_short():
    sleeps = Rest()
    sleeps.over(rung=True)
    sleeps.looked(found=True)

    assert sleeps.length_s(1.0) == 2.2


def test_the_note_of_sleepers_expires_with_them(broker_url, redis_client, put):
    with consuming(GATE, broker_url, "q") as connection:
        fall_asleep(connection, redis_client)

    assert 0 < redis_client.pttl(ASLEEP) <= 60_000
    put(redis_client, 1)
    put(redis_client, 2)
    assert redis_client.llen(BELL) == 1
    assert 0 < redis_client.pttl(BELL) <= 60_000


def test_where_nobody_sleeps_no_bell_is_rung(redis_client, put):
    put(redis_client, 1)

    assert redis_client.keys() == [b"q"]


def test_a_bell_of_the_wrong_type_keeps_no_message_out(redis_client, put):
    redis_client.set(ASLEEP, "1")
    redis_client.set(BELL, "no list")
    put(redis_client, 1)

    assert redis_client.llen("q") == 1


def test_whoever_closes_while_asleep_goes_at_once_and_wakes_another(broker_url, redis_client, put):
    with consuming(GATE, broker_url, "q") as second:
        with consuming(GATE, broker_url, "q") as first:
            fall_asleep(first, redis_client)
            fall_asleep(second, redis_client, 2)
            put(redis_client, 1)  # the first one's, who has slept longest
            began = time.monotonic()
        assert time.monotonic() - began < 0.5
        drain(second, 1)
        assert time.monotonic() - began < 0.9
