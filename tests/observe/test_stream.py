"""A list streamed while others work on it: what was there and stays is seen once, and nothing else."""

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from list_model import acts, fresh
from mirrored_list import Mirrored

from tidegate.broker.address import parse_address
from tidegate.broker.client import Broker, Command, connect
from tidegate.broker.stream import CHUNKS, Chunks, stream_list
from tidegate.demo.broker import PrivateBroker
from tidegate.errors import NotAQueue

Acts = Sequence[tuple[str, int]]


class Interrupted:
    """A broker before each of whose commands something else happens on the server."""

    def __init__(self, broker: Broker, before_each: Callable[[], None]) -> None:
        self._broker, self._before_each = broker, before_each

    def stream(self, commands: Iterable[Command]) -> Iterator[Any]:
        for command in commands:
            self._before_each()
            yield self._broker.one(*command)


class Witness:
    """Lets the acts happen one after the other, and notes what was there at the first command and never left."""

    def __init__(self, model: Mirrored, happens: Sequence[Acts]) -> None:
        self.model, self._happens = model, iter(happens)
        self.start: list[bytes] = []
        self.stayed: set[bytes] = set()

    def __call__(self) -> None:
        if not self.start:
            self.start = list(self.model.elements)
            self.stayed = set(self.start)
            return
        self.model.do(next(self._happens, []))
        self.stayed &= set(self.model.elements)


def tag(element: bytes) -> bytes:
    found = re.search(rb'"delivery_tag": "(\d+)"', element)
    assert found is not None
    return found[1]


def tags(elements: Iterable[bytes]) -> list[bytes]:
    return [tag(element) for element in elements]


def streamed(chunks: Iterable[Sequence[bytes]]) -> list[bytes]:
    return [element for chunk in chunks for element in chunk]


@settings(max_examples=400, deadline=None)
@given(
    depth=st.integers(1, 40),
    happens=st.lists(acts(4), max_size=30),
    least=st.integers(2, 6),
    most=st.integers(2, 8),
)
def test_what_was_there_and_stays_is_seen_once_and_nothing_pushed_later_is(
    valkey: PrivateBroker, depth: int, happens: list[Acts], least: int, most: int
) -> None:
    valkey.ask("FLUSHALL")
    with redis.Redis.from_url(valkey.url) as client, connect(parse_address(valkey.socket_url)) as broker:
        model = Mirrored(client, "celery")
        model.push(depth)
        witness = Witness(model, happens)
        interrupted: Any = Interrupted(broker, witness)
        seen = streamed(stream_list(interrupted, "celery", depth, 60.0, Chunks(least, most)))
    assert len(set(tags(seen))) == len(seen)
    assert set(tags(seen)) <= set(tags(witness.start))
    assert witness.stayed <= set(seen)
    assert [element for element in seen if element in witness.stayed] == [
        element for element in witness.start if element in witness.stayed
    ]


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 999, 1000, 1001, 2000, 12_345])
def test_a_quiet_list_is_streamed_whole_and_in_order(valkey: PrivateBroker, depth: int) -> None:
    valkey.ask("FLUSHALL")
    elements = [fresh() for _ in range(depth)]
    with redis.Redis.from_url(valkey.url) as client, connect(parse_address(valkey.socket_url)) as broker:
        if elements:
            client.rpush("celery", *elements)
        assert streamed(stream_list(broker, "celery", depth, 60.0)) == elements


def test_messages_of_unacked_deliveries_put_back_meanwhile_are_not_counted(valkey: PrivateBroker) -> None:
    valkey.ask("FLUSHALL")
    with redis.Redis.from_url(valkey.url) as client, connect(parse_address(valkey.socket_url)) as broker:
        model = Mirrored(client, "celery")
        model.push(20)
        model.pop(5)
        witness = Witness(model, [[], [("restore", 5)]])
        interrupted: Any = Interrupted(broker, witness)
        assert streamed(stream_list(interrupted, "celery", 15, 60.0, Chunks(4, 4))) == witness.start


def test_a_list_under_real_load_loses_and_repeats_nothing(valkey: PrivateBroker) -> None:
    valkey.ask("FLUSHALL")
    elements = [fresh() for _ in range(30_000)]
    ended = threading.Event()
    with redis.Redis.from_url(valkey.url) as client, connect(parse_address(valkey.socket_url)) as broker:
        client.rpush("celery", *elements)
        load = threading.Thread(target=work, args=(valkey.url, ended))
        load.start()
        seen = streamed(stream_list(broker, "celery", 30_000, 60.0, Chunks(50, 50)))
        ended.set()
        load.join()
        left = set(client.lrange("celery", 0, -1))
    # What was pushed before the first chunk was read may be seen; then it stands before all others.
    there = set(elements)
    new = [element for element in seen if element not in there]
    assert seen[: len(new)] == new
    assert len(set(seen)) == len(seen)
    assert there & left <= set(seen)


def work(url: str, ended: threading.Event) -> None:
    """Three pushes to one pop, until the end."""
    with redis.Redis.from_url(url) as client:
        while not ended.is_set():
            client.lpush("celery", fresh(), fresh(), fresh())
            client.rpop("celery")


def test_ending_early_leaves_the_connection_usable(valkey: PrivateBroker) -> None:
    valkey.ask("FLUSHALL")
    with redis.Redis.from_url(valkey.url) as client, connect(parse_address(valkey.socket_url)) as broker:
        client.rpush("celery", *(fresh() for _ in range(5000)))
        chunks = stream_list(broker, "celery", 5000, 60.0)
        next(iter(chunks))
        chunks.close()  # type: ignore[attr-defined]
        assert broker.one("LLEN", "celery") == 5000


def test_a_key_that_became_something_else_is_an_error_and_not_an_empty_list(valkey: PrivateBroker) -> None:
    valkey.ask("FLUSHALL")
    with redis.Redis.from_url(valkey.url) as client, connect(parse_address(valkey.socket_url)) as broker:
        client.set("celery", "text")
        with pytest.raises(NotAQueue):
            streamed(stream_list(broker, "celery", 0, 60.0))


def test_chunks_grow_where_the_walk_is_long_and_shrink_where_messages_are_large() -> None:
    deep = 2_000_000
    assert CHUNKS.length(0, deep, 1000) == CHUNKS.length(deep - 1, deep, 1000) == CHUNKS.least
    assert CHUNKS.length(deep // 2, deep, 1000) == CHUNKS.most
    assert CHUNKS.length(deep // 2, deep, 100_000) == 41
    assert CHUNKS.length(0, deep, 100_000_000) == 2
