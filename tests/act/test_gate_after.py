"""What follows a decision of the gate: results, the signal, the log, and the journal."""

import logging
import os
import threading
import time

import pytest
from celery import Celery
from celery.exceptions import TaskRevokedError
from gated import depth, gated
from hypothesis import given
from hypothesis import strategies as st

from tidegate.act import journal
from tidegate.act.gate import after
from tidegate.act.gate.rarely import Rarely
from tidegate.act.gate.signals import gate_decided
from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.facts.gate import Outcome
from tidegate.facts.journal import JournalEntry
from tidegate.facts.unknown import Unknown

DROPS = {"celery": {"max_length": 2, "overflow": "drop-head"}}
#: Celery's backend uses what redis-py 8 would rather not have.
SETEX = pytest.mark.filterwarnings("ignore:Call to deprecated setex")


def headers(id_: str = "an-id", **more) -> dict:
    return {"task": "t", "id": id_, "ignore_result": False, **more}


@SETEX
def test_whoever_waits_for_what_was_dropped_is_told_at_once_where_it_was_and_why(broker_url, backend_url, redis_client):
    with gated(broker_url, tidegate_queues=DROPS, backend=backend_url) as app:
        results = [app.tasks["plain"].delay(number) for number in range(4)]
        assert after.flush()
        for dropped in results[:2]:
            with pytest.raises(
                TaskRevokedError, match=r"plain\[.*\] was dropped from the full queue celery: drop-head"
            ):
                dropped.get(timeout=5)
        states = [result.state for result in results]

    assert states == ["REVOKED", "REVOKED", "PENDING", "PENDING"]
    assert depth(redis_client) == 2


@SETEX
def test_a_result_that_is_there_already_stays(broker_url, backend_url):
    with gated(broker_url, backend=backend_url) as app:
        app.backend.mark_as_done("an-id", 42)
        after.tell(Outcome.SUPERSEDED, "celery", headers(), "a newer one", app)
        assert after.flush()
        assert app.AsyncResult("an-id").result == 42


class Broken(Exception):
    """What a backend raises."""


class Backend:
    """Fails, or hangs, as long as it is told to."""

    def __init__(self, hang: threading.Event | None = None) -> None:
        self.asked: list[str] = []
        self._hang = hang

    def get_state(self, id_: str) -> str:
        self.asked.append(id_)
        if self._hang is not None:
            self._hang.wait(30)
        raise Broken


class App:
    def __init__(self, backend: object) -> None:
        self.backend = backend


def test_a_backend_that_fails_is_said_once_and_asked_again_for_the_next(caplog):
    backend = Backend()
    for number in range(3):
        after.tell(Outcome.DROPPED_HEAD, "failing", headers(str(number)), "drop-head", App(backend))

    assert after.flush()
    assert backend.asked == ["0", "1", "2"]
    assert len([record for record in caplog.records if "can't be set (Broken" in record.message]) == 1


def test_a_backend_that_hangs_holds_nobody_up(monkeypatch):
    hang = threading.Event()
    start_s = time.monotonic()
    for number in range(1000):
        after.tell(Outcome.DROPPED_HEAD, "hanging", headers(str(number)), "drop-head", App(Backend(hang)))
    took_s = time.monotonic() - start_s
    held = not after.flush(within_s=0.01)
    hang.set()

    assert held
    assert took_s < 5
    assert after.flush(within_s=30)


def test_no_result_is_set_where_nobody_keeps_results_or_none_was_wanted(broker_url):
    backend = Backend()
    after.tell(Outcome.DROPPED_HEAD, "celery", headers(ignore_result=True), "drop-head", App(backend))
    after.tell(Outcome.QUEUE_FULL, "celery", headers(), "reject-publish", App(backend))
    with Celery("proj", broker=broker_url, set_as_current=False) as disabled:
        after.tell(Outcome.DROPPED_HEAD, "celery", headers(), "drop-head", disabled)

    assert after.flush()
    assert backend.asked == []


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_results_are_set_in_a_process_that_was_forked_too():
    backend = Backend()
    after.settle(App(backend), "before", "gone")
    assert after.flush()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        after.settle(App(backend), "after", "gone")
        after.flush()
        os.write(write, ",".join(backend.asked).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)

    with os.fdopen(read, "rb") as pipe:
        assert pipe.read() == b"before,after"


