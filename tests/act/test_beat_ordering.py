"""What operators order: written, counted and journaled together; once; and one after the other where two do it at a time."""

import json
import threading
from dataclasses import replace

import pytest

from tidegate.act.beat import ordering
from tidegate.act.beat.ordering import Where
from tidegate.act.beat.wanted import Wanted, setting
from tidegate.act.journal import entries_since
from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.broker.orders import decode_ask, decode_order, encode_ask, encode_order
from tidegate.errors import CannotLook, UsageError
from tidegate.facts.beat import AUTO, Ask, EntryPolicy, Order
from tidegate.facts.seen import EntrySeen

SPACE = "tidegate:beat:1:shop:"
INTERVAL = EntrySeen(name="refresh", task="shop.refresh", interval_s=1.0, expires=False)
CRONTAB = replace(INTERVAL, interval_s=None, schedule="crontab 0 3 * * * (UTC)")


@pytest.fixture
def where(broker_url):
    with connect(parse_address(broker_url)) as broker:
        yield Where(broker, "shop", "refresh", "ann@ops")


def every(seconds, entry=INTERVAL, policy=EntryPolicy(), **bounds):  # noqa: B008  frozen
    return setting(entry, policy, Wanted(every=seconds, **bounds))


def stored(client, what="orders"):
    value = client.hget(SPACE + what, "refresh")
    return None if value is None else json.loads(value)


def edition(client):
    return int(client.get(SPACE + "edition") or 0)


def test_an_order_is_kept_and_journaled_with_who_from_and_to(where, redis_client):
    first = ordering.order(where, "set", every(1.2))
    second = ordering.order(where, "pause", ordering.paused, "moving the database")
    kept = stored(redis_client)
    assert {name: kept[name] for name in ("every", "paused", "who")} == {"every": 1.2, "paused": True, "who": "ann@ops"}
    assert (first.changed, first.was, first.now, first.edition) == (True, "nothing ordered", "every 1.2 s", 1)
    assert (second.was, second.now, second.edition) == ("every 1.2 s", "every 1.2 s, paused", 2)
    lines = entries_since(where.broker)
    assert [(line.act, line.what, line.key, line.who, line.was, line.now, line.why) for line in lines] == [
        ("beat", "set", "refresh", "ann@ops", "nothing ordered", "every 1.2 s", ""),
        ("beat", "pause", "refresh", "ann@ops", "every 1.2 s", "every 1.2 s, paused", "moving the database"),
    ]
    assert lines[0].at_s == pytest.approx(kept["at"], abs=5)


def test_what_is_so_already_is_not_written_again(where, redis_client):
    ordering.order(where, "pause", ordering.paused)
    again = ordering.order(replace(where, who="bob@ops"), "pause", ordering.paused)
    assert (again.changed, again.now, again.edition) == (False, "paused", 1)
    assert stored(redis_client)["who"] == "ann@ops"
    assert redis_client.xlen("tidegate:journal") == 1


def test_a_resume_or_reset_of_what_is_not_ordered_changes_nothing(where, redis_client):
    assert not ordering.order(where, "resume", ordering.resumed).changed
    assert not ordering.order(where, "reset", ordering.reset).changed
    assert (edition(redis_client), redis_client.exists("tidegate:journal")) == (0, 0)


def test_a_reset_takes_every_order_away(where, redis_client):
    ordering.order(where, "set", every(AUTO, min_s=1.0, max_s=30.0))
    ordering.order(where, "pause", ordering.paused)
    done = ordering.order(where, "reset", ordering.reset)
    assert (done.was, done.now, done.edition) == ("auto, min 1 s, max 30 s, paused", "nothing ordered", 3)
    assert not redis_client.hexists(SPACE + "orders", "refresh")


def test_a_resume_keeps_the_interval_that_was_ordered(where, redis_client):
    ordering.order(where, "set", every(1.2))
    ordering.order(where, "pause", ordering.paused)
    ordering.order(where, "resume", ordering.resumed)
    assert stored(redis_client)["every"] == 1.2
    assert "paused" not in stored(redis_client)


def test_a_run_is_asked_for_once_until_it_is_sent(where, redis_client):
    first, again = ordering.ask(where), ordering.ask(where)
    assert (first.changed, again.changed, edition(redis_client)) == (True, False, 1)
    assert stored(redis_client, "asks")["who"] == "ann@ops"
    redis_client.hdel(SPACE + "asks", "refresh")
    assert ordering.ask(where).changed
    assert [line.what for line in entries_since(where.broker)] == ["run_now", "run_now"]


def test_what_nobody_of_ours_wrote_is_overwritten_and_can_be_reset(where, redis_client):
    redis_client.hset(SPACE + "orders", "refresh", b"\xff{")
    assert ordering.order(where, "reset", ordering.reset).changed
    redis_client.hset(SPACE + "orders", "refresh", "[]")
    assert ordering.order(where, "pause", ordering.paused).changed
    assert stored(redis_client)["paused"] is True


