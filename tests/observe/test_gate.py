"""What the gate left in Redis, as a look sees it: counts, marks, firings, workers, side lists; hostile keys included."""

import json
import time

import pytest

from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.broker.gate import MOST_FIELDS
from tidegate.facts.gate import Bound, Overflow
from tidegate.facts.gated import GateSettings, MarkState
from tidegate.facts.unknown import Unknown, known
from tidegate.observe.gate import before, see_gate

SPACE = "tidegate:gate:1:"
NO_APP = Unknown("no application was named")


@pytest.fixture
def look(broker_url):
    """`look("celery", settings=…)`: the gate as it is now, watched for no time."""

    def at(*queues, settings=NO_APP, prefix=""):
        address = parse_address(broker_url, {"global_keyprefix": prefix} if prefix else {})
        with connect(address) as broker:
            return see_gate(broker, queues, settings, before(broker, queues)), broker.spent

    return at


def a_mark(**changes):
    now_ms = time.time() * 1000
    facts = {
        "tag": "t",
        "id": "id-1",
        "list": "celery",
        "at": now_ms - 5000,
        "state": "waiting",
        "changed": now_ms - 2000,
    }
    return json.dumps(facts | changes)


def test_where_nobody_uses_the_gate_four_commands_tell(look, redis_client):
    redis_client.lpush("celery", "{}")
    gate, spent = look("celery", "mail")
    assert gate.in_use is False
    assert (gate.counts, gate.marks, gate.workers, gate.firings) == ({}, (), (), ())
    assert gate.sides["celery"].spilled == 0
    assert spent.total() == spent["type"] == 8  # before the window, and after it


def test_counts_are_by_outcome_and_queue_and_openings_by_reason(look, redis_client):
    redis_client.hset(
        SPACE + "counts", mapping={"queue_full|a|b": 3, "open|noperm": 2, "odd": 1, "dropped_head|q": "x"}
    )
    gate, _ = look("a|b")
    assert gate.counts == gate.counts_before == {("queue_full", "a|b"): 3, ("open", "noperm"): 2}


def test_a_mark_says_where_its_message_is_since_when_and_whether_its_holder_lives(look, redis_client):
    redis_client.hset(SPACE + "nodes", mapping={"celery@w1": "aa", "celery@w2": "bb"})
    redis_client.set(SPACE + "worker:aa", json.dumps({"running": ["t9", "t8"]}))
    marks = {
        "waits": a_mark(list="celery\x06\x163"),
        "held": a_mark(state="held", who="aa/1"),
        "lost": a_mark(state="running", who="bb/1"),
        "stranger": a_mark(state="held", who="cc/1"),
    }
    redis_client.hset(SPACE + "marks", mapping=marks)
    gate, _ = look("celery")
    seen = {mark.key: mark for mark in gate.marks}
    assert gate.marks_total == 4
    assert {key: (mark.state, mark.worker, mark.alive) for key, mark in seen.items()} == {
        "waits": (MarkState.WAITING, None, None),
        "held": (MarkState.HELD, "celery@w1", True),
        "lost": (MarkState.RUNNING, "celery@w2", False),
        "stranger": (MarkState.HELD, "cc", False),
    }
    assert {mark.key for mark in gate.marks[:2]} == {"lost", "stranger"}
    assert seen["waits"].queue == "celery"
    assert 4.5 < seen["held"].age_s < 30
    assert 1.5 < seen["held"].since_s < seen["held"].age_s
    assert [(worker.node, worker.alive, worker.running) for worker in gate.workers] == [
        ("celery@w1", True, 2),
        ("celery@w2", False, 0),
    ]


def test_open_firings_are_counted_by_entry_with_the_age_of_the_oldest(look, redis_client):
    now_ms = time.time() * 1000
    redis_client.hset(
        SPACE + "firings", mapping={"entry a": json.dumps({"r1": now_ms - 9000, "r2": now_ms}), "b": "{}"}
    )
    [first, second] = look()[0].firings
    assert (first.entry, first.open, second.open, second.oldest_age_s) == ("entry a", 2, 0, None)
    assert 8.5 < first.oldest_age_s < 30


def test_what_waits_beside_a_queue_and_its_dead_letters_are_counted_over_all_priorities(look, redis_client):
    redis_client.set(SPACE + "counts:none", 1)
    redis_client.hset(SPACE + "counts", "spilled|celery", 3)
    redis_client.lpush(SPACE + "spill:celery", "1", "2")
    redis_client.lpush(SPACE + "spill:celery\x06\x169", "3")
    redis_client.lpush("late", "1")
    bound = Bound(max_length=1, overflow=Overflow.REJECT_PUBLISH_DLX, dead_letter="late")
    settings = GateSettings(on=True, bound_of={"celery": bound}.get)
    side = look("celery", settings=settings)[0].sides["celery"]
    assert (side.spilled, side.dead_letter, side.dead_letters) == (3, "late", 1)


def test_without_the_application_dead_letters_are_looked_for_where_they_are_by_default(look, redis_client):
    redis_client.hset(SPACE + "counts", "dead_lettered|celery", 3)
    redis_client.lpush("celery.dead", "1", "2")
    side = look("celery")[0].sides["celery"]
    assert (side.dead_letter, side.dead_letters) == ("celery.dead", 2)


