"""Newest first for a while: nothing is lost or doubled, and at the end all is in its order of age."""

import json
import subprocess
import sys
import threading
import time

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from relief_desk import held, mixed, push

from backlog import message
from faces.shell import call
from tidegate.act.relief import newest
from tidegate.act.relief.acts import Acting, begin
from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.demo.broker import PrivateBroker
from tidegate.facts.relief import Act, State
from tidegate.model.relief.stock import Stock

QUEUE = "celery"


def tags(client: redis.Redis, key: str = QUEUE) -> list[int]:
    """The messages of a list as numbers, in the order in which they will be taken."""
    return [number_of(element) for element in client.lrange(key, 0, -1)[::-1]]


def number_of(element: bytes) -> int:
    return int(json.loads(element)["properties"]["delivery_tag"])


class Desk:
    """A producer and a worker at a list, and what was published and taken so far."""

    def __init__(self, client: redis.Redis, already: int) -> None:
        self.client, self.published, self.taken = client, 0, list[int]()
        self.publish(already)

    def publish(self, count: int) -> None:
        for _ in range(count):
            self.client.lpush(QUEUE, message(str(self.published)))
            self.published += 1

    def take(self, count: int) -> None:
        for _ in range(count):
            element = self.client.rpop(QUEUE)
            if element is not None:
                self.taken.append(number_of(element))

    @property
    def waiting(self) -> list[int]:
        return sorted(set(range(self.published)) - set(self.taken))


def turns(acting: Acting, size: int) -> newest._Turns:
    made = newest._Turns(acting, QUEUE, QUEUE)
    made.stock.size = size
    return made


moments = st.lists(st.tuples(st.sampled_from(["publish", "take", "turn", "anew"]), st.integers(1, 6)), max_size=14)


@settings(max_examples=60)
@given(already=st.integers(0, 12), moments=moments, size=st.integers(1, 5))
def test_whatever_happens_in_between_every_message_is_taken_once_or_waits_in_its_order(
    valkey: PrivateBroker, already, moments, size
):
    valkey.ask("FLUSHALL")
    with redis.Redis.from_url(valkey.url) as client, connect(parse_address(valkey.url)) as broker:
        desk = Desk(client, already)
        acting = begin(broker, Act.DRAIN_NEWEST, QUEUE)
        turning = turns(acting, size)
        for what, count in moments:
            if what == "publish":
                desk.publish(count)
            elif what == "take":
                desk.take(count)
            elif what == "turn":
                turning.turn()
                stand = tags(client)
                assert stand == desk.waiting[::-1][: len(stand)]
                assert len(stand) >= min(size, len(desk.waiting))
                turning.stock.size = size
            else:
                turning = turns(acting, size)
        turning.end()
        assert len(desk.taken) == len(set(desk.taken))
        assert tags(client) == desk.waiting


def test_after_each_look_the_newest_is_taken_next(redis_client, broker_url):
    desk = Desk(redis_client, 10)
    with connect(parse_address(broker_url)) as broker:
        turning = turns(begin(broker, Act.DRAIN_NEWEST, QUEUE), 3)
        turning.turn()
        desk.take(2)
        desk.publish(2)
        turning.turn()
        desk.take(4)
        assert desk.taken == [9, 8, 11, 10, 7, 6]


def test_very_many_arrivals_are_set_aside_in_portions(redis_client, broker_url):
    with connect(parse_address(broker_url)) as broker:
        turning = turns(begin(broker, Act.DRAIN_NEWEST, QUEUE), 3)
        turning.turn()
        redis_client.lpush(QUEUE, *(message(str(n)) for n in range(2500)))
        turning.turn()
        assert tags(redis_client)[:3] == [2499, 2498, 2497]
        turning.end()
        assert tags(redis_client) == list(range(2500))


def test_a_worker_gets_the_newest_first_while_it_runs_and_all_is_in_order_after(redis_client, broker_url):
    desk, enough = Desk(redis_client, 200), threading.Event()
    worker = threading.Thread(target=work, args=(desk, enough))
    worker.start()
    try:
        done = newest.drain_newest(parse_address(broker_url), QUEUE, 0.7)
    finally:
        enough.set()
        worker.join()
    assert done.kept > 10
    assert desk.taken[0] in (0, 199)
    newest_first = [number for number in desk.taken if number > 100]
    assert newest_first == sorted(newest_first, reverse=True)
    assert tags(redis_client) == desk.waiting


def work(desk: Desk, enough: threading.Event) -> None:
    """About a hundred messages a second, on a connection of its own."""
    while not enough.wait(0.01):
        desk.take(1)


def test_the_command_says_what_it_would_do_and_does_it_when_agreed_to(redis_client, broker_url):
    desk = Desk(redis_client, 5)
    before = redis_client.dump(QUEUE)
    assert "5 messages waiting" in call("drain-newest", QUEUE, broker_url).shown
    assert redis_client.dump(QUEUE) == before
    assert "in their order again" in call("drain-newest", QUEUE, broker_url, "--for", "0.2s", "--yes").shown
    assert tags(redis_client) == desk.waiting
    [row] = call("relief", "list", broker_url, "--json").parsed
    assert (row["act"], row["state"]) == ("drain-newest", "done")


@pytest.mark.parametrize(("word", "state"), [("resume", "done"), ("rollback", "rolled_back")])
def test_one_that_was_killed_is_ended_by_hand(word, state, redis_client, broker_url):
    desk = Desk(redis_client, 20)
    with connect(parse_address(broker_url)) as broker:
        acting = begin(broker, Act.DRAIN_NEWEST, QUEUE)
        turns(acting, 3).turn()
        acting.note(state=State.INTERRUPTED.value)
    desk.publish(2)
    desk.take(4)
    assert desk.taken == [19, 18, 17, 20]
    assert call("purge", QUEUE, broker_url, "--task", "*", "--yes", "--no-backup").code == 4
    ran = call("relief", word, acting.id, broker_url, "--yes", "--json")
    assert ran.code == 0, ran.said
    assert tags(redis_client) == desk.waiting
    assert call("relief", "show", acting.id, broker_url, "--json").parsed["state"] == state


def test_the_end_of_one_is_asked_for_and_comes_at_once(redis_client, broker_url):
    Desk(redis_client, 5)
    began = time.monotonic()
    done = newest.drain_newest(parse_address(broker_url), QUEUE, 60, stopped=lambda: True)
    assert (time.monotonic() - began < 5, done.kept) == (True, 0)


def test_what_stands_ready_follows_what_is_taken():
    stock = Stock()
    for _ in range(4):
        stock.learn(stock.size, left=1)
    assert stock.size >= 128
    for _ in range(60):
        stock.learn(2, left=5)
    assert stock.size <= 10
    assert Stock(most=2).size == 2


def test_sigterm_ends_it_as_ctrl_c_does(broker_url, redis_client):
    before = push(redis_client, mixed(2000))
    call = [sys.executable, "-m", "tidegate", "drain-newest", QUEUE, broker_url, "--for", "60s", "--yes"]
    with subprocess.Popen(call, stdout=subprocess.DEVNULL) as program:
        deadline = time.monotonic() + 20
        while not redis_client.keys("tidegate:relief:1:aside:*") and time.monotonic() < deadline:
            time.sleep(0.02)
        program.terminate()
        assert program.wait(20) == 0
    assert held(redis_client) == before
    assert not redis_client.keys("tidegate:relief:1:aside:*")
