"""A message leaves its list and enters `unacked` in one step, in stock's order and in stock's format."""

import json
import random
import time

import pytest
from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads
from taking import GATE, STOCK, consuming, drain, step, until

from tidegate.act.gate.fetching import FETCH

TAG = "8f9e6d1c-0000-4000-8000-{:012d}"


def message(number, queue="q", **changes):
    properties = {
        "correlation_id": "c",
        "reply_to": "r",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": TAG.format(number),
    }
    properties.update(changes.pop("properties", {}))
    whole = {
        "body": "W1tdLCB7fSwge31d",
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": "t", "id": f"id{number}"},
    }
    whole.update(changes)
    whole["properties"] = properties
    return whole


def raw(number, queue="q", **changes):
    return json.dumps(message(number, queue, **changes)).encode()


def outcome(transport, url, client, element, queue="q"):
    """What becomes of one element: what was delivered or raised, and what is left in the server."""
    client.flushall()
    client.rpush(queue, element)
    with consuming(transport, url, queue) as connection:
        try:
            came = drain(connection, 1)[0]
            said = (came.delivery_tag, came.headers, came.body, came.delivery_info, came.properties)
        except Exception as error:  # noqa: BLE001 - whatever stock raises, ours has to
            said = type(error)
        held = {tag: loads(bytes_to_str(entry)) for tag, entry in client.hgetall("unacked").items()}
        index = client.zrange("unacked_index", 0, -1)
        left = client.llen(queue)
        for channel in connection.transport.channels:
            channel.qos._delivered.clear()  # nothing is put back when it closes
    return said, held, index, left


HOSTILE = {
    "as Kombu writes it": raw(1),
    "an exchange and a key with quotes": raw(
        1, properties={"delivery_info": {"exchange": 'a"b', "routing_key": 'q/\\"'}}
    ),
    "no words but Chinese": raw(1, properties={"delivery_info": {"exchange": "交换", "routing_key": "q\u2028"}}),
    "no routing key": raw(1, properties={"delivery_info": {"exchange": "", "routing_key": None}}),
    "properties in the headers": raw(1, headers={"a": {"x": 1, "properties": {"delivery_tag": "evil"}}}),
    "properties in the properties": raw(1, properties={"z": {"x": 1, "properties": {"delivery_tag": "evil"}}}),
    "properties in a name": json.dumps({**message(1), 'a, "properties': {"delivery_tag": "evil"}}).encode(),
    "headers after the properties": json.dumps(
        {
            "properties": message(1)["properties"],
            "body": "e30=",
            "headers": {"x": 1, "properties": {"delivery_tag": "evil"}},
        }
    ).encode(),
    "properties twice": raw(1)[:-1] + b', "properties": ' + json.dumps(message(2)["properties"]).encode() + b"}",
    "no blanks": json.dumps(message(1), separators=(",", ":")).encode(),
    "a line break at the end": raw(1) + b"\n",
    "numbers beyond measure": raw(1, headers={"n": 10**400, "f": 1e308, "i": 2**63}),
    "a body of 300 kB": raw(1, body="QUJD" * 75_000),
    "a body of 1.5 MB and no blanks": json.dumps(message(1, body="QUJD" * 375_000), separators=(",", ":")).encode(),
    "long properties": raw(1, properties={"reply_to": "r" * 10_000}),
    "very deep": raw(1).replace(b'"task": "t"', b'"task": ' + b"[" * 900 + b"]" * 900),
    "a number for a tag": raw(1, properties={"delivery_tag": 17}),
    "an empty tag": raw(1, properties={"delivery_tag": ""}),
    "a number for an exchange": raw(1, properties={"delivery_info": {"exchange": 3, "routing_key": "q"}}),
    "no delivery info": raw(1, properties={"delivery_info": None}),
    "no JSON": b"\x80\x02}q\x00.",
    "no JSON with properties": b"oh" + raw(1),
    "half a message": raw(1)[:-40],
    "a list": b"[1, 2]",
    "not a number": raw(1, headers={"n": float("nan")}),
    "broken UTF-8": raw(1).replace(b"id1", b"\xff\xfe"),
}


@pytest.mark.parametrize("element", HOSTILE.values(), ids=HOSTILE)
def test_any_element_meets_the_fate_that_stock_gives_it(element, broker_url, redis_client):
    stock = outcome(STOCK, broker_url, redis_client, element)

    assert outcome(GATE, broker_url, redis_client, element) == stock


def test_what_is_registered_is_what_stock_would_write_byte_by_byte(broker_url, redis_client):
    written = []
    for transport in (STOCK, GATE):
        redis_client.flushall()
        redis_client.rpush("q", raw(1))
        with consuming(transport, broker_url, "q") as connection:
            began = time.time()
            drain(connection, 1)
            written.append(redis_client.hget("unacked", TAG.format(1)))
            assert began <= redis_client.zscore("unacked_index", TAG.format(1)) <= time.time()

    assert written[0] == written[1]


def test_the_registration_is_there_before_the_worker_knows_of_the_message(broker_url, redis_client):
    redis_client.rpush("q", raw(1))
    with consuming(GATE, broker_url, "q") as connection:
        redis_client.script_load(FETCH.text)
        connection.transport.cycle.on_poll_start()
        until(lambda: not redis_client.llen("q"))

        assert redis_client.hkeys("unacked") == [TAG.format(1).encode()]
        assert connection.taken == []


@pytest.mark.parametrize("strategy", ["round_robin", "sorted", "priority"])
def test_queues_and_priorities_are_served_in_the_order_of_stock(strategy, broker_url, redis_client):
    orders = []
    for transport in (STOCK, GATE):
        dice = random.Random(4)
        redis_client.flushall()
        for number in range(60):
            queue, step_ = dice.choice("cab"), dice.choice(["", "\x06\x163", "\x06\x166", "\x06\x169"])
            redis_client.lpush(queue + step_, raw(number, queue))
        with consuming(transport, broker_url, "c", "a", "b", queue_order_strategy=strategy) as connection:
            orders.append([came.delivery_tag for came in drain(connection, 60)])

    assert orders[0] == orders[1]


def test_all_keys_stand_behind_the_prefix(broker_url, redis_client):
    redis_client.rpush("tenant:q", raw(1))
    with consuming(GATE, broker_url, "q", global_keyprefix="tenant:") as connection:
        drain(connection, 1)
        until(lambda: step(connection, 0.05) or redis_client.exists("tenant:tidegate:gate:1:asleep:q"))

        keys = {key.decode() for key in redis_client.scan_iter()}
        assert {key for key in keys if not key.startswith("tenant:")} == set()
        assert {"tenant:unacked", "tenant:unacked_index"} <= keys


def test_no_more_than_the_prefetch_limit_is_ever_held(broker_url, redis_client):
    redis_client.lpush("q", *(raw(number) for number in range(10)))
    with consuming(GATE, broker_url, "q", prefetch=3) as connection:
        drain(connection, 3)
        for _ in range(5):
            step(connection, 0.02)
        assert (redis_client.hlen("unacked"), redis_client.llen("q")) == (3, 7)

        connection.taken[0].ack()
        drain(connection, 4)
        assert (redis_client.hlen("unacked"), redis_client.llen("q")) == (3, 6)


def test_acknowledged_messages_leave_nothing_behind(broker_url, redis_client):
    redis_client.lpush("q", *(raw(number) for number in range(20)))
    with consuming(GATE, broker_url, "q") as connection:
        for came in drain(connection, 20):
            came.ack()

        assert redis_client.exists("unacked", "unacked_index", "q") == 0
