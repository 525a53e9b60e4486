"""What people read: sentences first, numbers whole at any width, and nothing foreign that could steer a terminal."""

import unicodedata
from dataclasses import replace
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from reports import HIDDEN, a_diagnosis, a_queue_report, a_task_report
from tidegate.cli.render import show_diagnosis, show_queues
from tidegate.cli.text import printable
from tidegate.facts.diagnosis import Finding, Level, State

WIDTHS = [30, 60, 80, 200]
DEEP = a_queue_report(
    depth=2_017_633, unacked=12_345, arrival_per_s=1234.5, service_per_s=1230.25, growth_per_s=4.25,
    oldest_age_s=14 * 86400.0, bytes=1_900_000_000,
)  # fmt: skip
LONG = a_queue_report(name="a-rather-long-name-of-a-queue-with-very-many-words-in-it")
SENTENCE = (
    "celery grows by 4.25/s (15,300 messages an hour): 1,234/s arrive, 1,230/s leave. It never clears at this rate."
)
REMEDY = (
    "redis-cli CONFIG SET maxmemory 4gb (and the same line in redis.conf), then "
    + "restart one worker after another " * 6
)
GROWS = Finding(rule="TG101", level=Level.CRITICAL, sentence=SENTENCE, remedy=REMEDY.strip())
FINE = Finding(rule="TG102", level=Level.OK, sentence="No queue stands still with messages waiting.")
UNSEEN = Finding(
    rule="TG110", level=Level.INFO, sentence="Could not look at the limit: refused.", unknown={"a": "refused"}
)


def shown(*queues, width=80, verbose=False, **changes):
    out = StringIO()
    console = Console(file=out, width=width, highlight=False, emoji=False)
    show_diagnosis(a_diagnosis(*queues, **{"findings": (GROWS, UNSEEN, FINE)} | changes), console, verbose=verbose)
    return out.getvalue()


def steering(text):
    """Characters that a terminal obeys, or that turn the direction of what stands beside them; line ends apart."""
    return {char for char in text if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}} - {"\n"}


def line_with(text, word):
    return next(line for line in text.splitlines() if word in line)


def words(text):
    return " ".join(text.split())


