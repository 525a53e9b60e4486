"""The lease: one of all beats leads, another one goes on when it ends, dies or falls silent, and nothing strange stops it."""

import json
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest
import redis

from act.taking import until
from tidegate.act.beat.leading import Leading, standing_of
from tidegate.act.beat.outcomes import rarely
from tidegate.act.beat.rules import name_of
from tidegate.act.beat.standing import Alone, Verdict
from tidegate.broker.address import parse_address
from tidegate.broker.orders import encode_ask, encode_order
from tidegate.facts.beat import Ask, BeatOutcome, Order
from tidegate.observe.process import machine

SPACE = "tidegate:beat:1:shop:"
LEASE = SPACE + "lease"
HASHES = ("cursors", "orders", "asks", "counts", "last")
AWAY_S = 3.0


@pytest.fixture
def beat():
    """`beat(url)`: what a beat knows of the schedule `shop`; every one is closed at the end."""
    rarely._kinds.clear()
    with ExitStack() as opened:

        def make(url, name="shop", node="beat@here", **options):
            standing = Leading(parse_address(url, options), name, node)
            opened.callback(standing.close)
            return standing

        yield make


def turn(standing):
    """It asks now, whenever its next turn would be; a link that failed is tried again at once."""
    standing._next_s = standing._link._not_before_s = float("-inf")
    return standing.check()


def timed(act):
    began_s = time.monotonic()
    act()
    return time.monotonic() - began_s


def holder(client, lease=LEASE):
    return json.loads(client.get(lease))


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_one_of_two_leads_and_the_lease_says_who(beat, broker_url, redis_client):
    first, second = beat(broker_url), beat(broker_url, node="beat@there")
    assert (turn(first), turn(second), turn(first), turn(second)) == (True, False, True, False)
    held = holder(redis_client)
    assert (held["token"], held["node"]) == (first.terms.token, "beat@here")
    assert 0 < redis_client.pttl(LEASE) <= 3000
    assert (first.term, second.term) == (1, 0)


def test_schedules_of_two_names_know_nothing_of_each_other(beat, broker_url):
    assert turn(beat(broker_url, "shop")) is turn(beat(broker_url, "stock")) is True


def test_who_asks_renews_and_nobody_asks_more_than_twice_a_second(beat, broker_url, redis_client):
    first = beat(broker_url)
    turn(first)
    redis_client.pexpire(LEASE, 1500)
    assert first.check()
    assert redis_client.pttl(LEASE) <= 1500
    assert turn(first)
    assert redis_client.pttl(LEASE) > 1500
    assert first.term == 1


def test_an_expired_lease_is_taken_with_a_token_that_nobody_had_before(beat, broker_url, redis_client):
    first, second = beat(broker_url), beat(broker_url)
    turn(first)
    token = first.terms.token
    redis_client.pexpire(LEASE, 1)
    until(lambda: not redis_client.exists(LEASE))
    assert turn(second)
    assert not turn(first)
    assert holder(redis_client)["token"] == second.terms.token != token
    redis_client.delete(LEASE)
    assert turn(first)
    assert first.terms.token not in (token, second.terms.token)
    assert first.term == 2


def test_a_beat_that_did_not_run_for_a_while_does_not_trust_its_memory(beat, broker_url, redis_client, monkeypatch):
    first, second = beat(broker_url), beat(broker_url)
    turn(first)
    redis_client.delete(LEASE)
    turn(second)
    now_s = time.monotonic()
    monkeypatch.setattr("tidegate.act.lease.time.monotonic", lambda: now_s + 10)
    assert first.check() is False


def test_a_beat_that_ends_gives_it_up_at_once_and_one_that_does_not_lead_takes_nothing_away(
    beat, broker_url, redis_client
):
    first, second = beat(broker_url), beat(broker_url)
    turn(first), turn(second)
    second.close()
    assert holder(redis_client)["token"] == first.terms.token
    first.close()
    assert not redis_client.exists(LEASE)
    assert first.leads is False


def test_whoever_lost_it_meanwhile_does_not_take_it_from_the_next(beat, broker_url, redis_client):
    first, second = beat(broker_url), beat(broker_url)
    turn(first)
    redis_client.delete(LEASE)
    turn(second)
    first.close()
    assert holder(redis_client)["token"] == second.terms.token


def test_a_holder_of_this_machine_that_is_dead_is_taken_over_from_at_once(beat, broker_url, redis_client):
    held = {"token": "0123456789abcdef", "machine": machine(), "pid": dead_pid(), "started": "1"}
    redis_client.set(LEASE, json.dumps(held), px=60_000)
    assert turn(beat(broker_url))
    elsewhere = {**held, "machine": "another|machine|"}
    redis_client.set(LEASE, json.dumps(elsewhere), px=60_000)
    assert not turn(beat(broker_url))


