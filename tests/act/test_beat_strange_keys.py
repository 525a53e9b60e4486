"""A scheduler on a real server goes on at its pace whatever its keys hold, and sends no due time twice."""

import json
import time
from collections import Counter
from contextlib import contextmanager

import pytest
import redis
from celery import Celery, beat

import tidegate
from act.gated import waiting
from tidegate.act.beat.outcomes import rarely
from tidegate.act.beat.scheduler import TidegateMixin

SPACE = "tidegate:beat:1:shop:"
EVERY_S = 0.1
LONG_AGO, FAR_AHEAD = b"1", b"9" * 18


class Scheduler(TidegateMixin, beat.Scheduler):
    """Entries from the settings, and run state nowhere."""

    def run(self, seconds):
        """Ticks for so long; the longest that one took."""
        end_s, longest_s = time.monotonic() + seconds, 0.0
        while (began_s := time.monotonic()) < end_s:
            wait_s = self.tick()
            longest_s = max(longest_s, time.monotonic() - began_s)
            time.sleep(min(wait_s, 0.05))
        return longest_s


@contextmanager
def scheduling(url):
    rarely._kinds.clear()
    with Celery("shop", broker=url, set_as_current=False) as app:
        app.conf.beat_schedule = {one: {"task": "t", "schedule": EVERY_S, "args": (one,)} for one in "ef"}
        app.conf.broker_transport_options = {"socket_timeout": 1, "socket_connect_timeout": 1}
        tidegate.install(app)
        scheduler = Scheduler(app)
        try:
            yield scheduler
        finally:
            scheduler.close()


def dues(client):
    return Counter((one["argsrepr"][2], one["periodic_due_at"]) for one in waiting(client))


def many(client):
    return Counter(name for name, _ in dues(client).elements())


def goes_on(scheduler, client, seconds=0.5):
    """Both entries fire at their pace, and none of their due times came twice."""
    before = many(client)
    scheduler.run(seconds)
    sent = many(client) - before
    assert min(sent["e"], sent["f"]) >= 0.6 * seconds / EVERY_S, sent
    assert max(dues(client).values()) == 1


def comes_back(scheduler, client, within_s=5.0):
    """Both entries fire again."""
    before, until_s = many(client), time.monotonic() + within_s
    while len(many(client) - before) < 2:
        assert time.monotonic() < until_s, "nothing was sent"
        scheduler.run(0.1)


@pytest.mark.parametrize(
    ("what", "when"),
    [
        *((what, "before") for what in ("cursors", "last", "counts", "orders", "asks", "edition", "lease", "seen")),
        *((what, "meanwhile") for what in ("cursors", "orders", "counts", "lease")),
    ],
)
def test_a_key_of_another_type_stops_no_entry(broker_url, redis_client, what, when):
    def spoil():
        redis_client.delete(SPACE + what)
        redis_client.rpush(SPACE + what, "x")

    with scheduling(broker_url) as scheduler:
        if when == "before":
            spoil()
        else:
            scheduler.run(0.3)
            spoil()
            redis_client.delete(SPACE + "edition") if what in ("orders", "asks") else None
            scheduler.run(0.7)
        goes_on(scheduler, redis_client)


@pytest.mark.parametrize(
    ("cursor", "when"),
    [
        *((cursor, "before") for cursor in (b"", b"\xff", b"-5", LONG_AGO, FAR_AHEAD, b"x" * 10_000)),
        *((cursor, "meanwhile") for cursor in (b"1e9", LONG_AGO, FAR_AHEAD)),
    ],
)
def test_a_cursor_that_is_no_due_time_stops_no_entry(broker_url, redis_client, cursor, when):
    with scheduling(broker_url) as scheduler:
        if when == "meanwhile":
            scheduler.run(0.3)
        redis_client.hset(SPACE + "cursors", mapping={"e": cursor, "f": cursor})
        scheduler.run(0.7)
        goes_on(scheduler, redis_client)


def test_a_server_that_was_emptied_stops_no_entry(broker_url, redis_client):
    with scheduling(broker_url) as scheduler:
        scheduler.run(0.3)
        redis_client.flushall()
        scheduler.run(0.7)
        goes_on(scheduler, redis_client)


def test_while_the_server_is_away_no_tick_waits_for_long_and_afterwards_it_goes_on(private_broker):
    broker = private_broker(appendonly="yes", appendfsync="always")
    with redis.Redis.from_url(broker.url) as client, scheduling(broker.url) as scheduler:
        scheduler.run(0.5)
        broker.kill()
        assert scheduler.run(1.0) < 2.5
        broker.restart()
        comes_back(scheduler, client)
        goes_on(scheduler, client)
        counts = client.hgetall(SPACE + "counts")
        assert int(counts[b"sent|e"]) == many(client)["e"]
        assert json.loads(client.get(SPACE + "lease"))["token"] == scheduler.standing.terms.token


def test_while_the_server_is_silent_no_tick_waits_for_long_and_afterwards_it_goes_on(private_broker):
    broker = private_broker()
    with redis.Redis.from_url(broker.url) as client, scheduling(broker.url) as scheduler:
        scheduler.run(0.5)
        broker.pause()
        try:
            assert scheduler.run(2.0) < 4
        finally:
            broker.resume()
        comes_back(scheduler, client)
        goes_on(scheduler, client)
