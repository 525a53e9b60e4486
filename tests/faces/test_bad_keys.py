"""Keys that are not what Kombu makes of them: said as a fact, unknown where it matters, and never a crash."""

import base64
import json
import math
import threading
from collections.abc import Callable, Iterator

import pytest
import redis

from broker.elements import element
from faces.shell import (
    COMMANDS,
    ON_ONE_QUEUE,
    assert_every_command_is_harmless,
    assert_harmless,
    assert_harmless_json,
    assert_one_line,
    briefly,
    call,
    words,
)

BINDINGS = "_kombu.binding.celery"
BOUND = b"celery\x06\x16\x06\x16celery"
Spoil = Callable[[redis.Redis], object]


@pytest.fixture
def client(redis_client: redis.Redis) -> Iterator[redis.Redis]:
    """The queue `celery`, bound and with three messages, and one taken."""
    redis_client.sadd(BINDINGS, BOUND)
    redis_client.lpush("celery", *[element()] * 3)
    redis_client.hset("unacked", "tag", b'[%s, "celery", "celery"]' % element())
    redis_client.zadd("unacked_index", {"tag": 1.7e9})
    yield redis_client


NO_LISTS: dict[str, Spoil] = {
    "hash": lambda client: client.hset("celery", "a", "b"),
    "string": lambda client: client.set("celery", "x"),
    "set": lambda client: client.sadd("celery", "x"),
    "zset": lambda client: client.zadd("celery", {"x": 1}),
    "stream": lambda client: client.xadd("celery", {"x": "1"}),
}


@pytest.mark.parametrize("kind", NO_LISTS)
def test_a_queue_that_is_no_list_is_said_to_be_none(kind: str, client: redis.Redis, broker_url: str) -> None:
    client.delete("celery")
    NO_LISTS[kind](client)
    for command in ON_ONE_QUEUE:
        ran = call(*words(command, broker_url))
        assert_one_line(ran, longest_s=2)
        assert "'celery' is no queue: the key is no list" in ran.said
    found = call("doctor", broker_url, "--window", "0.1", "--json").parsed
    assert found["verdict"] == "unknown"
    assert found["queues"][0]["depth"] is None
    assert found["queues"][0]["unknown"]["depth"] == "the key is no list"
    for command in COMMANDS[:4]:
        assert_harmless(call(*briefly(command, broker_url)))


def test_a_sound_queue_beside_one_that_is_none_is_still_seen(client: redis.Redis, broker_url: str) -> None:
    client.sadd(BINDINGS, b"odd\x06\x16\x06\x16odd")
    client.set("odd", "x")
    rows = {row["name"]: row for row in call("queues", broker_url, "--window", "0.1", "--json").parsed}
    assert rows["celery"]["depth"] == 3
    assert rows["odd"]["depth"] is None


SPOILT: dict[str, Spoil] = {
    "unacked is a list": lambda c: c.delete("unacked") and c.lpush("unacked", "x"),
    "unacked is a string": lambda c: c.set("unacked", "x"),
    "unacked_index is a list": lambda c: c.delete("unacked_index") and c.lpush("unacked_index", "x"),
    "unacked_index is missing": lambda c: c.delete("unacked_index"),
    "unacked is missing": lambda c: c.delete("unacked"),
    "unacked holds rubbish": lambda c: c.hset("unacked", "tag", b"\xff[\x1b[2J"),
    "unacked was delivered at no time": lambda c: c.zadd("unacked_index", {"tag": math.inf}),
    "unacked was delivered before time": lambda c: c.zadd("unacked_index", {"tag": -math.inf}),
    "unacked was delivered in the far future": lambda c: c.zadd("unacked_index", {"tag": 1e300}),
    "the bindings are a string": lambda c: c.set(BINDINGS, "x"),
    "the bindings are a list": lambda c: c.delete(BINDINGS) and c.lpush(BINDINGS, BOUND),
    "the bindings are rubbish": lambda c: c.sadd(BINDINGS, b"", b"\x06\x16" * 9, b"\xff" * 999, b"a\x06\x16\x06\x16"),
    "a priority list is a string": lambda c: c.set("celery\x06\x163", "x"),
    "there are a thousand priorities": lambda c: [c.lpush(f"celery\x06\x16{step}", element()) for step in range(1000)],
    "priorities are no numbers": lambda c: [
        c.lpush(f"celery\x06\x16{step}", element()) for step in ("²", "-1", "x", "")
    ],
    "reply lists are strings": lambda c: c.set("8ea7ee2c-0a4c-3a8a-8b3b-000000000000.reply.celery.pidbox", "x"),
    "results are lists": lambda c: c.lpush("celery-task-meta-1", "x"),
    "deadlines of bindings are a string": lambda c: c.set("_kombu.binding_deadlines", "x"),
}
#: Where a list of the queue itself is none, a single queue can't be shown.
NO_QUEUE = {"a priority list is a string"}


