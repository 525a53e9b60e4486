"""How marks are judged beside long queues, what that costs, and what other tools and odd messages do to them."""

import json
import time

import pytest
from overlap_lua import Place, Told, flagged

DEEP = 20_001
FILLER = b'{"headers": {}}'


@pytest.fixture
def place(redis_client):
    place = Place(redis_client)
    place.lives("w1")
    return place


def fill(place: Place, many: int, oldest: str | bytes = FILLER) -> None:
    """Puts others into the queue, newer than what is there, except that `oldest` leaves first."""
    place.client.lpush(place.queue, *[FILLER] * (many - 1))
    place.client.rpush(place.queue, oldest)


def stamped(at_s: float, clock: str = "broker", payload: str = "keep") -> str:
    message = Told(key="other", payload=payload, enqueued_at=at_s).message
    message["headers"]["enqueued_clock"] = clock
    if not clock:
        del message["headers"]["enqueued_clock"]
    return json.dumps(message)


def searches(place: Place) -> int:
    return int(place.client.info("commandstats").get("cmdstat_lpos", {"calls": 0})["calls"])


def test_in_a_very_long_queue_a_message_counts_as_waiting_and_nothing_is_searched(place):
    m = Told()
    place.publish(m)
    fill(place, DEEP)
    place.client.config_resetstat()
    place.later(3_600_000)

    assert place.publish(m.again()) == ["overlap_skipped", m.id]
    assert searches(place) == 0


@pytest.mark.parametrize(
    ("newer_s", "clock", "payload", "gone"),
    [
        (1.0, "broker", "keep", True),
        (-1.0, "broker", "keep", False),
        (20.0, "", "keep", False),
        (40.0, "", "keep", True),
        (40.0, "broker", "replace", False),
    ],
)
def test_in_a_very_long_queue_it_is_gone_when_what_leaves_next_is_newer(place, newer_s, clock, payload, gone):
    m = Told()
    place.publish(m)
    place.client.delete(place.queue)
    at_s = place.mark()["at"] / 1000 + newer_s
    fill(place, DEEP, stamped(at_s, clock, payload))
    place.publish(m.again())
    place.client.hset(place.key("marks"), "k", json.dumps(place.mark() | {"glanced": 0, "missing": 1}))

    assert place.admits(m.again()) == gone


@pytest.mark.quiet
def test_searches_in_a_long_queue_take_a_small_share_of_the_servers_time_however_many_keys_there_are(place):
    messages = [Told(key=f"k{number}") for number in range(50)]
    for m in messages:
        place.publish(m)
    fill(place, 15_000)
    place.client.config_resetstat()
    began, tries = time.perf_counter(), 0
    while time.perf_counter() - began < 0.5:
        for m in messages:
            assert place.publish(m.again()) == ["overlap_skipped", m.id]
            tries += 1
    searched = place.client.info("commandstats").get("cmdstat_lpos", {"usec": 0})["usec"] / 1e6

    assert tries > 200
    # A hundredth, by what a search is expected to take; a busy machine takes longer for it.
    assert searched < 0.05 * (time.perf_counter() - began)


def test_what_is_newer_at_the_end_of_the_queue_makes_the_search_due_at_once(place):
    m = Told()
    place.publish(m)
    place.client.delete(place.queue)
    fill(place, 15_000, stamped(place.mark()["at"] / 1000 + 1))
    assert not place.admits(m.again())
    place.client.hset(place.key("marks"), "k", json.dumps(place.mark() | {"glanced": 0}))
    place.publish(m.again())
    place.later(600)

    assert place.admits(m.again())


def test_a_publish_that_is_sent_twice_leaves_one_message(place):
    m = Told()
    assert place.admits(m)

    assert place.publish(m) == ["overlap_skipped", m.id]
    assert place.publish(m.again(id=m.id)) == ["overlap_skipped", m.id]
    assert len(place.waiting()) == 1


@pytest.mark.parametrize("args", ["W10=", "}, " * 5, '"delivery_info": {'])
def test_the_element_that_stock_restores_is_recognised_whatever_is_in_the_message(place, args):
    m = Told(args=args)
    place.publish(m)
    place.client.delete(place.queue)
    place.client.rpush(place.queue, flagged(m))

    assert place.publish(m.again()) == ["overlap_skipped", m.id]
    place.later(600)
    assert place.publish(m.again()) == ["overlap_skipped", m.id]


def test_a_queue_of_the_wrong_type_holds_no_message(place):
    m = Told()
    place.publish(m)
    place.client.delete(place.queue)
    place.client.set(place.queue, "text")
    place.publish(m.again())
    place.later(600)
    place.client.delete(place.queue)

    assert place.admits(m.again())


def test_one_that_waits_in_the_side_list_is_pending(place):
    m = Told()
    place.publish(m)
    place.client.rename(place.queue, place.key(f"spill:{place.queue}"))
    place.publish(m.again())
    place.later(600)

    assert place.publish(m.again()) == ["overlap_skipped", m.id]


@pytest.mark.quiet
def test_sweeping_two_thousand_forgotten_marks_takes_a_moment_a_turn(place):
    pipe = place.client.pipeline(transaction=False)
    old = json.dumps({"tag": "t", "id": "i", "list": "celery", "at": 1, "state": "waiting", "missing": 1})
    for number in range(2000):
        pipe.hset(place.key("marks"), f"k{number}", old)
        pipe.hset(place.key("bodies"), f"k{number}", "{}")
    pipe.execute()
    place.client.config_resetstat()
    turns = 0
    while place.client.hlen(place.key("marks")) and turns < 200:
        place.sweep()
        turns += 1

    assert place.client.hlen(place.key("bodies")) == 0
    assert place.client.info("commandstats")["cmdstat_evalsha"]["usec_per_call"] < 20_000