def test_of_two_operators_at_a_time_neither_undoes_the_other(where, redis_client, broker_url):
    """Each compares with what it read; twenty acts of each kind, and every one of them is counted and journaled."""

    def act(change, what):
        with connect(parse_address(broker_url)) as broker:
            for number in range(1, 11):
                ordering.order(Where(broker, "shop", "refresh", what), what, change(number))

    threads = [
        threading.Thread(target=act, args=(lambda number: every(float(number)), "set")),
        threading.Thread(
            target=act, args=(lambda number: ordering.paused if number % 2 else ordering.resumed, "pause")
        ),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stored(redis_client)["every"] == 10.0
    assert "paused" not in stored(redis_client)
    assert edition(redis_client) == redis_client.xlen("tidegate:journal") == 20
    lines = entries_since(where.broker)
    assert [line.was for line in lines[1:]] == [line.now for line in lines[:-1]]


def test_orders_lie_behind_the_key_prefix(broker_url, redis_client):
    with connect(parse_address(broker_url, {"global_keyprefix": "x:"})) as broker:
        ordering.order(Where(broker, "shop", "refresh", "ann@ops"), "pause", ordering.paused)
    assert sorted(redis_client.keys()) == [
        b"x:tidegate:beat:1:shop:edition",
        b"x:tidegate:beat:1:shop:orders",
        b"x:tidegate:journal",
    ]


def test_a_server_that_refuses_is_said_and_nothing_is_half_done(where, redis_client):
    redis_client.set("tidegate:journal", "something else")
    with pytest.raises(CannotLook, match="nothing was ordered of 'refresh'"):
        ordering.order(where, "pause", ordering.paused)
    assert (edition(redis_client), redis_client.exists(SPACE + "orders")) == (0, 0)


@pytest.mark.parametrize(
    ("entry", "policy", "wanted", "said"),
    [
        (CRONTAB, EntryPolicy(), Wanted(every=2.0), "has no interval to set: pause, resume, run-now and reset fit it"),
        (CRONTAB, EntryPolicy(), Wanted(min_s=2.0), "has no interval to set"),
        (INTERVAL, EntryPolicy(), Wanted(), "give --every, --min or --max"),
        (INTERVAL, EntryPolicy(), Wanted(every=0.0), "--every: expected 0.001 s up to ten years, got 0 s"),
        (INTERVAL, EntryPolicy(), Wanted(every=AUTO, max_s=1e12), "--max: expected"),
        (INTERVAL, EntryPolicy(), Wanted(min_s=2.0), "add --every auto"),
        (INTERVAL, EntryPolicy(), Wanted(every=3.0, max_s=2.0), "add --every auto"),
        (INTERVAL, EntryPolicy(), Wanted(every=AUTO, min_s=5.0, max_s=2.0), "at least 5 s and at most 2 s"),
        (INTERVAL, EntryPolicy(auto=True, max_s=4.0), Wanted(min_s=5.0), "at least 5 s and at most 4 s"),
    ],
)
def test_an_order_that_can_not_hold_is_refused_with_what_to_do(where, redis_client, entry, policy, wanted, said):
    with pytest.raises(UsageError, match=said):
        ordering.order(where, "set", setting(entry, policy, wanted))
    assert redis_client.keys() == []


def test_bounds_fit_where_the_settings_or_an_order_say_auto(where, redis_client):
    ordering.order(where, "set", every(None, policy=EntryPolicy(auto=True), min_s=2.0))
    assert stored(redis_client)["min"] == 2.0
    ordering.order(where, "set", every(AUTO))
    ordering.order(where, "set", every(None, max_s=9.0))
    assert [stored(redis_client)[name] for name in ("every", "min", "max")] == [AUTO, 2.0, 9.0]
    ordering.order(where, "set", every(3.0))
    assert {"every", "who", "at"} == stored(redis_client).keys()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "{\"every\": -1}", "{\"every\": true}", "{\"every\": \"often\"}", "{\"min\": 0}", "{\"max\": 1e999}",
     "[" * 100_000],
)  # fmt: skip
def test_what_says_no_order_is_none(text):
    assert decode_order(text) is None


def test_an_order_and_an_ask_are_read_as_they_were_written():
    order = Order(every=AUTO, min_s=1.0, max_s=30.0, paused=True, who="ann@ops", at_s=1.5)
    ask = Ask(id="1", who="ann@ops", at_s=1.5)
    assert decode_order(encode_order(order)) == order
    assert decode_ask(encode_ask(ask)) == ask
    assert (encode_order(Order(who="ann", at_s=1.0)), decode_ask("{}"), decode_ask('{"id": 1}')) == ("", None, None)
