"""What a keeper has put on disk and brought back enters first; while only the disk holds the next one, nothing newer does."""

import kombu
import pytest

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
    assert gate.look.hget(KEPT, "forget") == "3"
    assert gate.publish("new").outcome is Outcome.ADMITTED


def test_a_queue_whose_messages_are_on_disk_alone_lets_a_new_one_wait(gate):
    gate.look.delete("q", FRONT, "tidegate:gate:1:spill:q")
    assert gate.publish("new").outcome is Outcome.SPILLED
