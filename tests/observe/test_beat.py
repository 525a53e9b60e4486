"""The schedule as it shows in Redis: every field read, what is strange counted, what is refused unknown, all of it bounded."""

import json
import time

import pytest

from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.facts.beat import Ask, Order, Paced
from tidegate.facts.scheduled import LastSeen, Leader, Rules
from tidegate.facts.unknown import Unknown, known
from tidegate.observe.beat import MOST_ENTRIES, in_force, see_beat, see_ours

SPACE = "tidegate:beat:1:shop:"


@pytest.fixture
def broker(broker_url):
    with connect(parse_address(broker_url)) as broker:
        yield broker


def test_a_schedule_that_never_ran_has_nothing_and_nobody_leads(broker):
    seen = see_beat(broker, "shop", ["refresh"])
    assert seen.at_s == pytest.approx(time.time(), abs=60)
    assert (seen.leader, seen.edition, seen.edition_in_force, seen.strange) == (None, 0, None, 0)
    assert [seen.cursors, seen.last, seen.counts, seen.orders, seen.asks, seen.paced] == [{}] * 6


def test_every_field_is_read(broker, redis_client):
    redis_client.set(SPACE + "lease", json.dumps({"token": "t", "who": "web1:7", "since": 100.5}))
    redis_client.mset({SPACE + "edition": 7, SPACE + "seen": 6})
    redis_client.hset(SPACE + "cursors", mapping={"refresh": 1_500_000, "other": 1})
    redis_client.hset(SPACE + "last", "refresh", "failed|2500|a | in it")
    redis_client.hset(SPACE + "counts", mapping={"sent|refresh": 3, "failed|refresh": 1, "sent|other": 9})
    redis_client.hset(SPACE + "orders", "refresh", '{"every": 2, "who": "ann@ops", "at": 9.0}')
    redis_client.hset(SPACE + "asks", "refresh", '{"id": "x", "who": "bob@ops"}')
    redis_client.hset(SPACE + "paced", "refresh", '{"interval_s": 1.5, "why": "so", "basis": "plan"}')
    seen = see_beat(broker, "shop", ["refresh", "new"])
    assert seen.leader == Leader(who="web1:7", since_s=100.5)
    assert (seen.edition, seen.edition_in_force, in_force(broker, "shop")) == (7, 6, (seen.leader, 6))
    assert seen.cursors == {"refresh": 1.5}
    assert seen.last == {"refresh": LastSeen(outcome="failed", at_s=2.5, why="a | in it")}
    assert seen.counts == {"refresh": {"sent": 3, "failed": 1}}
    assert seen.orders == {"refresh": Order(every=2.0, who="ann@ops", at_s=9.0)}
    assert seen.asks == {"refresh": Ask(id="x", who="bob@ops")}
    assert seen.paced == {"refresh": Paced(interval_s=1.5, why="so", basis="plan")}
    assert seen.strange == 0


def test_what_nobody_of_ours_wrote_is_counted_and_left_out(broker, redis_client):
    redis_client.set(SPACE + "lease", b"\xff not ours")
    for what, value in (("cursors", "soon"), ("last", "well|1|"), ("last", "sent|x|"), ("orders", "{"), ("asks", "1")):
        redis_client.hset(SPACE + what, f"{what} {value}", value)
        redis_client.hset(SPACE + what, f"{what} bytes", b"\xff\xfe")
    names = [f"{what} bytes" for what in ("cursors", "last", "orders", "asks")]
    seen = see_beat(broker, "shop", [*names, "cursors soon", "last well|1|", "last sent|x|", "orders {", "asks 1"])
    assert known(seen.leader)
    assert seen.leader is not None, "whoever holds the lease leads"
    assert seen.strange == 9
    assert [seen.cursors, seen.last, seen.orders, seen.asks] == [{}] * 4


def test_a_key_of_another_type_is_unknown_and_the_rest_is_read(broker, redis_client):
    redis_client.set(SPACE + "cursors", "x")
    redis_client.hset(SPACE + "counts", "sent|refresh", 2)
    seen = see_beat(broker, "shop", ["refresh"])
    assert isinstance(seen.cursors, Unknown)
    assert "is no hash" in seen.cursors.why
    assert seen.counts == {"refresh": {"sent": 2}}


def test_what_may_not_be_read_is_unknown_and_says_what_to_grant(private_broker):
    server = private_broker()
    server.ask("ACL", "SETUSER", "looker", "on", ">p", "~*", "+@all", "-hmget", "-mget")
    with connect(parse_address(server.url.replace("redis://", "redis://looker:p@"))) as broker:
        seen = see_beat(broker, "shop", ["refresh"])
    assert isinstance(seen.leader, Unknown)
    assert "+mget" in seen.leader.why
    assert all(isinstance(part, Unknown) and "+hmget" in part.why for part in (seen.orders, seen.counts, seen.last))


def test_of_many_entries_the_first_are_read_for_a_bounded_number_of_commands(broker):
    seen = see_beat(broker, "shop", [f"e{number}" for number in range(10 * MOST_ENTRIES)])
    assert seen.counts == {}
    assert broker.spent == {"time": 1, "mget": 1, "hmget": 5 * 4 + 52}


def test_entries_of_another_scheduler_are_not_asked_about(broker, redis_client):
    stock = Rules(name="shop", ours=False)
    assert see_ours(broker, stock, ["refresh"]) is None
    assert broker.spent == {"mget": 1}
    redis_client.set(SPACE + "lease", "{}")
    assert see_ours(broker, stock, ["refresh"]) is not None, "a beat of ours that was started with -S"
    assert isinstance(see_ours(broker, Rules(name="none", ours=Unknown("can't be imported")), []), Unknown)
