"""TG140 to TG149: what the gate bounds, holds back, counts and lets through."""

from dataclasses import replace

from builders import (
    GB,
    HIDDEN,
    MB,
    a_flow,
    a_gate,
    a_heartbeat,
    a_look,
    a_queue,
    a_server,
    diagnosed,
    no_gate,
    said,
    some_workers,
)
from rule_table import CRITICAL, INFO, OK, WARNING, Row, check, table

from tidegate.facts.diagnosis import State
from tidegate.facts.gate import Bound, Overflow
from tidegate.facts.gated import MarkSeen, MarkState, WorkerGated

GROWS = a_queue().with_flow(a_flow(10, 5, depth=100)).with_census()
HUNDRED = Bound(max_length=100)


def waiting(depth, bound=HUNDRED, **changes):
    return a_look(a_queue().with_depth(depth), gate=a_gate({"celery": bound}), **changes)


def counted(now, before=None):
    return a_look(gate=a_gate(counts=now, counts_before=before if before is not None else {}))


def a_mark(key="entry refresh", state=MarkState.HELD, since_s=120.0, **changes):
    facts = {"id": "id-1", "queue": "celery", "age_s": since_s, "worker": "celery@two", "alive": False}
    if state is MarkState.WAITING:
        facts |= {"worker": None, "alive": None}
    return MarkSeen(key=key, state=state, since_s=since_s, **facts | changes)


def marked(*marks, depth=0):
    return a_look(a_queue().with_depth(depth), gate=a_gate(marks=marks, marks_total=len(marks)))


def beside(**side):
    return a_look(gate=a_gate(beside={"celery": side}))


UNUSED = Row("nobody uses the gate", a_look(), OK, ["The gate is not in use"])
UNSEEN = Row(
    "not even that can be seen", a_look(gate=replace(no_gate(), in_use=HIDDEN)), INFO, unknown=["in_use"]
)  # fmt: skip


@table(
    UNUSED, UNSEEN,
    Row("half full is fine", waiting(50), OK, ["1 queue bounded", "50 %"], {"share": 0.5}),
    Row("a message less than four fifths is fine", waiting(79), OK),
    Row(
        "four fifths are near", waiting(80), WARNING, ["celery is at 80 % of its bound (80 of 100 messages)", "once there"],
        {"share": 0.8, "max_length": 100, "overflow": "reject-publish"}, remedy="tidegate plan",
    ),
    Row("full, and publishers are refused", waiting(100), CRITICAL, ["100 %", "publishers are refused"]),
    Row(
        "full, and the oldest goes: as it was asked for",
        waiting(100, Bound(max_length=100, overflow=Overflow.DROP_HEAD)), WARNING, ["drops the oldest"],
    ),
    Row("more than the bound: somebody has no gate", waiting(130), CRITICAL, ["130 %", "past the gate or while it was open"]),
    Row(
        "the fuller of two limits counts, here bytes: 50 messages of 800",
        waiting(50, Bound(max_length=100, max_length_bytes=50_000)), WARNING, ["80 %", "39.1 KB of 48.8 KB"],
        {"max_length_bytes": 50_000},
    ),
    Row("a queue without a bound", a_look(gate=a_gate()), OK, ["No queue is bounded"]),
    Row("without the application nobody knows the bounds", a_look(gate=a_gate(settings=HIDDEN)), INFO, unknown=["share"]),
    Row("nor without the depth", waiting(HIDDEN), INFO, unknown=["share"]),
)  # fmt: skip
def test_a_queue_at_its_bound(row):
    check("TG140", row)


@table(
    UNUSED, UNSEEN,
    Row("nothing ever was", counted({}), OK, ["Nothing is refused or dropped."]),
    Row(
        "what was before is past", counted({("queue_full", "celery"): 7}, {("queue_full", "celery"): 7}),
        OK, ["7 so far"], {"queue_full": 7},
    ),
    Row(
        "twelve of them now", counted({("dropped_head", "celery"): 15}, {("dropped_head", "celery"): 3}),
        WARNING, ["for celery in 10 s: 12 dropped to make room"], {"dropped_head": 12, "queue": "celery"},
        remedy="tidegate gate journal",
    ),
    Row(
        "the counts were removed meanwhile, and all there is is new",
        counted({("queue_full", "celery"): 2}, {("queue_full", "celery"): 7}), WARNING, ["2 refused at the bound"],
    ),
    Row("skipping is what was asked for", counted({("overlap_skipped", "celery"): 50}), OK),
    Row("the counts can't be read", counted(HIDDEN), INFO, unknown=["counts"]),
)  # fmt: skip
def test_messages_are_refused_or_dropped(row):
    check("TG141", row)


