"""What people read of a plan: sentences first, numbers whole at any width, and nothing unknown taken for fine."""

from dataclasses import fields, replace
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from faces.plans import (
    FEW,
    SAFE,
    a_lost_host,
    a_plan,
    a_pool,
    a_safe_entry,
    a_task,
    an_entry,
    an_unknown_entry,
    curves_of,
)
from faces.shell import steering
from tidegate.cli.chart import draw
from tidegate.cli.plan import only
from tidegate.cli.plan_chart import chart_of
from tidegate.cli.plan_tables import show_foot, show_plan
from tidegate.cli.plan_words import span, worst_first
from tidegate.cli.text import printable
from tidegate.errors import UsageError
from tidegate.facts.planned import ProbeReport, Range
from tidegate.facts.unknown import Unknown

NO_SCHEDULE = Unknown("no schedule was read: name the application with -A")
NONE = Unknown("no interval is safe: the rest alone keeps more slots of celery busy than it may (6.9 of 6.4)")
LONG = "a-rather-long-name-of-a-periodic-entry-with-very-many-words-in-it"
NOTHING = ProbeReport(workers=0, runs=0, covered_s=0.0, bytes=0)


def without_interval(**changes):
    """An entry that nothing but more workers would make safe."""
    unsafe = dict.fromkeys(
        ["min_safe_interval_s", "edge_interval_s", "freshest_interval_s", "joint_interval_s", "split_interval_s"], NONE
    )
    lost = a_lost_host(min_safe_interval_s=NONE, edge_interval_s=NONE)
    return an_entry(**unsafe | {"entry": "nightly", "with_hosts_lost": (lost,)} | changes)


def shown(plan, width=80, verbose=False):
    out = StringIO()
    console = Console(file=out, width=width, highlight=False, emoji=False)
    show_plan(plan, console, verbose=verbose)
    show_foot(plan, console, verbose=verbose)
    return out.getvalue()


def lines_of(plan, **options):
    return [line.rstrip() for line in shown(plan, **options).splitlines()]


def words(text):
    return " ".join(text.split())


def sentence(entry, *others, **changes):
    return words(shown(a_plan(entry, *others, **changes), width=400).partition("\n\n")[0])


def row_of(entry, name=None):
    """The cells of an entry's row, all columns shown."""
    text = shown(a_plan(entry), width=400)
    table = text[text.index("\nentry ") :].splitlines()
    return next(line for line in table if line.startswith(name or entry.entry)).split()


def test_the_whole_of_it_at_eighty_columns():
    assert lines_of(a_plan(notes=("what a lost host had taken comes back after 60 minutes",))) == [
        "refresh  every 1 s is not safe: the queue grows by 3.33/s, and memory is full in",
        "         11 days. 1.2 s is the edge, 1.5 s is safe (1.46 to 1.55 s). With 1 of 2",
        "         hosts lost it takes 3 s (2.92 to 3.1 s). Freshest: 1.2 s.",
        "",
        "queues  slots  hosts  effective  slots needed  busy  utilisation    mean wait",
        "celery      8      2        7.5            12  99 %        120 %  2.2 minutes",
        "",
        "entry    every   edge   safe      95 % range  1 of 2 hosts lost  growth",
        "refresh    1 s  1.2 s  1.5 s  1.46 to 1.55 s                3 s  3.33/s",
        "",
        "note: what a lost host had taken comes back after 60 minutes",
        "",
        "12,345 runs of 3 workers over 42 minutes; 180 KB in Redis. Read with 12",
        "commands; nothing was written.",
    ]


def test_more_room_shows_more_columns():
    wide = lines_of(a_plan(), width=120)

    assert wide[6:8] == [
        "entry    every           work   edge   safe      95 % range  freshest  1 of 2 hosts lost  growth  memory full in",
        "refresh    1 s  9.6 s ± 0.3 s  1.2 s  1.5 s  1.46 to 1.55 s     1.2 s                3 s  3.33/s         11 days",
    ]
    assert "screen.tasks.refresh_all" in shown(a_plan(), width=200)


def test_a_safe_interval_says_so_and_what_the_shortest_would_be():
    assert sentence(a_safe_entry()) == (
        "report every 4 s is safe. 1.2 s is the edge, 1.5 s is safe (1.46 to 1.55 s). "
        "With 1 of 2 hosts lost it takes 3 s (2.92 to 3.1 s). Freshest: 1.2 s."
    )


def test_an_interval_that_a_lost_host_makes_unsafe_says_what_would_happen():
    assert (
        "With 1 of 2 hosts lost it takes 3 s (2.92 to 3.1 s), and at the present interval the queue grows by 11.7/s, "
        "and memory is full in 24 hours." in sentence(a_safe_entry(interval_s=2.0, with_hosts_lost=(a_lost_host(),)))
    )


def test_between_the_edge_and_the_safe_interval_the_reserve_is_what_lacks():
    text = sentence(an_entry(interval_s=1.3, growth_per_s=0.0, full_in_s=None))

    assert "every 1.3 s is not safe: the workers keep up, busier than 80 %." in text


