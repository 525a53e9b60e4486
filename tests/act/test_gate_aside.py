"""While an act of relief has a queue, what is set aside of it waits: for its bounds, its marks, and its firings."""

import json
from contextlib import suppress

import pytest
from overlap_lua import Place, Told, child, root

from gatehouse import Given, ids
from gatehouse import gated as gatehouse
from tidegate.act.relief import filtering
from tidegate.act.relief.engine import Order, carry_out
from tidegate.backup.reader import BackupReader
from tidegate.broker.address import parse_address
from tidegate.broker.relief import ASIDE, LATER, hidden_list, key_of
from tidegate.errors import QueueFull
from tidegate.facts.gate import Bound, Outcome, Overflow
from tidegate.facts.relief import Filter

HALVES = [ASIDE, LATER]


def set_aside(client, queue: str = "q", kind: str = ASIDE, prefix: str = "") -> str:
    """As an act does it, with everything that waits."""
    client.set(key_of(prefix, f"queue:{queue}"), "act-1")
    hidden = hidden_list(prefix, kind, prefix + queue)
    client.rename(prefix + queue, hidden)
    return hidden


@pytest.mark.parametrize("kind", HALVES)
@pytest.mark.parametrize("limit", [Bound(max_length=3), Bound(max_length=3, overflow=Overflow.BLOCK, block_s=0.01)])
def test_what_is_set_aside_counts_for_the_length_of_its_queue(broker_url, kind, limit):
    with gatehouse(broker_url, q=limit) as gate:
        gate.publish(1)
        gate.publish(2)
        set_aside(gate.look, kind=kind)
        assert gate.publish(3).outcome is Outcome.ADMITTED
        with pytest.raises(QueueFull, match="3 messages wait"):
            gate.publish(4)
        assert gate.waiting() == ["3"]


def test_what_is_set_aside_counts_for_the_bytes_of_its_queue(broker_url):
    with gatehouse(broker_url, "app:", q=Bound(max_length_bytes=200_000)) as gate:
        gate.publish(1, size=80_000)
        set_aside(gate.look, prefix="app:")
        with pytest.raises(QueueFull, match="bytes"):
            gate.publish(2, size=80_000)


def test_a_queue_that_no_act_has_is_counted_as_ever(broker_url):
    with gatehouse(broker_url, q=Bound(max_length=1)) as gate:
        gate.publish(1)
        gate.look.rename("q", hidden_list("", ASIDE, "q"))
        assert gate.publish(2).outcome is Outcome.ADMITTED


def test_room_is_made_by_what_would_be_taken_next_and_what_is_aside_stays(broker_url):
    with gatehouse(broker_url, q=Bound(max_length=3, overflow=Overflow.DROP_HEAD)) as gate:
        gate.publish(1)
        gate.publish(2)
        hidden = set_aside(gate.look)
        gate.publish(3)
        gate.publish(4)
        assert (ids(gate.look, hidden), gate.waiting()) == (["1", "2"], ["4"])


def test_nothing_is_dropped_past_an_older_message_or_out_of_what_is_aside(broker_url):
    with gatehouse(broker_url, q=Bound(max_length=3, overflow=Overflow.DROP_HEAD)) as gate:
        gate.publish(1)
        hidden = set_aside(gate.look)
        gate.publish(2, exempt="retry", retries=1)
        gate.publish(3)
        with pytest.raises(QueueFull):
            gate.publish(4)
        assert (ids(gate.look, hidden), gate.waiting()) == (["1"], ["2", "3"])


def test_many_at_once_are_let_in_as_far_as_what_is_aside_leaves_room(broker_url):
    with gatehouse(broker_url, policies=Given({"q": Bound(max_length=3, overflow=Overflow.SPILL)})) as gate:
        gate.publish(1)
        set_aside(gate.look)
        assert [gate.publish(n).outcome for n in (2, 3, 4)] == [Outcome.ADMITTED, Outcome.ADMITTED, Outcome.SPILLED]