@table(
    UNUSED, UNSEEN,
    Row("never", counted({}), OK, ["never opened"]),
    Row(
        "while watched", counted({("open", "noperm"): 5}, {("open", "noperm"): 1}), WARNING,
        ["opened 4 times in 10 s", "noperm"], {"opened": {"noperm": 5}, "opened_now": {"noperm": 4}}, remedy="ACL",
    ),
    Row(
        "once, and no more", counted({("open", "noperm"): 1}, {("open", "noperm"): 1}), INFO,
        ["1 time so far, not while watched"], remedy="ACL",
    ),
    Row("the counts can't be read", counted(HIDDEN), INFO, unknown=["opened"]),
)  # fmt: skip
def test_the_gate_opened(row):
    check("TG142", row)


@table(
    UNUSED, UNSEEN,
    Row("there is none", marked(), OK, ["0 marks"]),
    Row("one waits, and messages wait", marked(a_mark(state=MarkState.WAITING), depth=3), OK, ["1 mark, none"]),
    Row(
        "one waits in a queue that is empty", marked(a_mark(state=MarkState.WAITING)), INFO,
        ["1 mark of a message that is gone: entry refresh, for 2 minutes; its queue is empty"], {"count": 1},
        remedy="tidegate gate journal",
    ),
    Row("for so short a time that it may be on its way", marked(a_mark(state=MarkState.WAITING, since_s=59)), OK),
    Row("a worker holds it that lives", marked(a_mark(alive=True)), OK),
    Row("one that is dead", marked(a_mark()), INFO, ["celery@two, which took it, is dead"]),
    Row(
        "for more than an hour, and another one", marked(a_mark(since_s=3600.0), a_mark("b", MarkState.RUNNING)), WARNING,
        ["2 marks of messages that are gone, the oldest: entry refresh"], {"count": 2, "since_s": 3600.0},
    ),
    Row("whether it lives can't be seen", marked(a_mark(alive=HIDDEN)), INFO, unknown=["alive"]),
    Row("the marks can't be read", a_look(gate=a_gate(marks=HIDDEN)), INFO, unknown=["marks"]),
)  # fmt: skip
def test_a_mark_of_a_message_that_is_gone(row):
    check("TG143", row)


@table(
    UNUSED, UNSEEN,
    Row("nothing beside it", beside(spilled=0), OK, ["No side list"]),
    Row("some, and not more than before", a_look(gate=a_gate(beside={"celery": {"spilled": 9}}, spilled_before={"celery": 9})),
        INFO, ["9 messages of celery wait beside it."], {"spilled": 9}, remedy=None),
    Row("more than before", beside(spilled=9), WARNING, ["more come than get in"], {"spilled_before": 0}, remedy="by themselves"),
    Row("the list can't be read", beside(spilled=HIDDEN), INFO, unknown=["spilled"]),
)  # fmt: skip
def test_messages_wait_beside_their_queue(row):
    check("TG144", row)


@table(
    UNUSED, UNSEEN,
    Row("none", beside(dead_letter="celery.dead", dead_letters=0), OK, ["No dead letter"]),
    Row(
        "four", beside(dead_letter="celery.dead", dead_letters=4), WARNING,
        ["4 messages that celery had no room for lie in celery.dead"], {"depth": 4}, remedy="tidegate peek celery.dead",
    ),
    Row("they can't be counted", beside(dead_letter="celery.dead", dead_letters=HIDDEN), INFO, unknown=["depth"]),
)  # fmt: skip
def test_dead_letters_wait(row):
    check("TG145", row)


def kept(keeper, **side):
    return a_look(gate=a_gate(beside={"celery": side}, keeper=keeper))


@table(
    UNUSED, UNSEEN,
    Row("nothing spills", kept(None), OK, ["No spilled message"]),
    Row("a keeper at work", kept("one:/disk", spilled=70_000, on_disk=60_000, where="one:/disk"), OK, ["No spilled message"]),
    Row(
        "its messages stay where they are", kept(None, spilled=70_000, on_disk=60_000, where="one:/var/tide gate"), CRITICAL,
        ["60,000 messages of celery wait on the disk of one, and nobody brings them back"], {"on_disk": 60_000},
        remedy="tidegate keep --dir '/var/tide gate'",
    ),
    Row(
        "one keeps, and they are on the disk of another",
        kept("two:/disk", spilled=70_000, on_disk=60_000, where="one:/disk", elsewhere=60_000, elsewhere_at="one:/disk"),
        CRITICAL, ["60,000 messages of celery wait on the disk of one", "two:/disk, has another one"],
        {"on_disk": 60_000, "keeper": "two:/disk"}, remedy="End that keeper, and on one: tidegate keep --dir /disk",
    ),
    Row(
        "it takes no more", kept("one:/disk", spilled=9, on_disk=5, disk_full=True), WARNING, ["takes no more"],
        remedy="--max-bytes",
    ),
    Row("few without a keeper are as ever", kept(None, spilled=10_000), OK, ["No spilled message"]),
    Row("many could be on a disk", kept(None, spilled=10_001), INFO, ["10,001 spilled messages"], remedy="tidegate keep"),
    Row("who keeps can't be seen", kept(HIDDEN, spilled=5), INFO, unknown=["keeper"]),
    Row("what is on disk can't be seen", kept(None, spilled=5, on_disk=HIDDEN), INFO, unknown=["on_disk"]),
)  # fmt: skip
def test_spilled_messages_wait_for_a_keeper(row):
    check("TG149", row)


