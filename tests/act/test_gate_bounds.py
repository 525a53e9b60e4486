"""What a bound does to one message after the other, for every overflow."""

import time

import kombu
import pytest

from gatehouse import Given, gated
from tidegate.errors import QueueFull
from tidegate.facts.gate import Bound, Outcome, Overflow

DROP_HEAD = Bound(max_length=3, overflow=Overflow.DROP_HEAD)


def test_a_message_is_let_in_while_there_is_room_and_refused_when_there_is_none(broker_url):
    with gated(broker_url, q=Bound(max_length=2)) as gate:
        assert [gate.publish(n).outcome for n in range(2)] == [Outcome.ADMITTED, Outcome.ADMITTED]
        with pytest.raises(QueueFull, match="queue 'q' is full: 2 messages wait, its max_length is 2") as refused:
            gate.publish("late")
        assert (refused.value.queue, refused.value.depth, refused.value.bound, refused.value.limit) == (
            "q",
            2,
            2,
            "max_length",
        )
        assert gate.waiting() == ["0", "1"]
        assert gate.counts() == {"queue_full|q": 1}
        assert gate.journal()[0] | {"at": ""} == {
            "at": "",
            "act": "gate",
            "what": "queue_full",
            "queue": "q",
            "task": "t",
            "id": "late",
            "key": "",
            "why": "max_length 2 of 2",
        }


def test_all_priorities_of_a_queue_share_its_bound(broker_url):
    with gated(broker_url, q=Bound(max_length=3)) as gate:
        for priority in (0, 4, 9):
            gate.publish(priority, priority=priority)
        with pytest.raises(QueueFull):
            gate.publish("late", priority=7)
        assert gate.waiting() == ["0", "4", "9"]


def test_the_default_bound_holds_for_tasks_and_not_for_what_is_none(broker_url):
    with gated(broker_url, policies=Given({"*": Bound(max_length=1)})) as gate:
        gate.publish("a", queue="other")
        with pytest.raises(QueueFull, match="'other'"):
            gate.publish("b", queue="other")
        for _ in range(3):
            gate.producer.publish("plain", routing_key="replies", exchange="")
        assert gate.look.llen("replies") == 3


def test_plain_messages_are_bounded_in_a_queue_that_is_named(broker_url):
    with gated(broker_url, plain=Bound(max_length=1)) as gate:
        gate.producer.publish("a", routing_key="plain", exchange="")
        with pytest.raises(QueueFull):
            gate.producer.publish("b", routing_key="plain", exchange="")


@pytest.mark.parametrize("exempt", ["retry", "chord", "workflow"])
def test_what_belongs_to_something_under_way_passes_every_limit(broker_url, exempt):
    with gated(broker_url, policies=Given({"q": Bound(max_length=1)}, ceiling=1 << 20)) as gate:
        gate.look.set("tidegate:gate:1:memory", f"{1 << 30} {1 << 30}")
        assert gate.publish("a", exempt=exempt).outcome is Outcome.ADMITTED
        assert gate.publish("b", exempt=exempt).outcome is Outcome.ADMITTED


def test_drop_head_drops_the_oldest(broker_url):
    with gated(broker_url, q=DROP_HEAD) as gate:
        assert {gate.publish(n).outcome for n in range(5)} == {Outcome.ADMITTED}
        assert gate.waiting() == ["2", "3", "4"]
        assert gate.counts() == {"dropped_head|q": 2}
        assert [(line["what"], line["id"]) for line in gate.journal()] == [("dropped_head", "0"), ("dropped_head", "1")]


def test_drop_head_drops_of_the_least_urgent_list_first(broker_url):
    with gated(broker_url, q=DROP_HEAD) as gate:
        for name, priority in (("urgent", 0), ("low", 9), ("lower", 9), ("new", 3)):
            gate.publish(name, priority=priority)
        assert gate.waiting() == ["urgent", "new", "lower"]


SIGNATURE = {"task": "next", "args": [], "kwargs": {}, "options": {}}
KEPT = {
    "a retry": {"retries": 2},
    "a part of a group": {"group": "g"},
    "a member of a chord": {"embed": {"chord": SIGNATURE}},
    "a step of a chain": {"embed": {"chain": [SIGNATURE]}},
    "one with a callback": {"embed": {"callbacks": [SIGNATURE]}},
    "one that was exempt": {"exempt": "workflow"},
}