@pytest.fixture(params=["", "app:"])
def place(redis_client, request):
    place = Place(redis_client, request.param)
    place.lives("w1")
    return place


@pytest.mark.parametrize("kind", HALVES)
def test_a_message_that_is_set_aside_is_pending_for_as_long_as_it_is_there(place, kind):
    m = Told()
    place.publish(m)
    hidden = set_aside(place.client, "celery", kind, place.prefix)
    place.publish(Told(key="other"))
    for _ in range(3):
        assert place.publish(m.again()) == ["overlap_skipped", m.id]
        place.later(600)
    assert place.sweep() == 0

    place.client.delete(hidden)
    place.publish(m.again())
    place.later(600)
    assert place.admits(m.again())


def test_the_payload_of_a_message_that_is_set_aside_stays_and_the_run_is_skipped(place):
    m = Told(payload="replace")
    place.publish(m)
    hidden = set_aside(place.client, "celery", ASIDE, place.prefix)
    assert place.publish(m.again(args="bmV3")) == ["overlap_skipped", m.id]
    assert place.client.lrange(hidden, 0, -1) == [m.element.encode()]
    assert place.mark()["id"] == m.id

    place.client.rename(hidden, place.queue)
    assert place.publish(m.again(args="bmV3")) == ["replaced", m.id]


def test_a_deep_queue_that_is_set_aside_is_searched_seldom(place):
    m = Told()
    place.publish(m)
    place.client.lpush(place.queue, *[b'{"headers": {}}'] * 15_000)
    set_aside(place.client, "celery", ASIDE, place.prefix)
    place.publish(Told(key="other"))
    place.client.config_resetstat()
    for _ in range(20):
        assert place.publish(m.again()) == ["overlap_skipped", m.id]
    stats = place.client.info("commandstats")
    assert stats["cmdstat_lpos"]["usec"] < 30_000


def test_a_firing_stays_open_while_its_messages_are_set_aside(place):
    first = root()
    place.publish(first)
    taken = place.take()
    place.publish(child(first))
    place.release(taken)
    hidden = set_aside(place.client, "celery", ASIDE, place.prefix)
    for _ in range(2):
        assert place.publish(root(overlap="skip")) == ["overlap_skipped", first.id]
        place.later(600)

    place.client.delete(hidden)
    place.publish(root(overlap="skip"))
    place.later(600)
    assert place.admits(root(overlap="skip"))
    assert json.loads(place.client.hget(place.key("firings"), "e"))


def test_a_full_queue_that_drops_its_head_loses_nothing_else_while_an_act_goes_through_it(
    broker_url, tmp_path, monkeypatch
):
    """Everything published is kept in its order, or in the backup, or in the journal of what was dropped."""
    backup, published = tmp_path / "q.backup", []
    with gatehouse(broker_url, q=Bound(max_length=2000, overflow=Overflow.DROP_HEAD)) as gate:

        def publish(many):
            for _ in range(many):
                # Those that can't be dropped stand between the others.
                retry = {"exempt": "retry", "retries": 1} if len(published) % 300 == 299 else {}
                with suppress(QueueFull):
                    gate.publish(len(published), kind="go" if len(published) % 2 else "stay", **retry)
                    published.append(str(len(published)))

        publish(2000)
        steps = filtering.paced

        def busy(*call):
            publish(200)
            return steps(*call)

        monkeypatch.setattr(filtering, "paced", busy)
        wanted = Filter(headers={"kind": "go"})
        done = carry_out(parse_address(broker_url), Order(queue="q", wanted=wanted, backup=backup))
        kept, dropped = gate.waiting(), [line["id"] for line in gate.journal() if line["what"] == "dropped_head"]
        with BackupReader.open(backup) as reader:
            gone = [json.loads(one)["headers"]["id"] for batch in reader.batches() for one in batch.elements]
    assert sorted([*kept, *gone, *dropped], key=int) == published
    assert kept == sorted(kept, key=int)
    assert done.removed == len(gone) > 0
    assert len(dropped) > 0