@pytest.mark.parametrize("what", SPOILT)
def test_a_key_of_another_kind_spoils_nothing_else(what: str, client: redis.Redis, broker_url: str) -> None:
    SPOILT[what](client)
    if what in NO_QUEUE:
        for command in COMMANDS[:4]:
            assert_harmless(call(*briefly(command, broker_url)))
        assert_one_line(call("peek", "celery", broker_url), longest_s=2)
    else:
        assert_every_command_is_harmless(broker_url)


@pytest.mark.parametrize("what", ["unacked is a list", "unacked is a string", "unacked_index is a list"])
def test_what_is_taken_is_unknown_where_it_can_not_be_read(what: str, client: redis.Redis, broker_url: str) -> None:
    SPOILT[what](client)
    row = call("queues", broker_url, "--window", "0.1", "--json").parsed[0]
    assert row["unacked"] is None
    assert row["unknown"]["unacked"]


def test_a_queue_is_found_among_a_hundred_thousand_other_keys(client: redis.Redis, broker_url: str) -> None:
    script = "for i = 1, 100000 do redis.call('set', ARGV[1] .. i, 'x') end"
    client.eval(script, 0, "session:\x1b[2J:")
    assert_every_command_is_harmless(broker_url)
    found = call("doctor", broker_url, "--window", "0.1", "--json").parsed
    assert [(queue["name"], queue["depth"]) for queue in found["queues"]] == [("celery", 3)]


NUMBERS = ("NaN", "Infinity", "1e308", "9" * 900, '"many"')


@pytest.mark.parametrize("number", NUMBERS)
def test_a_heartbeat_of_impossible_numbers_is_heard_without_harm(
    number: str, client: redis.Redis, broker_url: str, still_beating: Callable[[str], None]
) -> None:
    counts = f'"freq": {number}, "processed": {number}, "active": {number}'
    still_beating('{"type": "worker-heartbeat", "hostname": "\\u001b[2J@h", ' + counts + "}")
    ran = call("doctor", broker_url, "--window", "0.2", "--json")
    assert_harmless_json(ran)


@pytest.fixture
def still_beating(broker_url: str) -> Iterator[Callable[[str], None]]:
    """`still_beating(event)`: publishes it again and again for as long as the test runs."""
    over, threads = threading.Event(), list[threading.Thread]()

    def beat(event: str) -> None:
        body = base64.b64encode(event.encode()).decode()
        payload = json.dumps(
            {"body": body, "content-type": "application/json", "properties": {"body_encoding": "base64"}}
        )
        with redis.Redis.from_url(broker_url) as publisher:
            while not over.wait(0.02):
                publisher.publish("/0.celeryev/worker.heartbeat", payload)

    def start(event: str) -> None:
        threads.append(threading.Thread(target=beat, args=(event,)))
        threads[-1].start()

    yield start
    over.set()
    for thread in threads:
        thread.join()