@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT.keys())
@pytest.mark.parametrize("serializer", ["json", "yaml", "msgpack"])
def test_drop_head_never_drops(broker_url, kept, serializer):
    with gated(broker_url, q=DROP_HEAD) as gate:
        gate.publish("kept", serializer=serializer, **kept)
        for n in range(4):
            gate.publish(n, serializer=serializer)
        assert gate.waiting() == ["kept", "2", "3"]


@pytest.mark.parametrize(
    ("ending", "goes"),
    [
        (b"\x8c\tcallbacks\x94N\x8c\x08errbacks\x94N\x8c\x05chain\x94N\x8c\x05chord\x94Nu\x87\x94.", True),
        (
            b"X\t\0\0\0callbacksq\x03NX\x08\0\0\0errbacksq\x04NX\x05\0\0\0chainq\x05NX\x05\0\0\0chordq\x06Nu\x87q\x07.",
            True,
        ),
        (
            b"\x8c\tcallbacks\x94N\x8c\x08errbacks\x94N\x8c\x05chain\x94]\x94}\x94\x8c\x04task\x94\x8c\x01n\x94sa\x8c\x05chord\x94Nu\x87\x94.",
            False,
        ),
    ],
    ids=["protocol 4", "protocol 2", "a chain"],
)
def test_a_pickled_message_is_known_by_its_end(broker_url, ending, goes):
    with gated(broker_url, q=Bound(max_length=1, overflow=Overflow.DROP_HEAD)) as gate:
        gate.producer.publish(
            b"\x80\x04" + b"." * 300 + ending,
            content_type="application/x-python-serialize",
            content_encoding="binary",
            routing_key="q",
            exchange="",
            headers={"task": "t", "id": "pickled", "retries": 0, "group": None},
        )
        if not goes:
            with pytest.raises(QueueFull):
                gate.publish("new")
        else:
            gate.publish("new")
        assert gate.waiting() == ["new" if goes else "pickled"]


def test_drop_head_refuses_where_nothing_may_go(broker_url):
    with gated(broker_url, q=DROP_HEAD) as gate:
        for n in range(3):
            gate.publish(n, exempt="retry", retries=1)
        with pytest.raises(QueueFull):
            gate.publish("new")
        assert gate.waiting() == ["0", "1", "2"]


@pytest.mark.parametrize(("kept", "dropped"), [(49, True), (50, False)])
def test_drop_head_looks_at_fifty_messages_for_one_that_may_go(broker_url, kept, dropped):
    with gated(broker_url) as gate:
        for n in range(kept + 1):
            gate.publish(n, retries=int(n < kept))
        gate.policies.bounds["q"] = Bound(max_length=kept + 1, overflow=Overflow.DROP_HEAD)
        if dropped:
            gate.publish("new")
        else:
            with pytest.raises(QueueFull):
                gate.publish("new")
        assert (str(kept) in gate.waiting()) is not dropped


def test_drop_head_leaves_alone_what_it_cannot_read(broker_url):
    with gated(broker_url, q=DROP_HEAD) as gate:
        for junk in ("not json", "[1, 2]", '{"headers": 3}'):
            gate.look.lpush("q", junk)
        with pytest.raises(QueueFull):
            gate.publish("new")
        assert gate.look.llen("q") == 3


def test_drop_head_comes_down_to_a_lowered_bound_by_at_most_ten_a_message(broker_url):
    with gated(broker_url) as gate:
        for n in range(40):
            gate.publish(n)
        gate.policies.bounds["q"] = DROP_HEAD
        depths = []
        for n in range(6):
            gate.publish(f"new{n}")
            depths.append(gate.look.llen("q"))
        assert depths == [31, 22, 13, 4, 3, 3]
        assert gate.waiting() == ["new3", "new4", "new5"]