def test_where_no_interval_is_safe_it_says_why_and_what_is_the_limit():
    text = sentence(without_interval())

    assert f"{NONE.why[0].upper()}{NONE.why[1:]}. The limit: 8 slots on 2 hosts for celery." in text
    assert text.count("6.9 of 6.4") == 1
    assert row_of(without_interval()).count("none") == 5
    assert (
        NONE.why not in shown(a_plan(without_interval()), width=400).partition("entry ")[2].replace("joint", "")[:300]
    )


def test_an_edge_without_a_safe_interval_is_still_said():
    text = sentence(without_interval(edge_interval_s=2.2))

    assert "for celery. 2.2 s is the edge." in text


def test_an_entry_of_unknown_interval_still_has_its_edge():
    text = shown(a_plan(an_entry(interval_s=NO_SCHEDULE, safe=NO_SCHEDULE)), width=400)

    assert words(text.splitlines()[0]).startswith("refresh 1.2 s is the edge, 1.5 s is safe (1.46 to 1.55 s).")
    assert f"? {NO_SCHEDULE.why} (refresh)" in text


def test_what_is_not_known_is_said_once_and_is_a_question_mark_in_the_table():
    text = shown(a_plan(an_unknown_entry()), width=400)

    assert "new  every 1 s, and whether that is safe is unknown: fewer than 30 runs (12).\n" in words_kept(text)
    assert row_of(an_unknown_entry()) == ["new", "screen.tasks.refresh_all", "1", "s", *"???????????"]
    assert text.count("? fewer than 30 runs (12) (new)") == 1


def words_kept(text):
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def test_a_reason_that_many_rows_share_is_said_once_with_some_of_them():
    text = shown(a_plan(*(an_unknown_entry(entry=f"new-{number}") for number in range(9))))

    assert "? fewer than 30 runs (12) (new-0, new-1, new-2 and 6 more)" in text


def test_a_plan_of_which_nothing_is_known_is_all_question_marks():
    unseen = dict.fromkeys(
        ("utilisation", "effective_slots", "busy_share", "mean_wait_s", "needed_slots", "drain_s"), FEW
    )
    plan = a_plan(an_unknown_entry(interval_s=FEW), pools=(a_pool(**unseen),), tasks=(), curves=())

    assert [line for line in lines_of(plan) if line.startswith("celery")] == [
        "celery      8      2          ?             ?     ?            ?          ?"
    ]
    assert chart_of(plan) is None


def test_without_a_run_measured_it_says_what_to_add_to_the_application():
    text = shown(a_plan(an_unknown_entry(), pools=(), tasks=(), curves=(), probe=NOTHING))

    assert text.startswith("Nothing was measured yet. Add the probe to the application")
    assert "\n    import tidegate\n    tidegate.install(app)\n" in text
    assert "?" not in text


def test_workers_that_have_run_nothing_are_counted():
    text = shown(a_plan(probe=replace(NOTHING, workers=3)))

    assert words(text).startswith("Nothing was measured yet: there is 3 workers with the probe, and no run has ended")


def test_unsafe_entries_come_first_and_those_that_grow_fastest_first_of_all():
    slow = an_entry(entry="slow", growth_per_s=0.5)
    risky = a_safe_entry(entry="risky", with_hosts_lost=(a_lost_host(),))
    found = worst_first((a_safe_entry(), an_unknown_entry(), risky, slow, an_entry()))

    assert [entry.entry for entry in found] == ["refresh", "slow", "risky", "new", "report"]


def test_of_two_hundred_entries_the_worst_are_told_and_the_rest_counted():
    entries = [a_safe_entry(entry=f"safe-{n}") for n in range(150)] + [
        an_unknown_entry(entry=f"new-{n}") for n in range(40)
    ]
    plan = a_plan(*entries, *(an_entry(entry=f"bad-{number}") for number in range(10)))
    brief, whole = shown(plan), shown(plan, verbose=True)

    assert "… 192 more: 2 not safe, 40 unknown, 150 safe (--entry NAME tells of one)" in brief
    assert "… 180 more (-v shows all)" in brief
    assert brief.index("bad-0") < brief.index("bad-7")
    assert "safe-149" not in brief
    assert "safe-149" in whole
    assert len(brief.splitlines()) < 80


def test_tasks_are_shown_on_request():
    brief, whole = shown(a_plan()), shown(a_plan(tasks=(a_task(p99_s=FEW),)), verbose=True, width=200)
    row = next(line for line in whole.splitlines() if line.startswith("screen.tasks.flush"))

    assert "screen.tasks.flush" not in brief
    assert " ".join(row.split()) == (
        "screen.tasks.flush celery refresh 12,000 16.7/s 0.45 s 0.44 s 0.52 s ? 2 minutes 3 minutes 10 % 7.5 3 0"
    )
    assert "? fewer than 30 runs (12) (screen.tasks.flush)" in whole