def test_a_listener_hears_every_outcome_and_what_it_raises_reaches_nobody():
    heard = []

    def fails(**_):
        raise Broken

    def listens(sender, outcome, queue, task, id, key, why, **_):
        heard.append((sender, outcome, queue, task, id, key, why))

    gate_decided.connect(fails)
    gate_decided.connect(listens)
    guard = {"key": "t(1)", "overlap": "skip"}
    after.tell(Outcome.OVERLAP_SKIPPED, "q", headers(tidegate=guard), "skip", App(Backend()))

    assert heard == [("t", Outcome.OVERLAP_SKIPPED, "q", "t", "an-id", "t(1)", "skip")]


@pytest.mark.parametrize(
    "odd", [{}, {"tidegate": 5}, {"task": 5, "id": []}, {"id": None, "tidegate": {"key": {}}}, {"ignore_result": "x"}]
)
def test_headers_of_any_kind_can_be_told_of(odd):
    after.tell(Outcome.DROPPED_HEAD, "q", odd, "drop-head", App(Backend()))
    assert after.flush()


def test_a_line_of_each_kind_is_logged_at_most_once_a_minute_with_the_number_of_those_left_out(caplog, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    rarely = Rarely(logging.getLogger("tidegate.gate"))
    for _ in range(5):
        rarely.say("full", "queue %s", "a")
    rarely.say("other", "queue %s", "b")
    now[0] += 61
    rarely.say("full", "queue %s", "a")

    assert [record.message for record in caplog.records] == [
        "queue a",
        "queue b",
        "queue a (and 4 more since it was last said)",
    ]


# The journal


def test_the_journal_says_what_the_gate_did_to_which_message_and_why(broker_url):
    with gated(broker_url, tidegate_queues=DROPS) as app:
        first = app.tasks["one"].delay(1)
        app.tasks["plain"].delay()
        app.tasks["plain"].delay()
    with connect(parse_address(broker_url)) as broker:
        (entry,) = journal.entries_since(broker)

    assert (entry.act, entry.what, entry.queue, entry.task) == ("gate", Outcome.DROPPED_HEAD, "celery", "one")
    assert (entry.id, entry.key) == (first.id, "one(1)")
    assert abs(entry.at_s - time.time()) < 60


def test_the_newest_entries_are_read_oldest_first(broker_url):
    with connect(parse_address(broker_url)) as broker:
        for number in range(5):
            broker.ask(journal.adding("", JournalEntry(at_s=float(number), act="gate", what="superseded")))
        assert [entry.at_s for entry in journal.entries_since(broker, most=3)] == [2.0, 3.0, 4.0]
        assert journal.entries_since(broker, time.time() + 60) == ()


def test_the_journal_is_bounded_and_stands_behind_the_prefix(broker_url, redis_client):
    adding = journal.adding("shop:", JournalEntry(at_s=0.0, act="gate", what="superseded"))
    with redis_client.pipeline(transaction=False) as pipeline:
        for _ in range(journal.MOST_ENTRIES + 500):
            pipeline.execute_command(*adding)
        pipeline.execute()

    assert journal.MOST_ENTRIES <= redis_client.xlen("shop:tidegate:journal") <= journal.MOST_ENTRIES + 200


def test_a_journal_that_is_none_is_unknown(broker_url, redis_client):
    redis_client.set(journal.NAME, "mine")
    with connect(parse_address(broker_url)) as broker:
        assert isinstance(journal.entries_since(broker), Unknown)


@given(
    fields=st.dictionaries(st.binary(max_size=8) | st.just(b"at"), st.binary(max_size=8) | st.just(b"nan"), min_size=1)
)
def test_no_entry_is_too_odd_to_be_read(fields):
    assert isinstance(journal._entry([part for field in fields.items() for part in field]), JournalEntry)