@pytest.mark.parametrize("overflow", [Overflow.REJECT_PUBLISH, Overflow.REJECT_PUBLISH_DLX, Overflow.BLOCK])
def test_a_lowered_bound_takes_nothing_away_that_is_there(broker_url, overflow):
    with gated(broker_url) as gate:
        for n in range(5):
            gate.publish(n)
        gate.policies.bounds["q"] = Bound(max_length=2, overflow=overflow, dead_letter="dead", block_s=0.0)
        with pytest.raises(QueueFull):
            gate.publish("new")
        assert gate.look.llen("q") == 5


def test_a_refused_message_is_kept_in_the_dead_letter_queue(broker_url):
    dead = Bound(max_length=1, overflow=Overflow.REJECT_PUBLISH_DLX, dead_letter="dead")
    with gated(broker_url, q=dead) as gate:
        gate.publish("a")
        with pytest.raises(
            QueueFull, match=r"1 message waits, its max_length is 1; .*the message is kept in 'dead'"
        ) as refused:
            gate.publish("b")
        assert refused.value.dead_letter == "dead"
        assert gate.waiting("dead") == ["b"]
        assert gate.counts() == {"dead_lettered|q": 1}
        with gate.connect() as connection:
            assert connection.default_channel.get_table("dead") == [("dead", "", "dead")]


def test_a_dead_letter_queue_keeps_its_newest(broker_url):
    bounds = {
        "q": Bound(max_length=1, overflow=Overflow.REJECT_PUBLISH_DLX, dead_letter="dead"),
        "dead": Bound(max_length=2),
    }
    with gated(broker_url, policies=Given(bounds)) as gate:
        for n in range(5):
            try:
                gate.publish(n)
            except QueueFull:
                continue
        assert gate.waiting("dead") == ["3", "4"]
        assert gate.counts() == {"dead_lettered|q": 4, "dropped_head|dead": 2}
        gone = [(one["id"], one["why"]) for one in gate.journal() if one["what"] == "dropped_head"]
        assert sorted(gone) == [("1", "max_length 2"), ("2", "max_length 2")]


def test_block_waits_for_room_and_is_refused_when_its_time_is_over(broker_url):
    with gated(broker_url, q=Bound(max_length=1, overflow=Overflow.BLOCK, block_s=0.4)) as gate:
        gate.publish("a")
        gate.look.config_resetstat()
        started = time.monotonic()
        with pytest.raises(QueueFull):
            gate.publish("b")
        assert 0.4 <= time.monotonic() - started < 0.8
        assert gate.commands()["evalsha"] <= 8
        assert gate.counts() == {"queue_full|q": 1}, "the tries in between are not counted"


def test_spilled_messages_enter_in_their_order_when_there_is_room(broker_url):
    with gated(broker_url, q=Bound(max_length=2, overflow=Overflow.SPILL)) as gate:
        outcomes = [gate.publish(n).outcome for n in range(5)]
        assert outcomes == [Outcome.ADMITTED] * 2 + [Outcome.SPILLED] * 3
        assert (gate.waiting(), gate.spilled()) == (["0", "1"], ["2", "3", "4"])
        gate.look.rpop("q")
        assert gate.publish(5).outcome is Outcome.SPILLED, "it must not overtake those before it"
        assert (gate.waiting(), gate.spilled()) == (["1", "2"], ["3", "4", "5"])
        gate.look.delete("q")
        gate.publish(6)
        assert (gate.waiting(), gate.spilled()) == (["3", "4"], ["5", "6"])
        assert gate.counts() == {"spilled|q": 5}


def test_what_was_spilled_is_purged_and_deleted_with_its_queue(broker_url):
    with gated(broker_url, prefix="app:", q=Bound(max_length=1, overflow=Overflow.SPILL)) as gate:
        for n in range(3):
            gate.publish(n, priority=9 * (n % 2))
        kombu.Queue("q", kombu.Exchange("q"), routing_key="q", channel=gate.producer.channel).declare()
        assert gate.producer.channel.queue_purge("q") == 3
        for n in range(3):
            gate.publish(n)
        gate.producer.channel.queue_delete("q")
        assert (gate.waiting(), gate.spilled(), gate.spilled(step=9)) == ([], [], [])


