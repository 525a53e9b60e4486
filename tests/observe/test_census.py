"""The exact census against counting every message by hand, alone and under concurrent pushes, pops and restores."""

import base64
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from hypothesis import example, given, settings
from hypothesis import strategies as st
from list_model import acts, put_back
from mirrored_list import Mirrored
from queue_elements import element, elements, packed
from test_stream import Interrupted, Witness

from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.broker.stream import Chunks
from tidegate.demo.broker import PrivateBroker
from tidegate.errors import CannotLook
from tidegate.observe import census
from tidegate.observe.census import NOT_A_TASK, OTHER_TASKS, Counting, exact_census

Acts = Sequence[tuple[str, int]]
NOW = 1_700_000_000.0


@dataclass
class ByHand:
    """What a plain JSON decoder and a dictionary find."""

    counts: Counter[str] = field(default_factory=Counter)
    weights: Counter[str] = field(default_factory=Counter)
    expired: Counter[str] = field(default_factory=Counter)
    distinct: set[tuple[str | None, str]] = field(default_factory=set)
    undecodable: int = 0

    def add(self, data: bytes) -> None:
        read = task_of(data)
        if read is None:
            self.undecodable += 1
            return
        task, expires, body = read
        name = NOT_A_TASK if task is None else task
        self.counts[name] += 1
        self.weights[name] += len(data)
        self.expired[name] += is_past(expires)
        self.distinct.add((task, body))

    def rows(self) -> set[tuple[str, int, int, int, int]]:
        kinds = Counter(NOT_A_TASK if task is None else task for task, _ in self.distinct)
        return {(n, c, self.weights[n], self.expired[n], c - kinds[n]) for n, c in self.counts.items()}


def task_of(data: bytes) -> tuple[str | None, object, str] | None:
    """(task, expiry, packed body), or None where it is no message."""
    try:
        parsed = json.loads(data)
    except ValueError:
        return None
    if not isinstance(parsed, dict) or not isinstance(parsed.get("body", 0), str | None):
        return None
    headers = {} if parsed.get("headers") is None else parsed["headers"]
    if not isinstance(headers, dict):
        return None
    body = parsed["body"] or ""
    inside = headers if headers.get("task") is not None else {**opened(body), **headers}
    return named(inside, body) if headers.get("task") is not None or is_json(body) else None


def named(fields: dict[str, Any], body: str) -> tuple[str | None, object, str] | None:
    task = fields.get("task")
    return (task, fields.get("expires"), body) if isinstance(task, str | None) else None


def opened(body: str) -> dict[str, Any]:
    value = json.loads(base64.b64decode(body)) if is_json(body) else None
    return {name: part for name, part in value.items() if part is not None} if isinstance(value, dict) else {}


def is_json(body: str) -> bool:
    try:
        json.loads(base64.b64decode(body, validate=True))
    except ValueError:
        return False
    return True


def is_past(expires: object) -> bool:
    if isinstance(expires, str) and expires[4:5] == "-":
        moment = datetime.fromisoformat(expires)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() < NOW
    try:
        number = float(expires) if isinstance(expires, str | int | float) and not isinstance(expires, bool) else 0.0
    except ValueError:
        return False
    return 1e8 <= number < NOW


def counted(data: Sequence[bytes], **options: int) -> Counting:
    counting = Counting(NOW, **options)
    for start in range(0, len(data), 7):
        counting.add(data[start : start + 7])
    return counting


@settings(max_examples=500, deadline=None)
@given(data=st.lists(elements, max_size=40))
def test_counts_weights_expiry_and_repeats_are_those_of_a_plain_json_decoder(data: list[bytes]) -> None:
    by_hand = ByHand()
    for one in data:
        by_hand.add(one)
    counting = counted(data)
    rows = counting.rows()
    assert {(r.name, r.count, r.bytes, r.expired, r.duplicates) for r in rows} == by_hand.rows()
    assert counting.undecodable == by_hand.undecodable
    assert sum(r.count for r in rows) + counting.undecodable == len(data)
    assert math.isclose(sum(r.share for r in rows) + counting.undecodable / max(len(data), 1), 1.0) or not data