def test_every_number_of_lost_hosts_has_its_sentence_and_its_column():
    gone = Unknown("no worker is left that could run it")
    second = a_lost_host(lost=2, min_safe_interval_s=gone, edge_interval_s=gone, growth_per_s=20.0)
    entry = an_entry(with_hosts_lost=(a_lost_host(), second))

    assert "With 2 of 2 hosts lost no worker is left that could run it." in sentence(entry)
    assert "1 of 2 hosts lost  " in shown(a_plan(entry), width=200)
    assert "2 of 2 hosts lost" in shown(a_plan(entry), width=200)
    assert "1 host lost" in shown(a_plan(entry, pools=(a_pool(), a_pool(queues=("other",)))), width=200)


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (SAFE, "1.46 to 1.55 s"), (Range(estimate=150.0, low=100.0, high=200.0), "100 s to 3.3 minutes"),
        (Range(estimate=300.0, low=290.0, high=320.0), "4.8 to 5.3 minutes"),
        (Range(estimate=1.0, low=0.5, high=float("inf")), "at least 0.5 s"),
    ],
)  # fmt: skip
def test_a_range_names_its_unit_once(interval, text):
    assert span(interval) == text


@pytest.mark.parametrize("width", [30, 60, 80, 120, 200])
def test_the_numbers_that_matter_are_whole_at_any_width(width):
    plan = a_plan(an_entry(entry=LONG, task=LONG), pools=(a_pool(slots=12_345, queues=(LONG,)),))
    cells = {cell.strip("(),.") for cell in shown(plan, width=width).split()}

    assert {"12,345", "1.46", "1.55", "3", "3.33/s", "120"} <= cells
    if width >= 60:
        assert max(len(line.rstrip()) for line in shown(plan, width=width).splitlines()) <= width


@pytest.mark.parametrize(
    "hostile", ["\x1b[31mred", "a\nb", "\x9b31m", "\u202eabc", "\x00", "\ud800", "[red]", "[/]", ":boom:"]
)
def test_names_of_others_are_shown_as_they_are_and_steer_nothing(hostile):
    why = Unknown(hostile)
    plan = a_plan(
        an_entry(entry=hostile, task=hostile, binding=hostile, age_s=why),
        pools=(a_pool(queues=(hostile,)),),
        tasks=(a_task(task=hostile, queue=hostile, entry=hostile),),
        notes=(hostile,),
    )
    text = shown(plan, width=200, verbose=True)

    assert not steering(text)
    assert text.count(printable(hostile)) >= 8


@settings(max_examples=100, deadline=None)
@given(name=st.text(), width=st.sampled_from([30, 60, 80, 200]))
def test_no_name_steers_the_terminal_or_breaks_the_output(name, width):
    plan = a_plan(an_entry(entry=name, task=name), pools=(a_pool(queues=(name,)),), notes=(name,))
    out = StringIO()
    draw(chart_of(plan), Console(file=out, width=width))

    assert not steering(shown(plan, width=width) + out.getvalue())


def test_the_chart_is_of_the_worst_entry_with_its_intervals_marked():
    plan = a_plan(a_safe_entry(), an_entry(), curves=curves_of("report") + curves_of("refresh"))
    chart = chart_of(plan)

    assert chart.title == "refresh: how fast its queue grows at every interval"
    assert [line.label for line in chart.lines] == ["all hosts", "1 of 2 hosts lost"]
    assert [mark.label for mark in chart.marks] == ["now 1 s", "edge 1.2 s", "safe 1.5 s"]
    assert not chart.log_x


def test_intervals_far_apart_are_drawn_by_their_ratios():
    curve = curves_of("refresh")[0]
    far = replace(curve, points=(*curve.points, replace(curve.points[-1], interval_s=60.0)))

    assert chart_of(a_plan(curves=(far,))).log_x


def test_marks_that_are_not_known_are_left_out():
    chart = chart_of(a_plan(an_unknown_entry(entry="refresh"), curves=curves_of("refresh")))

    assert [mark.label for mark in chart.marks] == ["now 1 s"]


def test_a_plan_of_some_entries_holds_their_curves_alone():
    plan = only(a_plan(an_entry(), a_safe_entry(), curves=curves_of("report") + curves_of("refresh")), ["report"])

    assert [entry.entry for entry in plan.entries] == ["report"]
    assert {curve.entry for curve in plan.curves} == {"report"}


def test_an_entry_that_is_none_is_refused_with_what_there_is():
    with pytest.raises(UsageError, match=r"no periodic entry 'zzz' to show: there are: refresh"):
        only(a_plan(), ["zzz"])


def test_the_builders_know_every_field():
    """An unknown entry is unknown in everything that can be."""
    entry = an_unknown_entry()
    known_fields = {"entry", "task", "interval_s", "with_hosts_lost", "binding", "basis", "firings"}

    assert {
        field.name for field in fields(entry) if not isinstance(getattr(entry, field.name), Unknown)
    } == known_fields
