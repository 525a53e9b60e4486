"""The script's short ways come to the same as its long ones, which are tried elsewhere."""

import json

import pytest

from gatehouse import gated
from tidegate.act.gate.openings import openings
from tidegate.act.gate.publication import Publication
from tidegate.facts.gate import Bound, Guard, Outcome, Overflow
from tidegate.facts.overlap import Overlap

TIMES = ("at", "changed", "seen")
#: No queue with it is simple, so every message takes the long way; there is always room.
LONG = Bound(max_length=100, overflow=Overflow.SPILL)


def guarded(gate, name, queue, key="k"):
    guard = Guard(key=key, overlap=Overlap.BUFFER_ONE)
    return gate.publish(name, queue=queue, publication=Publication(guard=guard))


def mark_of(gate, key="k"):
    mark = json.loads(gate.look.hget(f"{gate.prefix}tidegate:gate:1:marks", key))
    times = {mark.pop(name) for name in TIMES}
    body = json.loads(gate.look.hget(f"{gate.prefix}tidegate:gate:1:bodies", key))
    tag, list_ = mark.pop("tag"), mark.pop("list")
    assert tag == body["properties"]["delivery_tag"]
    assert body == json.loads(gate.look.lindex(list_, 0))
    return mark, len(times)


@pytest.mark.parametrize("prefix", ["", "app:"])
def test_a_key_without_a_mark_gets_the_same_one_either_way(broker_url, prefix):
    with gated(broker_url, prefix=prefix, long=LONG) as gate:
        assert guarded(gate, "a", "q").outcome is Outcome.ADMITTED
        short = mark_of(gate)
        gate.look.flushdb()
        assert guarded(gate, "a", "long").outcome is Outcome.ADMITTED

        assert mark_of(gate) == short
        assert short[0] == {"id": "a", "state": "waiting"}


def test_a_full_queue_marks_nothing(broker_url):
    with gated(broker_url, q=Bound(max_length=1)) as gate:
        gate.publish("a")
        with pytest.raises(Exception, match="is full"):
            guarded(gate, "b", "q")

        assert gate.look.exists("tidegate:gate:1:marks", "tidegate:gate:1:bodies") == 0


def test_a_key_of_the_wrong_type_opens_the_gate(broker_url):
    with gated(broker_url) as gate:
        gate.look.set("tidegate:gate:1:bodies", "no hash")
        assert guarded(gate, "a", "q").outcome is Outcome.ADMITTED

        assert gate.waiting() == ["a"]
        assert openings.take() == {"marks": 1}


def test_a_queue_without_room_costs_one_command_for_each_message(broker_url):
    with gated(broker_url, q=Bound(max_length=3, overflow=Overflow.DROP_HEAD)) as gate:
        for n in range(4):
            gate.publish(n)
        gate.look.config_resetstat()
        for n in range(4, 14):
            gate.publish(n)

        assert gate.commands()["evalsha"] == 10
        assert gate.waiting() == ["11", "12", "13"]


def test_a_bound_is_exact_where_messages_are_let_in_together(broker_url):
    with gated(broker_url, q=Bound(max_length=5)) as gate:
        if not hasattr(gate.producer, "batch"):
            pytest.skip("this Kombu publishes no batches")
        with pytest.raises(Exception, match="7 of 12"), gate.producer.batch():
            for n in range(12):
                gate.publish(n, priority=n % 2 * 9)

        assert gate.waiting() == ["0", "2", "4", "1", "3"]