def ceiling(share, **server):
    return a_look(gate=a_gate(ceiling=share), server=a_server(**server))


@table(
    UNUSED, UNSEEN,
    Row("there is none", ceiling(0.0), OK, ["No memory ceiling"]),
    Row("four fifths of 4 GB, and 10 MB used", ceiling(0.8), OK, ["10 MB of 3.2 GB"], {"ceiling_bytes": int(3.2 * GB)}),
    Row("nine tenths of it are near", ceiling(0.5, used_memory_bytes=int(1.8 * GB) + 1), WARNING, ["once there"], {"share": 0.9}),
    Row("bytes are bytes", ceiling(10 * MB), CRITICAL, ["every publish is refused"], remedy="TG113"),
    Row("a share of no limit is no ceiling", ceiling(0.8, maxmemory_bytes=0), OK, ["No memory ceiling"]),
    Row("of an unknown limit it is unknown", ceiling(0.8, maxmemory_bytes=HIDDEN), INFO, unknown=["share"]),
)  # fmt: skip
def test_the_memory_ceiling_is_near(row):
    check("TG146", row)


def growing(gate):
    return a_look(GROWS, gate=gate)


@table(
    Row("no queue grows", a_look(), OK, ["No queue grows without"]),
    Row(
        "one does, and there is no gate: five minutes of 5/s, as a round number", growing(no_gate()), INFO,
        ["celery grows, and nothing bounds it"], {"advised_max_length": 2000},
        remedy='tidegate.install(app); app.conf.tidegate_queues = {"celery": {"max_length": 2000, "x-overflow": "drop-head"}}',
    ),
    Row("a bound for another queue is none for this", growing(a_gate({"mail": HUNDRED})), INFO, remedy="tidegate_queues"),
    Row("it is bounded", growing(a_gate({"celery": HUNDRED})), OK),
    Row("by bytes, too", growing(a_gate({"celery": Bound(max_length_bytes=MB)})), OK),
    Row(
        "nobody knows whether it is", growing(a_gate(settings=HIDDEN)), INFO, unknown=["max_length", "max_length_bytes"],
    ),
)  # fmt: skip
def test_a_growing_queue_without_a_bound(row):
    check("TG147", row)


def fleet(*heard, workers=("celery@one",), **changes):
    having = tuple(WorkerGated(node=node, id=node, alive=True) for node in workers)
    beats = some_workers(*(a_heartbeat(node) for node in heard))
    return a_look(gate=a_gate(workers=having, **changes), workers=beats)


@table(
    UNUSED, UNSEEN,
    Row("all have it", fleet("celery@one"), OK, ["1 worker with the gate, none heard without"]),
    Row("one that was not heard has it, too", fleet("celery@one", workers=("celery@one", "celery@quiet")), OK, ["2 workers"]),
    Row(
        "one of two has it", fleet("celery@one", "celery@two"), WARNING,
        ["1 worker without the gate beside 1 with it: celery@two"], {"without_gate": ["celery@two"]},
        remedy="tidegate.install(app)",
    ),
    Row("none has it, and messages are marked", fleet("celery@two", workers=(), marks_total=3), WARNING, ["beside 0"]),
    Row("none has it, and only publishers need it", fleet("celery@two", workers=()), OK),
    Row(
        "workers can't be heard",
        a_look(gate=a_gate(), workers=replace(some_workers(), heartbeats=HIDDEN)), INFO, unknown=["mixed"],
    ),
    Row("who has it can't be read", a_look(gate=a_gate(workers=HIDDEN)), INFO, unknown=["mixed"]),
)  # fmt: skip
def test_a_mixed_fleet(row):
    check("TG148", row)


def test_nobody_has_to_take_from_a_queue_of_dead_letters():
    dead = a_queue("celery.dead").with_flow(a_flow(0, 0, depth=5)).with_census()
    gate = a_gate(beside={"celery": {"dead_letter": "celery.dead", "dead_letters": 5}})
    found = diagnosed(a_look(a_queue(), dead, gate=gate))
    assert found.verdict is State.OK
    assert "celery.dead" in said(a_look(a_queue(), dead, gate=gate), "TG145")[0].sentence
    for rule in ("TG102", "TG103", "TG104"):
        assert [finding.level for finding in found.findings if finding.rule == rule] == [OK]
