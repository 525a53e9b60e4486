"""A server that answers, and then no longer: silence, a cut, one byte at a time, at every stage of every command."""

import threading
from collections.abc import Callable, Iterator

import pytest
import redis

from faces.faults import FaultyServer, Proxy, cut, swallow, trickle
from faces.shell import COMMANDS, WINDOW_S, Ran, assert_one_line, call, run, words
from tidegate.demo.broker import PrivateBroker

TIMEOUT_S = 0.2
SLACK_S = 2.0
STARTS_S = 10.0
IN_TIME = ("--timeout", str(TIMEOUT_S))
SECRET = "hunter-two-and-a-half"
FAULTS = {"goes silent": swallow, "cuts": cut, "drips": trickle}
WATCHING = ("doctor", "{}", "--window", "0.3", "--json")
PEEKING, SAMPLING, COUNTING = COMMANDS[4], COMMANDS[6], COMMANDS[8]

#: A command, and the request with which the fault begins: (which command, what it says, for the how-manieth time).
STAGES = {
    "of a look: the greeting": (WATCHING, b"PING", 1),
    "of a look: INFO": (WATCHING, b"INFO", 1),
    "of a look: the settings": (WATCHING, b"CONFIG", 1),
    "of a look: the walk over the keys": (WATCHING, b"SCAN", 1),
    "of a look: the bindings": (WATCHING, b"SSCAN", 1),
    "of a look: the weights": (WATCHING, b"MEMORY", 1),
    "of a look: the subscription": (WATCHING, b"PSUBSCRIBE", 1),
    "of a look: the first poll": (WATCHING, b"HLEN", 1),
    "of a look: the third poll": (WATCHING, b"HLEN", 3),
    "of a look: the clients": (WATCHING, b"LIST", 1),
    "of a look: what is taken": (WATCHING, b"ZRANGE", 1),
    "of a look: the last INFO": (WATCHING, b"INFO", 3),
    "of a peek: the lengths": (PEEKING, b"LLEN", 1),
    "of a peek: the elements": (PEEKING, b"LRANGE", 1),
    "of a sample: the first window": (SAMPLING, b"LRANGE", 1),
    "of a sample: a later window": (SAMPLING, b"LRANGE", 9),
    "of a count: the first chunk": (COUNTING, b"LRANGE", 1),
    "of a count: a later chunk": (COUNTING, b"LRANGE", 4),
}


@pytest.fixture
def deep(valkey: PrivateBroker, redis_client: redis.Redis) -> Iterator[PrivateBroker]:
    """A server with 12,000 messages in the queue `celery`, one of them taken."""
    message = (
        b'{"body": "W1tdLHt9LHt9XQ==", "headers": {"task": "t", "id": "%d"}, "properties": {"body_encoding": "base64"}}'
    )
    redis_client.lpush("celery", *[message % number for number in range(12_000)])
    redis_client.sadd("_kombu.binding.celery", "celery\x06\x16\x06\x16celery")
    redis_client.hset("unacked", "tag", b'[%s, "celery", "celery"]' % (message % 0))
    redis_client.zadd("unacked_index", {"tag": 1.7e9})
    yield valkey


def assert_it_gave_up(ran: Ran, fault: str, *, longest_s: float) -> None:
    assert_one_line(ran, longest_s=longest_s, secret=SECRET)
    assert ("closed the connection" if fault == "cuts" else f"did not answer within {TIMEOUT_S:g} s") in ran.said


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", STAGES)
def test_a_server_that_turns_away_is_given_up_in_time(stage: str, fault: str, deep: PrivateBroker) -> None:
    command, request, number = STAGES[stage]
    with Proxy(deep.port, FAULTS[fault], request, number) as proxy:
        ran = call(*words(command, proxy.url(), *IN_TIME))
        assert proxy.sprung.is_set(), ran.said
    assert_it_gave_up(ran, fault, longest_s=TIMEOUT_S + WINDOW_S + SLACK_S)


@pytest.mark.parametrize("fault", FAULTS)
def test_the_program_itself_gives_up_in_time(fault: str, deep: PrivateBroker) -> None:
    command, request, number = STAGES["of a look: the third poll"]
    with Proxy(deep.port, FAULTS[fault], request, number) as proxy:
        ran = run(*words(command, proxy.url(), *IN_TIME))
    assert_it_gave_up(ran, fault, longest_s=TIMEOUT_S + WINDOW_S + SLACK_S + STARTS_S)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_login_that_is_never_answered_is_given_up_in_time(
    fault: str, private_broker: Callable[..., PrivateBroker]
) -> None:
    broker = private_broker(requirepass=SECRET)
    with Proxy(broker.port, FAULTS[fault], b"AUTH") as proxy:
        ran = call(*words(WATCHING, proxy.url(credentials=f":{SECRET}@"), *IN_TIME))
    assert_it_gave_up(ran, fault, longest_s=TIMEOUT_S + SLACK_S)


@pytest.mark.calm
def test_a_frozen_server_is_given_up_in_time(private_broker: Callable[..., PrivateBroker]) -> None:
    broker = private_broker()
    broker.pause()
    try:
        for command in COMMANDS:
            ran = call(*words(command, broker.url, *IN_TIME))
            assert_it_gave_up(ran, "goes silent", longest_s=TIMEOUT_S + SLACK_S)
    finally:
        broker.resume()


def test_a_server_that_freezes_in_the_window_is_given_up_in_time(private_broker: Callable[..., PrivateBroker]) -> None:
    broker = private_broker()
    broker.ask("LPUSH", "celery", "{}")
    frozen = threading.Thread(target=_freeze_once_heard, args=(broker,))
    frozen.start()
    try:
        ran = call("doctor", broker.url, "-Q", "celery", "--window", "30", *IN_TIME)
    finally:
        frozen.join()
        broker.resume()
    assert_it_gave_up(ran, "goes silent", longest_s=TIMEOUT_S + SLACK_S + STARTS_S)


def _freeze_once_heard(broker: PrivateBroker) -> None:
    """Pauses the server as soon as somebody has subscribed: then the window has begun."""
    with redis.Redis.from_url(broker.url) as client:
        while not client.pubsub_numpat():
            pass
    broker.pause()


def test_of_several_servers_the_first_that_answers_is_taken(deep: PrivateBroker) -> None:
    with FaultyServer(lambda line, over: None) as closing, Proxy(deep.port, swallow, b"PING") as silent:
        url = ";".join([closing.url(), silent.url(), deep.url])
        ran = call("peek", "celery", url, *IN_TIME)
    assert ran.code == 0, ran.said
    assert ran.took_s < TIMEOUT_S + SLACK_S