@pytest.mark.parametrize("repeats", [1, 2, 10])
@pytest.mark.parametrize("most", [500, 5000])
def test_beyond_the_cap_repeats_are_estimated_within_the_stated_error(repeats: int, most: int) -> None:
    distinct = 40_000
    data = [element({"task": "a"}, packed(number)) for number in range(distinct)]
    counting = Counting(NOW, most_identities=most)
    for _ in range(repeats):
        counting.add(data[:20_000])
        counting.add(data[20_000:])
    (row,) = counting.rows()
    kept = len(counting.tallies["a"].identities)
    assert kept <= most
    # Five standard errors: once in two million runs by chance.
    stated = math.sqrt(distinct * (distinct / kept - 1))
    assert abs(row.duplicates - (repeats - 1) * distinct) <= 5 * stated


def test_up_to_the_cap_repeats_are_exact() -> None:
    data = [element({"task": "a"}, packed(number)) for number in range(100)]
    (row,) = counted(data * 2, most_identities=100).rows()
    assert row.duplicates == 100


def test_more_task_names_than_any_application_has_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(census, "MOST_TASKS", 3)
    rows = counted([element({"task": f"t{number}"}, "") for number in range(10)]).rows()
    assert {row.name: row.count for row in rows} == {"t0": 1, "t1": 1, "t2": 1, OTHER_TASKS: 7}


def numbered() -> Iterator[bytes]:
    """Messages whose task is their number, so that a census by task shows every single one."""
    number = 0
    while True:
        yield element({"task": str(number)}, "", properties={"delivery_tag": str(number)})
        number += 1


def name_of(data: bytes) -> str:
    return str(json.loads(data)["headers"]["task"])


class Whole(Interrupted):
    """Nothing happens before the stream begins: what comes first is the census' own preparation."""

    def ask(self, *commands: Any) -> list[Any]:
        return self._broker.ask(*commands)

    def one(self, *command: Any) -> Any:
        return self._broker.one(*command)


@settings(max_examples=200, deadline=None)
@given(depth=st.integers(1, 30), happens=st.lists(acts(4), max_size=20), least=st.integers(2, 6))
@example(depth=5, happens=[[("pop", 5), ("restore", 5), ("push", 3)]], least=2)
def test_a_census_counts_what_was_there_and_stays_once_and_nothing_that_came(
    valkey: PrivateBroker, depth: int, happens: list[Acts], least: int
) -> None:
    valkey.ask("FLUSHALL")
    with redis.Redis.from_url(valkey.url) as client, connect(parse_address(valkey.socket_url)) as broker:
        model = Mirrored(client, "celery")
        model.make = numbered().__next__
        model.push(depth)
        witness = Witness(model, happens)
        whole: Any = Whole(broker, witness)
        seen = exact_census(whole, "celery", ["celery"], chunks=Chunks(least, least))
    names = {row.name: row.count for row in seen.by_task}
    assert set(names.values()) <= {1}
    assert {name_of(element) for element in witness.stayed} <= set(names) <= set(map(name_of, witness.start))
    assert seen.messages == seen.looked_at == sum(names.values())
    assert seen.undecodable == 0


def test_a_census_of_several_priorities_counts_them_all_and_tells_how_far_it_is(valkey: PrivateBroker) -> None:
    valkey.ask("FLUSHALL")
    data = [element({"task": "a"}, packed(number)) for number in range(2500)]
    told: list[tuple[int, int]] = []
    with redis.Redis.from_url(valkey.url) as client, connect(parse_address(valkey.socket_url)) as broker:
        client.rpush("q", *data)
        client.rpush("q\x06\x163", *data[:500], b"noise")
        seen = exact_census(broker, "q", ["q", "q\x06\x163"], lambda done, expected: told.append((done, expected)))
    (row,) = seen.by_task
    assert (row.count, row.duplicates, seen.undecodable, seen.messages, seen.exact) == (3000, 500, 1, 3001, True)
    assert row.bytes == sum(map(len, data)) + sum(map(len, data[:500]))
    assert told[-1] == (3001, 3001)
    assert told == sorted(told)


def test_a_part_that_can_t_be_counted_is_never_counted_as_empty(valkey: PrivateBroker) -> None:
    valkey.ask("FLUSHALL")
    with redis.Redis.from_url(valkey.url) as client, connect(parse_address(valkey.socket_url)) as broker:
        client.rpush("q", b"noise")
        client.set("q\x06\x163", "text")
        with pytest.raises(CannotLook, match="no list"):
            exact_census(broker, "q", ["q", "q\x06\x163"])


def test_the_mark_of_a_restored_message_does_not_change_what_is_counted() -> None:
    data = element({"task": "a"}, packed(1))
    (row,) = counted([data, put_back(data)]).rows()
    assert (row.name, row.count, row.duplicates) == ("a", 2, 1)
