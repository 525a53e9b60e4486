"""What `tidegate gate` prints: bounds, marks, firings, decisions; hostile names, narrow terminals, and what can't be seen."""

import io
import json

import pytest
from rich.console import Console

from broker.elements import element
from faces.hostile import TEXTS
from faces.shell import assert_harmless, assert_one_line, call
from reports import HIDDEN, a_decision, a_gate_report, a_gate_status, a_queue_gated
from tidegate.cli.gate_tables import show_journal, show_status
from tidegate.facts.gated import FleetReport

SPACE = "tidegate:gate:1:"


def printed(status, width=140, verbose=False):
    out = Console(file=io.StringIO(), width=width)
    show_status(status, out, verbose=verbose)
    return out.file.getvalue()


def test_a_status_shows_bounds_what_is_held_back_and_what_was_counted():
    text = printed(a_gate_status())
    assert "the gate is in use: 1 worker with it, 0 without" in text
    [queue] = [line.split() for line in text.splitlines() if line.startswith("celery")]
    assert queue == ["celery", "85", "100", "85", "%", "drop-head", "0", "12", "412", "0", "0", "-"]
    assert "entry refresh" in text
    assert "celery@w1" in text
    assert "memory: 1 MB used, the ceiling is 512 MB." in text
    assert "opened: 2 × noperm." in text


def test_what_could_not_be_seen_is_a_question_mark_and_what_is_not_there_a_dash():
    unseen = a_queue_gated(max_length=HIDDEN, max_length_bytes=HIDDEN, overflow=HIDDEN, share=HIDDEN, counts=HIDDEN)
    free = a_queue_gated(name="free", max_length=None, overflow=None, share=None, counts={})
    fleet = FleetReport(with_gate=HIDDEN, without_gate=HIDDEN, mixed=HIDDEN)
    text = printed(a_gate_status(gate=a_gate_report(unseen, free, fleet=fleet, marks=HIDDEN, firings=HIDDEN)))
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.startswith(("celery", "free"))}
    assert rows["celery"] == ["85", "?", "?", "?", "?", "?", "?", "0", "0", "-"]
    assert rows["free"] == ["85", "-", "-", "-", "0", "0", "0", "0", "0", "-"]
    assert "an unknown number of workers with it, an unknown number without" in text
    assert "the gate is not in use" in printed(a_gate_status(gate=a_gate_report(in_use=False, marks=(), firings=())))


def test_a_status_says_whose_disk_has_what_spilled_who_keeps_it_and_where_it_is_full():
    spilled = a_queue_gated(spilled=900, on_disk=700, disk="one:/disk", disk_full=True)
    text = printed(a_gate_status(gate=a_gate_report(spilled, keeper="one:/disk")))
    assert "on disk: one:/disk." in text
    assert "spill keeper: one:/disk." in text
    assert "disk full: celery." in text
    assert "spill keeper: none acts." in printed(a_gate_status(gate=a_gate_report(spilled)))
    assert "keeper" not in printed(a_gate_status())


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_number_is_cut_however_narrow_the_terminal_is(width):
    text = printed(a_gate_status(gate=a_gate_report(a_queue_gated(depth=8_500_000, max_length=10_000_000))), width)
    assert "8,500,000" in text
    assert "10,000,000" in text


def test_many_marks_are_counted_and_all_of_them_shown_where_wanted():
    [mark] = a_gate_report().marks
    many = a_gate_status(gate=a_gate_report(marks=(mark,) * 30, marks_total=2000))
    assert printed(many).count("celery@w1") == 10
    assert "… 1,990 more" in printed(many)
    assert printed(many, verbose=True).count("celery@w1") == 30


def test_a_journal_is_a_table_and_an_empty_one_a_sentence():
    out = Console(file=io.StringIO(), width=140)
    show_journal((a_decision(), a_decision(at_s=-1e300, what="queue_full")), out)
    show_journal((), out)
    text = out.file.getvalue()
    assert "2026-09-21 14:13:20  dropped_head" in text
    assert "1970-01-01 00:00:00  queue_full" in text
    assert "decided nothing yet" in text


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_no_name_in_a_key_of_the_gate_steers_the_terminal(text, broker_url, redis_client):
    name = text.encode("utf-8", "surrogatepass")
    redis_client.lpush("celery", element())
    mark = {"tag": "t", "id": text, "list": "celery", "at": 1, "state": "held", "changed": 1, "who": f"{text}/1"}
    redis_client.hset(SPACE + "marks", name, json.dumps(mark))
    redis_client.hset(SPACE + "nodes", name, name)
    redis_client.hset(SPACE + "counts", mapping={b"open|" + name: 1, b"queue_full|" + name: 1, name + b"|celery": 1})
    redis_client.hset(SPACE + "firings", name, json.dumps({text: 1}))
    fields = ("at", "act", "what", "queue", "task", "id", "key", "why")
    redis_client.xadd("tidegate:journal", dict.fromkeys(fields, name))
    for words in (("status", broker_url, "--window", "0.05", "-v"), ("journal", broker_url)):
        assert_harmless(call("gate", *words))


def test_a_journal_of_another_type_is_one_line(broker_url, redis_client):
    redis_client.set("tidegate:journal", "something else")
    ran = call("gate", "journal", broker_url)
    assert_one_line(ran, longest_s=10)
    assert "the journal can't be read" in ran.said


def test_a_misspelt_command_names_the_nearest(broker_url):
    ran = call("gate", "statsu", broker_url)
    assert ran.code == 2
    assert "Did you mean" in ran.said
    assert "status" in ran.said


def test_it_fails_where_it_is_told_to(broker_url, redis_client):
    redis_client.lpush("celery", element())
    redis_client.hset(SPACE + "counts", "open|noperm", 1)
    assert call("gate", "status", broker_url, "--window", "0.05").code == 0
    assert call("gate", "status", broker_url, "--window", "0.05", "--fail-on", "info").code == 1
