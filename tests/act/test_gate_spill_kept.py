"""What a keeper has put on disk and brought back enters first; while only the disk holds the next one, nothing newer does."""

import kombu
import pytest
from overlap_lua import Place, Told
from taking import GATE, consuming, drain

from gatehouse import gated, ids
from tidegate.facts.gate import Bound, Outcome, Overflow

SPILL = Bound(max_length=2, overflow=Overflow.SPILL)
FRONT, KEPT = "tidegate:gate:1:front:q", "tidegate:gate:1:kept:q"


@pytest.fixture
def gate(broker_url):
    """Six messages, two of them in the queue; of the others the keeper has three: one back in front, two on disk."""
    with gated(broker_url, q=SPILL) as gate:
        for number in range(6):
            gate.publish(number)
        gate.look.lmove("tidegate:gate:1:spill:q", FRONT, "RIGHT", "LEFT")
        gate.on_disk = [gate.look.rpop("tidegate:gate:1:spill:q") for _ in range(2)]
        gate.look.hset(KEPT, mapping={"store": "s", "taken": 3, "fed": 1})
        yield gate


def fed(gate):
    """The keeper brings back everything it has."""
    gate.look.lpush(FRONT, *gate.on_disk)
    gate.look.hset(KEPT, "fed", 3)


def test_what_came_back_enters_before_what_waits_beside_the_queue(gate):
    gate.look.rpop("q")
    assert gate.publish(6).outcome is Outcome.SPILLED
    assert (gate.waiting(), ids(gate.look, FRONT), gate.spilled()) == (["1", "2"], [], ["5", "6"])


def test_nothing_newer_enters_while_the_disk_has_the_next_one(gate):
    gate.look.delete("q")
    gate.publish(6)
    assert (gate.waiting(), gate.spilled()) == (["2"], ["5", "6"])
    gate.look.delete("q")
    assert gate.publish(7).outcome is Outcome.SPILLED
    assert (gate.waiting(), gate.spilled()) == ([], ["5", "6", "7"])


def test_when_the_disk_has_given_everything_back_all_enter_in_their_order(gate):
    fed(gate)
    order = []
    for number in range(6, 12):
        gate.publish(number)
        order += gate.waiting()
        gate.look.delete("q")
    assert order == [str(number) for number in range(len(order))]
    assert len(order) >= 8


def test_a_purge_takes_what_came_back_and_tells_the_keeper_to_forget_the_rest(gate):
    kombu.Queue("q", kombu.Exchange("q"), routing_key="q", channel=gate.producer.channel).declare()
    assert gate.producer.channel.queue_purge("q") == 6
    # Nothing of it may be fed any more, by a keeper that looked before, either.
    assert gate.look.hmget(KEPT, "forget", "fed") == ["3", "3"]
    assert gate.publish("new").outcome is Outcome.ADMITTED


def test_a_queue_whose_messages_are_on_disk_alone_lets_a_new_one_wait(gate):
    gate.look.delete("q", FRONT, "tidegate:gate:1:spill:q")
    assert gate.publish("new").outcome is Outcome.SPILLED


def test_without_a_keeper_a_publish_asks_once_for_each_list_and_looks_into_nothing_beside(broker_url):
    with gated(broker_url, q=SPILL) as gate:
        gate.publish(0)
        gate.look.config_resetstat()
        gate.publish(1)
        commands = gate.commands()
        assert {name for name in commands if name in ("hget", "hgetall", "hmget", "lmove", "lindex")} == set()
        # Once for each of the four lists, once for the message's own, and twice whether an act has the queue.
        assert commands["exists"] == 7


@pytest.fixture
def messages():
    return [Told(key="") for _ in range(6)]


def test_a_worker_gets_what_came_back_and_nothing_newer_before_the_disk_gave_the_rest(
    broker_url, redis_client, messages
):
    redis_client.lpush(FRONT, *[m.element for m in messages[:2]])
    redis_client.lpush("tidegate:gate:1:spill:q", *[m.element for m in messages[4:]])
    redis_client.hset(KEPT, mapping={"store": "s", "taken": 4, "fed": 2})
    redis_client.lpush("q", Told(key="").element)
    with consuming(GATE, broker_url, "q") as connection:
        assert [told.headers["id"] for told in drain(connection, 3)[1:]] == [m.id for m in messages[:2]]
        assert redis_client.llen("tidegate:gate:1:spill:q") == 2
        redis_client.lpush(FRONT, *[m.element for m in messages[2:4]])
        redis_client.hset(KEPT, "fed", 4)
        # A message of somebody without the gate wakes whoever sleeps.
        redis_client.lpush("q", Told(key="").element)
        drain(connection, 8)
    assert [told.headers["id"] for told in connection.taken[4:]] == [m.id for m in messages[2:]]


@pytest.fixture
def place(redis_client):
    return Place(redis_client, "app:")


def test_a_guarded_message_in_front_is_pending_as_long_as_it_is_there(place):
    m = Told()
    place.publish(m)
    place.client.rename(place.queue, place.key("front:celery"))
    for _ in range(3):
        assert place.publish(m.again()) == ["overlap_skipped", m.id]
        place.later(600)
    place.client.delete(place.key("front:celery"))
    place.publish(m.again())
    place.later(600)
    assert place.admits(m.again())


@pytest.mark.parametrize("ends", [{"fed": 8}, {"forget": 8}])
def test_a_guarded_message_that_is_nowhere_may_be_on_the_disk_as_long_as_any_is(place, ends):
    m = Told()
    place.publish(m)
    place.client.delete(place.queue)
    place.client.hset(place.key("kept:celery"), mapping={"store": "s", "taken": 8, "fed": 7})
    for _ in range(3):
        assert place.publish(m.again()) == ["overlap_skipped", m.id]
        place.later(600)
    place.client.hset(place.key("kept:celery"), mapping=ends)
    place.publish(m.again())
    place.later(600)
    assert place.admits(m.again())


@pytest.mark.parametrize("kind", ["front", "spill"])
def test_a_guarded_message_that_is_gone_is_not_taken_to_wait_in_a_very_long_list_beside(place, kind):
    m = Told()
    place.publish(m)
    newer = Told(key="other", enqueued_at=place.mark()["at"] / 1000 + 1).element
    place.client.delete(place.queue)
    for key in (place.queue, place.key(f"{kind}:celery")):
        place.client.lpush(key, newer)
    place.client.lpush(place.key(f"{kind}:celery"), *["{}"] * 20_001)
    place.publish(m.again())
    place.later(600)
    assert place.admits(m.again())