def test_the_more_urgent_of_the_spilled_enter_first(broker_url):
    with gated(broker_url, q=Bound(max_length=1, overflow=Overflow.SPILL)) as gate:
        for name, priority in (("a", 0), ("low", 9), ("high", 0)):
            gate.publish(name, priority=priority)
        gate.look.rpop("q")
        gate.publish("lower", priority=9)
        assert (gate.waiting(), gate.spilled(), gate.spilled(step=9)) == (["high"], [], ["low", "lower"])


def test_a_bound_in_bytes_is_kept_by_every_overflow_that_refuses(broker_url):
    with gated(broker_url, q=Bound(max_length_bytes=50_000)) as gate:
        with pytest.raises(QueueFull, match="its messages take") as refused:
            for n in range(1000):
                gate.publish(n, size=1000)
        assert refused.value.limit == "max_length_bytes"
        assert 40_000 < gate.look.memory_usage("q", samples=0) <= 52_000


def test_drop_head_keeps_a_bound_in_bytes(broker_url):
    with gated(broker_url, q=Bound(max_length_bytes=50_000, overflow=Overflow.DROP_HEAD)) as gate:
        for n in range(100):
            gate.publish(n, size=1000 if n % 7 else 5000)
        assert gate.look.memory_usage("q", samples=0) <= 52_000
        assert gate.waiting()[-1] == "99"


def test_a_message_larger_than_the_bound_drops_nothing_in_vain(broker_url):
    with gated(broker_url, q=Bound(max_length_bytes=50_000, overflow=Overflow.DROP_HEAD)) as gate:
        gate.publish("small")
        with pytest.raises(QueueFull):
            gate.publish("huge", size=60_000)
        assert gate.waiting() == ["small"]


def test_the_memory_ceiling_refuses_what_is_not_under_way(broker_url):
    with gated(broker_url, policies=Given(ceiling=1 << 30)) as gate:
        gate.publish("a")
        gate.look.set("tidegate:gate:1:memory", f"{2 << 30} 0", px=60_000)
        with pytest.raises(
            QueueFull, match="the broker uses 2,147,483,648 bytes, the ceiling is 1,073,741,824"
        ) as refused:
            gate.publish("b")
        assert refused.value.limit == "memory"
        assert gate.counts() == {"memory_full|q": 1}


@pytest.mark.parametrize(("maxmemory", "outcome"), [("100mb", Outcome.ADMITTED), ("0", Outcome.ADMITTED)])
def test_a_share_is_one_of_the_servers_own_limit(private_broker, maxmemory, outcome):
    with gated(private_broker(maxmemory=maxmemory).url, policies=Given(ceiling=0.8)) as gate:
        assert gate.publish("a").outcome is outcome
        used, limit = gate.look.get("tidegate:gate:1:memory").split()
        assert int(used) > 500_000
        assert int(limit) == (100 << 20 if maxmemory == "100mb" else 0)
        gate.look.set("tidegate:gate:1:memory", f"{81 << 20} {limit}", px=60_000)
        if maxmemory == "0":
            gate.publish("b")
        else:
            with pytest.raises(QueueFull, match="the ceiling is 83,886,080"):
                gate.publish("b")


def test_the_memory_is_looked_at_once_a_second(private_broker):
    with gated(private_broker(maxmemory="100mb").url, policies=Given(ceiling=0.8)) as gate:
        gate.look.config_resetstat()
        for n in range(50):
            gate.publish(n)
        assert gate.commands()["info"] <= 3
        assert 0 < gate.look.pttl("tidegate:gate:1:memory") <= 1000


def test_a_prefix_stands_before_every_key(broker_url):
    bounds = {
        "q": Bound(max_length=1, overflow=Overflow.REJECT_PUBLISH_DLX, dead_letter="dead"),
        "s": Bound(max_length=1, overflow=Overflow.SPILL),
    }
    with gated(broker_url, prefix="app:", policies=Given(bounds, ceiling=1 << 40)) as gate:
        for queue in ("q", "s"):
            gate.publish("a", queue=queue)
        with pytest.raises(QueueFull):
            gate.publish("b", queue="q")
        gate.publish("b", queue="s")
        assert all(key.startswith("app:") for key in gate.look.keys("*"))
        assert (gate.waiting("q"), gate.waiting("dead"), gate.spilled("s")) == (["a"], ["b"], ["b"])