def test_the_whole_of_it_at_eighty_columns():
    text = shown(
        findings=(Finding(rule="TG101", level=Level.WARNING, sentence="celery grows.", remedy="Send less."), FINE)
    )

    assert [line.rstrip() for line in text.splitlines()] == [
        "GROWING  redis://:***@localhost:6379/0  valkey 9.1.0  1 MB in use",
        "",
        "queue   state    waiting  unacked    in  out  growth  oldest   memory  empty in",
        "celery  growing       12        4  10/s  8/s     2/s   1.5 s  8.79 KB     never",
        "",
        "task            queue   share    in  out  edge interval  safe interval",
        "app.tasks.work  celery  100 %  10/s  8/s        0.125 s              ?",
        "",
        "memory: queues 8.79 KB",
        "",
        "warning  TG101 celery grows.",
        "         → Send less.",
        "",
        "1 check fine (-v shows them).",
        "Watched for 10.0 s with 300 commands, 12 ms of its time. Read only.",
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_numbers_that_matter_are_whole_at_any_width(width):
    text = shown(DEEP, LONG, width=width)
    cells = text.replace("\n", " ").split()

    assert {"2,017,633", "1,234/s", "1,230/s", "growing", "never", "0.125"} <= set(cells)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_line_is_no_wider_than_the_screen_except_what_is_there_to_be_pasted(width):
    text = shown(DEEP, LONG, width=width)

    assert [line for line in text.splitlines() if len(line.rstrip()) > width and "→" not in line] == []


@pytest.mark.parametrize("width", WIDTHS)
def test_sentences_are_folded_between_words_and_none_is_lost(width):
    assert all(word in shown(DEEP, width=width).split() for word in SENTENCE.split())


@pytest.mark.parametrize("width", WIDTHS)
def test_a_remedy_stays_on_one_line(width):
    assert line_with(shown(width=width), "→").strip() == f"→ {REMEDY.strip()}"


def test_a_narrow_screen_leaves_out_what_matters_least():
    assert "oldest" not in shown(DEEP, LONG, width=80)
    assert "oldest" in shown(DEEP, LONG, width=200)


def test_a_long_name_is_folded_and_not_cut():
    text = shown(DEEP, LONG, width=60)
    column = "".join(line[:12].strip() for line in text.splitlines()[4:12] if line.strip())

    assert LONG.name[:24] in column


def test_what_could_not_be_seen_is_a_question_mark_and_not_a_nought():
    row = line_with(shown(a_queue_report(depth=HIDDEN, unacked=HIDDEN, bytes=HIDDEN, oldest_age_s=HIDDEN)), "celery")

    assert row.split() == ["celery", "growing", "?", "?", "10/s", "8/s", "2/s", "?", "?", "never"]


def test_a_queue_that_clears_says_when():
    assert line_with(shown(a_queue_report(state=State.DRAINING, drain_s=252.0)), "celery").endswith("4.2 minutes")


def test_checks_that_are_fine_or_could_not_look_are_counted_and_shown_on_request():
    brief, whole = shown(), shown(verbose=True)

    assert "1 check fine; 1 check could not look (-v shows them)." in brief
    assert FINE.sentence not in brief
    assert UNSEEN.sentence not in brief
    assert FINE.sentence in whole
    assert UNSEEN.sentence in words(whole)


def test_the_worst_comes_first_with_its_level_and_number():
    text = shown()

    assert line_with(text, "TG101").startswith("critical TG101 celery grows")


def test_more_than_eight_tasks_are_counted():
    tasks = tuple(a_task_report(name=f"task-{number}") for number in range(11))
    text = shown(tasks=tasks)

    assert "… 3 more (--json shows all)" in text
    assert "task-8" not in text


def test_no_task_needs_no_table():
    assert "edge interval" not in shown(tasks=())


def test_memory_is_split_largest_first_and_left_out_where_it_could_not_be_seen():
    split = replace(a_diagnosis().memory, by_family={"server": 10, "queues": 2000, "results": 0})

    assert "memory: queues 1.95 KB · server 10 B\n" in shown(memory=split)
    assert "memory:" not in shown(memory=replace(split, by_family=HIDDEN))


@pytest.mark.parametrize("hostile", ["\x1b[31mred", "a\rb", "a\nb", "\x9b31m", "\u202eabc", "\x07", "\x00", "\ud800"])
def test_control_characters_of_foreign_names_are_written_out(hostile):
    finding = Finding(rule="TG101", level=Level.WARNING, sentence=f"{hostile} grows.", remedy=f"Look at {hostile}.")
    tasks = (a_task_report(name=hostile, queue=hostile),)
    text = shown(a_queue_report(name=hostile), tasks=tasks, findings=(finding,), width=200)

    assert steering(text) == set()
    assert printable(hostile) in text
    assert line_with(text, "→").strip() == f"→ Look at {printable(hostile)}."


@pytest.mark.parametrize("hostile", ["[red]", "[/]", "[/bold]", "[link=x]y", ":boom:", "\\[x]", "[bold]a[/bold]"])
def test_markup_in_foreign_names_is_shown_as_it_is(hostile):
    finding = Finding(rule="TG101", level=Level.WARNING, sentence=f"{hostile} grows.", remedy=hostile)
    text = shown(a_queue_report(name=hostile), findings=(finding,))

    assert f"{hostile} grows." in text
    assert line_with(text, "→").strip() == f"→ {hostile}"


@settings(max_examples=150, deadline=None)
@given(name=st.text(), width=st.sampled_from(WIDTHS))
def test_no_name_steers_the_terminal_or_breaks_the_output(name, width):
    text = shown(a_queue_report(name=name), tasks=(a_task_report(name=name),), width=width)

    assert steering(text) == set()


def test_a_very_long_name_is_cut_with_a_sign():
    assert printable("x" * 5000) == "x" * 1999 + "…"


def test_no_queue_at_all_is_only_a_heading():
    out = StringIO()
    show_queues((), Console(file=out, width=80))

    assert out.getvalue().split()[:2] == ["queue", "state"]