def test_everything_stands_behind_the_prefix(look, redis_client):
    redis_client.hset("shop:" + SPACE + "marks", "a", a_mark(list="shop:celery"))
    assert look("celery")[0].in_use is False
    [mark] = look("celery", prefix="shop:")[0].marks
    assert mark.queue == "celery"


ODD = [
    "", "null", "[]", "1", "{", '{"at": 1}', '{"id": 1, "list": "q", "state": "held", "at": 1}', "[" * 100_000, "\xff",
    '{"id": "a", "list": "q", "state": "elsewhere", "at": 1}', '{"id": "a", "list": "q", "state": "held", "at": 1e400}',
    '{"id": "a", "list": "q", "state": "held", "at": 1, "who": "\\ud800/1"}',
    '{"id": "a", "list": "q", "state": "held", "at": 1, "who": 7}',
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_what_nobody_of_ours_wrote_is_counted_and_breaks_nothing(odd, look, redis_client):
    for name in ("marks", "firings", "nodes", "counts"):
        redis_client.hset(SPACE + name, mapping={"a": odd, "b\x00\xfe": odd})
    redis_client.set(SPACE + "worker:" + odd[:50], odd)
    gate, _ = look("celery")
    assert (gate.marks, gate.unreadable) == ((), 2)
    assert gate.in_use is True


@pytest.mark.parametrize("name", ["marks", "firings", "nodes", "counts"])
def test_a_key_of_another_type_is_unknown(name, look, redis_client):
    redis_client.set(SPACE + name, "something else")
    gate, _ = look("celery")
    part = {"nodes": gate.workers, "counts": gate.counts, "marks": gate.marks, "firings": gate.firings}[name]
    assert part == Unknown(f"{SPACE}{name} is no hash: something else writes there")


def test_a_hundred_thousand_marks_cost_no_more_than_a_thousand(look, redis_client):
    with redis_client.pipeline(transaction=False) as pipe:
        for start in range(0, 100_000, 5000):
            pipe.hset(SPACE + "marks", mapping={f"k{number}": a_mark() for number in range(start, start + 5000)})
        pipe.execute()
    gate, spent = look("celery")
    assert gate.marks_total == 100_000
    assert MOST_FIELDS <= len(gate.marks) < 2 * MOST_FIELDS
    assert spent["hscan"] < 12


def test_a_user_who_may_not_read_hashes_is_told_so(broker_url, valkey, redis_client):
    redis_client.hset(SPACE + "counts", "queue_full|celery", 3)
    valkey.ask("ACL", "SETUSER", "blind", "on", ">secret", "~*", "+@all", "-hscan", "-hlen", "-mget")
    with connect(parse_address(broker_url.replace("redis://", "redis://blind:secret@"))) as broker:
        gate = see_gate(broker, ["celery"], NO_APP, before(broker, ["celery"]))
    assert gate.in_use is True
    assert not any(map(known, (gate.counts, gate.marks, gate.firings, gate.workers, gate.marks_total)))
    assert "ACL SETUSER blind +hscan" in gate.counts.why or "may not run HSCAN" in gate.counts.why


def test_what_waits_on_a_disk_is_counted_with_where_it_is_and_whether_the_keeper_that_acts_has_that_disk(
    look, redis_client
):
    redis_client.hset(SPACE + "counts", "spilled|celery", 9)
    redis_client.lpush(SPACE + "spill:celery", "{}", "{}")
    redis_client.lpush(SPACE + "front:celery", "{}")
    redis_client.hset(
        SPACE + "kept:celery", mapping={"store": "s1", "where": "one:/a", "taken": 9, "fed": 2, "forget": 3, "full": 1}
    )
    redis_client.hset(SPACE + "kept:celery\x06\x163", mapping={"store": "s2", "where": "two:/a", "taken": 5, "fed": 1})
    side = look("celery")[0].sides["celery"]
    assert (side.spilled, side.on_disk, side.where, side.disk_full) == (3 + 6 + 4, 6 + 4, "one:/a", True)
    redis_client.set(SPACE + "keeper", json.dumps({"node": "two", "dir": "/a", "store": "s2"}))
    gate, _ = look("celery")
    side = gate.sides["celery"]
    assert (gate.keeper, side.elsewhere, side.elsewhere_at) == ("two:/a", 6, "one:/a")


@pytest.mark.parametrize("said", ['{"node": "one", "dir": "/a"}', "[]", "x", '{"node": "a", "dir": "/", "store": 7}'])
def test_whoever_keeps_without_saying_which_disk_is_taken_for_the_right_one_or_shown_as_another(
    look, redis_client, said
):
    redis_client.hset(SPACE + "counts", "spilled|celery", 9)
    redis_client.hset(SPACE + "kept:celery", mapping={"store": "s1", "where": "one:/a", "taken": 9, "fed": 2})
    redis_client.set(SPACE + "keeper", said)
    gate, _ = look("celery")
    assert gate.sides["celery"].elsewhere == (7 if "store" in said else 0)
    assert known(gate.keeper)