def test_the_lease_and_all_of_the_schedule_lie_behind_the_key_prefix(beat, broker_url, redis_client):
    redis_client.hset("x:" + SPACE + "orders", "a", encode_order(Order(paused=True)))
    redis_client.hset("x:" + SPACE + "cursors", "a", "5")
    first = beat(broker_url, global_keyprefix="x:")
    assert turn(first)
    assert turn(beat(broker_url))
    assert first.orders()["a"].paused
    assert first.cursors(["a", "b"]) == {"a": "5"}
    assert first.record([Verdict("b", 7, "", BeatOutcome.PAUSED)])
    assert redis_client.hget("x:" + SPACE + "cursors", "b") == b"7"
    assert {key for key in redis_client.scan_iter() if not key.startswith(b"x:")} == {
        *(SPACE.encode() + what for what in (b"lease", b"seen")),
        b"tidegate:journal",
    }


def test_orders_and_asks_are_read_with_their_edition_and_it_is_said_that_they_were_seen(beat, broker_url, redis_client):
    first, second = beat(broker_url), beat(broker_url)
    turn(first)
    redis_client.hset(SPACE + "orders", "a", encode_order(Order(every=2.0)))
    redis_client.hset(SPACE + "asks", "b", encode_ask(Ask(id="once")))
    turn(first)
    assert (first.orders(), first.edition) == ({}, 0)
    redis_client.incr(SPACE + "edition")
    turn(first), turn(second)
    assert (first.orders()["a"].every, first.asks()["b"].id, first.edition) == (2.0, "once", 1)
    assert (second.orders()["a"].every, second.edition) == (2.0, 1)  # it may have to write them back
    assert redis_client.get(SPACE + "seen") == b"1"


def test_orders_that_the_server_lost_are_written_again(beat, broker_url, redis_client, caplog):
    redis_client.hset(SPACE + "orders", "a", encode_order(Order(every=2.0, paused=True, who="ann@ops")))
    redis_client.set(SPACE + "edition", 5)
    first = beat(broker_url)
    turn(first)
    redis_client.flushall()
    assert turn(first)
    assert (first.term, first.edition) == (2, 6)
    assert first.orders()["a"] == Order(every=2.0, paused=True, who="ann@ops")
    assert redis_client.get(SPACE + "edition") == redis_client.get(SPACE + "seen") == b"6"
    assert "lost the orders of 1 entries" in caplog.text


def test_orders_and_asks_that_nobody_can_read_are_told_and_have_no_effect(beat, broker_url, redis_client, caplog):
    redis_client.hset(SPACE + "orders", mapping={"a": b"\xff{", "b": "[]", "c": encode_order(Order(every=2.0))})
    redis_client.hset(SPACE + "asks", mapping={b"\xfe": "{}", "b": "[" * 100_000})
    first = beat(broker_url)
    assert turn(first)
    assert list(first.orders()) == ["c"]
    assert first.asks() == {}
    assert "order of a, b can't be read" in caplog.text


@pytest.mark.parametrize("edition", [b"", b"\xff", b"-3", b"1.5", b"9" * 5000, "٣"])
def test_an_edition_that_is_no_number_stops_nothing(beat, broker_url, redis_client, edition):
    redis_client.set(SPACE + "edition", edition)
    first = beat(broker_url)
    assert turn(first)
    assert turn(first)


@pytest.mark.parametrize("what", [*HASHES, "edition"])
def test_a_key_of_the_wrong_type_is_told_and_beat_leads_all_the_same(beat, broker_url, redis_client, caplog, what):
    redis_client.rpush(SPACE + what, "x")
    first = beat(broker_url)
    assert turn(first)
    assert first.cursors(["a"]) == {}
    assert first.record([Verdict("a", 7, "", BeatOutcome.PAUSED)])
    assert turn(first)
    assert (first.leads, first.term) == (True, 1)
    if what in ("cursors", "orders", "asks"):
        assert f"tidegate:beat:1:shop:{what} can't be read" in caplog.text


@pytest.mark.parametrize("cursor", [b"", b"\xff", b"-5", b"007", b"1e9", b"9" * 19])
def test_a_cursor_that_says_no_due_time_is_told_and_read_as_none(beat, broker_url, redis_client, caplog, cursor):
    redis_client.hset(SPACE + "cursors", mapping={"a": cursor, "b": "7"})
    first = beat(broker_url)
    turn(first)
    assert first.cursors(["a", "b"]) == {"b": "7"}
    assert first.record([Verdict("a", 7, "", BeatOutcome.PAUSED)])
    assert redis_client.hget(SPACE + "cursors", "a") == b"7"
    assert ("cursors of a say no due time" in caplog.text) == bool(cursor)


@pytest.mark.parametrize("held", [b"", b"\xff", b"[]", b'{"pid": Infinity}', b"[" * 100_000, b'{"token": 5}'])
def test_a_lease_that_says_nothing_is_waited_for_and_taken_when_it_expires(beat, broker_url, redis_client, held):
    redis_client.set(LEASE, held, px=60_000)
    first = beat(broker_url)
    assert turn(first) is False
    redis_client.pexpire(LEASE, 1)
    until(lambda: not redis_client.exists(LEASE))
    assert turn(first)


def test_a_lease_that_never_expires_or_is_no_text_is_nobodys(beat, broker_url, redis_client):
    redis_client.set(LEASE, "somebody was here")
    first = beat(broker_url)
    assert turn(first)
    redis_client.delete(LEASE)
    redis_client.rpush(LEASE, "x")
    assert turn(first)
    assert holder(redis_client)["token"] == first.terms.token
    redis_client.delete(LEASE)
    redis_client.rpush(LEASE, "x")
    first.record([Verdict("a", 7, "", BeatOutcome.PAUSED)])
    first.close()


def test_while_the_server_is_away_nobody_leads_no_call_waits_and_afterwards_it_leads_anew(beat, private_broker, caplog):
    broker = private_broker()
    first = beat(broker.url)
    turn(first)
    broker.kill()
    calls = (
        lambda: turn(first),
        lambda: first.cursors(["a"]),
        lambda: first.record([Verdict("a", 7, "", BeatOutcome.PAUSED)]),
        first.check,
    )
    assert max(timed(call) for call in calls) < 1.3
    assert first.leads is False
    assert not first.record([Verdict("a", 7, "", BeatOutcome.PAUSED)])
    broker.restart()
    assert turn(first)
    assert first.term == 2
    assert caplog.text.count("beat stands by, for the broker can't be asked") == 1


def test_a_server_that_is_silent_is_waited_for_about_a_second(beat, private_broker):
    broker = private_broker()
    first = beat(broker.url)
    turn(first)
    broker.pause()
    try:
        took_s = timed(lambda: turn(first))
        assert took_s < 1.5
        assert first.leads is False
        # Too early to try again: it costs nothing.
        assert timed(lambda: first.cursors(["a"])) < 0.1
        first._link._not_before_s = float("-inf")
        assert timed(first.close) < 1.5
    finally:
        broker.resume()


def test_where_scripts_are_forbidden_it_leads_alone_and_says_so_once(beat, private_broker, caplog):
    broker = private_broker()
    broker.ask("ACL", "SETUSER", "default", "-eval", "-evalsha")
    first = beat(broker.url)
    assert turn(first)
    assert turn(first)
    assert first.terms is None
    assert first.record([Verdict("a", 7, "", BeatOutcome.PAUSED)])
    assert first.term == 1
    assert caplog.text.count("start no second one") == 1


def test_a_server_that_forgets_the_scripts_is_told_them_again(beat, broker_url, redis_client):
    first = beat(broker_url)
    turn(first)
    redis_client.script_flush()
    assert turn(first)
    redis_client.script_flush()
    assert first.record([Verdict("a", 7, "", BeatOutcome.PAUSED)])


def test_no_setting_of_a_clock_moves_the_time_of_a_beat_that_leads(beat, broker_url, caplog, monkeypatch):
    first = beat(broker_url)
    turn(first)
    asked = first._lease.ask

    def an_hour_off():
        answer = asked()
        return type(answer)(answer.leads, answer.new, answer.server_s + 3600, answer.at_s, answer.edition)

    monkeypatch.setattr(first._lease, "ask", an_hour_off)
    monkeypatch.setattr("tidegate.act.beat.leading.time.time", lambda: 0.0)
    before_s = first.now_s()
    turn(first), turn(first)
    assert 0 <= first.now_s() - before_s < 5
    assert "the server's clock was set by about 3600.0 s" in caplog.text


def test_a_new_leadership_begins_by_the_clock_of_the_server(beat, broker_url, redis_client):
    first = beat(broker_url)
    first._offset_s += 500
    turn(first)
    seconds, micros = redis_client.time()
    assert first.now_s() == pytest.approx(seconds + micros / 1e6, abs=0.5)


def test_a_beat_without_a_lease_or_a_server_of_ours_leads_always():
    from celery import Celery

    with Celery("shop", broker="memory://", set_as_current=False) as app:
        assert isinstance(standing_of(app), Alone)
        app.conf.tidegate_beat_lease = False
        assert isinstance(standing_of(app), Alone)
        assert name_of(app) == "shop"
        app.conf.tidegate_beat_name = "other"
        assert name_of(app) == "other"


def test_a_leadership_is_noted_in_the_journal(beat, broker_url, redis_client: redis.Redis):
    turn(beat(broker_url))
    [(_, line)] = redis_client.xrange("tidegate:journal")
    assert (line[b"act"], line[b"what"], line[b"key"]) == (b"beat", b"leads", b"shop")
