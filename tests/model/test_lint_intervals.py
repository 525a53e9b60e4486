"""Rules TG201 to TG203, and run times that are given: every case in a sentence, against closed forms."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rule_table import CRITICAL, INFO, OK, WARNING, Row, table
from schedules import REFRESH, a_case, a_crontab, a_schedule, an_entry, check, many, said, unread

from tidegate.facts.lint import GivenPool, Ignored, RunTime
from tidegate.facts.unknown import Unknown, known

MAIL = "proj.tasks.mail"
#: What a prefork worker adds to a run, as the planner assumes it.
ADDED_S = 0.0015
TWICE = RunTime(run_s=0.1, children={MAIL: 4})


def own(entry, **changes):
    return an_entry(entry, expires_s=1.0, **changes)


@table(
    Row("a minute for a second of work", a_case(an_entry(), times={REFRESH: 1.0}), OK, ["No entry is by itself"]),
    Row(
        "two seconds of work every second on one slot",
        a_case(an_entry(every_s=1.0), times={REFRESH: 2.0}), CRITICAL,
        ["refresh sends proj.tasks.refresh every 1 s, below the edge", "2 s is the edge, 2.5 s is safe", "1 slot on 1 host"],
        {"entry": "refresh", "interval_s": 1.0, "edge_interval_s": 2.0, "min_safe_interval_s": 2.5},
        remedy='"schedule": 2.51 in the entry "refresh"',
    ),
    Row(
        "at 90 % it does not grow, and is not safe",
        a_case(an_entry(every_s=1.0), times={REFRESH: 0.9}), WARNING, ["below what is safe"], remedy='"schedule": 1.13',
    ),
    Row(
        "the children count: a tenth of a second, and four of one second",
        a_case(an_entry(every_s=2.0), times={REFRESH: TWICE, MAIL: 1.0}), CRITICAL, ["below the edge: 4.1"],
        {"edge_interval_s": 4.1 + 5 * ADDED_S},
    ),
    Row("enough slots", a_case(an_entry(every_s=1.0), times={REFRESH: 2.0}, slots=3), OK),
    Row(
        "a crontab at its mean interval",
        a_case(an_entry(every_s=3600.0, crontab=a_crontab(minutes=(0,))), times={REFRESH: 5000.0}), CRITICAL,
        ["every 60 minutes on average"], remedy="come at most every",
    ),
    Row(
        "what others send leaves no room",
        a_case(an_entry(), times={REFRESH: 1.0, MAIL: RunTime(run_s=2.0, per_s=1.0)}), CRITICAL,
        ["no interval is safe", "the rest alone"], remedy="More workers",
    ),
    Row(
        "nobody consumes its queue, which TG206 says: no interval would help",
        a_case(an_entry(queues=("gone",)), times={REFRESH: 1.0}), OK,
    ),
    Row("no run times at all", a_case(an_entry()), INFO, unknown=["plan"]),
    Row(
        "no run time of this one", a_case(an_entry(), times={MAIL: 1.0}), INFO, ["no run time of proj.tasks.refresh was given"],
        unknown=["refresh"],
    ),
    Row("it comes once, so it has no interval", a_case(an_entry(every_s=None), times={MAIL: 1.0}), OK),
    Row("it is switched off", a_case(own("off", every_s=1.0, enabled=False), times={REFRESH: 9.0}), OK, ["No periodic"]),
    Row(
        "it is ignored for this entry",
        a_case(an_entry(every_s=1.0), times={REFRESH: 2.0}, ignored=(Ignored(rule="TG201", entry="refresh"),)), OK,
    ),
    Row(
        "the rest of the schedule could not be read",
        a_case(app=a_schedule(schedulers=(unread(),)), times={REFRESH: 1.0}), INFO, unknown=["django-celery-beat"],
    ),
)  # fmt: skip
def test_an_entry_that_is_too_much_for_the_workers(row):
    check("TG201", row)


@table(
    Row("two hosts, and one would do", a_case(an_entry(), times={REFRESH: 1.0}, hosts=2), OK, ["with 1 host lost"]),
    Row(
        "two hosts, and one would not do",
        a_case(an_entry(every_s=1.0), times={REFRESH: 1.2}, hosts=2), INFO,
        ["With 1 host lost 1 interval would no longer be safe (refresh)", "would need 1.5 s instead of 1 s"],
        {"entries": ["refresh"], "hosts_lost": 1, "slots_left": 1}, remedy="One more host",
    ),
    Row(
        "asked for, it is a warning",
        a_case(an_entry(every_s=1.0), times={REFRESH: 1.2}, hosts=2, hosts_lost=1), WARNING, remedy="One more host",
    ),
    Row("three hosts of which two may go", a_case(an_entry(), times={REFRESH: 1.0}, hosts=3, hosts_lost=2), OK, ["2 hosts"]),
    Row(
        "the only host", a_case(an_entry(), times={REFRESH: 1.0}), INFO, ["no worker is left for 1 entry (refresh)"],
        {"slots_left": 0}, remedy="One more host",
    ),
    Row("already unsafe, which TG201 says", a_case(an_entry(every_s=1.0), times={REFRESH: 9.0}, hosts=2), OK),
    Row("no run times at all", a_case(an_entry()), INFO, unknown=["plan"]),
)  # fmt: skip
def test_not_safe_with_a_host_lost(row):
    check("TG202", row)


@table(
    Row("two with room", a_case(*many(2), times={REFRESH: 1.0}), OK, ["No entries are too much only together"]),
    Row(
        "each half a slot, and three of them",
        a_case(*many(3, every_s=2.0), times={REFRESH: 1.0}), CRITICAL,
        ["3 entries together bring more than the workers can do, though each alone would be fine", "they want 1.5 of the 1 slot"],
        {"entries": ["e0", "e1", "e2"]}, remedy="Multiply their intervals by 1.88",
    ),
    Row(
        "90 % together", a_case(*many(3, every_s=2.0), times={REFRESH: 0.6}), WARNING, ["more than is safe"],
        remedy="Multiply their intervals by 1.13",
    ),
    Row(
        "one is the culprit, which TG201 says",
        a_case(own("big", every_s=1.0), own("small", every_s=10.0), times={REFRESH: 2.0}), OK, ["only together"],
    ),
    Row("no run times at all", a_case(an_entry()), INFO, unknown=["plan"]),
    Row("some of them unknown", a_case(*many(2), times={MAIL: 1.0}), INFO, unknown=["e0", "e1"]),
)  # fmt: skip
def test_too_much_together(row):
    check("TG203", row)


def test_a_culprit_is_named_and_its_victims_are_not():
    case = a_case(own("big", every_s=1.0), own("small", every_s=10.0), times={REFRESH: 2.0})

    assert [finding.evidence["entry"] for finding in said(case, "TG201")] == ["big"]


def test_crowds_of_different_workers_do_not_hide_one_another():
    pools = (GivenPool(queues=("celery",), slots=1, hosts=("a",)), GivenPool(queues=("mail",), slots=1, hosts=("b",)))
    crowd = many(3, every_s=2.0)
    big = own("big", every_s=1.0, queues=("mail",))
    case = a_case(*crowd, big, times={REFRESH: 1.0}, pools=pools, consumed=("celery", "mail"))

    assert [finding.evidence["entry"] for finding in said(case, "TG201")] == ["big"]
    assert [finding.evidence["entries"] for finding in said(case, "TG203")] == [["e0", "e1", "e2"]]


@settings(max_examples=100, deadline=None)
@given(
    works=st.lists(st.floats(0.01, 5.0), min_size=1, max_size=5),
    intervals=st.lists(st.floats(0.5, 100.0), min_size=5, max_size=5),
    slots=st.integers(1, 20),
)
def test_given_run_times_give_the_edge_of_the_closed_form(works, intervals, slots):
    """T = W/(c − Σ of the others), with what a worker adds to every run."""
    names = [f"proj.tasks.t{number}" for number in range(len(works))]
    entries = [an_entry(n, task=n, every_s=t) for n, t in zip(names, intervals, strict=False)]
    case = a_case(*entries, times=dict(zip(names, works, strict=True)), slots=slots)
    whole = [work + ADDED_S for work in works]
    loads = [work / entry.interval_s for work, entry in zip(whole, entries, strict=True)]

    for place, name in enumerate(names):
        room = slots - sum(load for number, load in enumerate(loads) if number != place)
        edge = case.plans[name].edge_interval_s
        if room <= 0:
            assert not known(edge)
        else:
            assert edge == pytest.approx(whole[place] / room, rel=1e-6)
        assert case.blame.alone[name] == (loads[place] <= 0.8 * slots * (1 + 1e-9))


def test_an_interval_that_is_pasted_from_the_remedy_is_safe():
    case = a_case(an_entry(every_s=1.0), times={REFRESH: 1.23456})
    [finding] = said(case, "TG201")
    advised = float(finding.remedy.split('"schedule": ')[1].split()[0])

    assert advised >= finding.evidence["min_safe_interval_s"]
    assert said(a_case(an_entry(every_s=advised), times={REFRESH: 1.23456}), "TG201")[0].level is OK


def test_a_task_that_publishes_itself_for_ever_gets_no_number():
    case = a_case(an_entry(), times={REFRESH: RunTime(run_s=0.1, children={REFRESH: 1.0})})
    [finding] = said(case, "TG201")

    assert "never ends" in finding.unknown["refresh"]


def test_an_entry_whose_queue_is_unknown_is_not_put_into_any():
    pools = (GivenPool(queues=("celery",), slots=1, hosts=("a",)), GivenPool(queues=("mail",), slots=1, hosts=("b",)))
    lost = an_entry(queues=Unknown("task_routes holds a function"))
    [finding] = said(a_case(lost, times={REFRESH: 1.0}, pools=pools), "TG201")

    assert finding.unknown == {"refresh": "task_routes holds a function"}


def test_an_entry_that_nobody_consumes_takes_no_interval_from_the_others():
    case = a_case(an_entry(), an_entry("lost", queues=("gone",)), times={REFRESH: 1.0})

    assert said(case, "TG201")[0].level is OK
    assert case.plans["refresh"].min_safe_interval_s.estimate == pytest.approx((1 + ADDED_S) / 0.8)


def test_an_entry_whose_children_nobody_consumes_is_not_judged_and_no_other_suffers():
    pools = (GivenPool(queues=("mail",), slots=1, hosts=("a",)), GivenPool(queues=("log",), slots=1, hosts=("a",)))
    parent, other = an_entry(queues=("mail",)), an_entry("other", task="proj.tasks.log", queues=("log",))
    times = {REFRESH: TWICE, MAIL: 1.0, "proj.tasks.log": 1.0}
    [finding] = said(a_case(parent, other, times=times, pools=pools, consumed=("mail", "log")), "TG201")

    assert finding.unknown == {"refresh": "of what it brings, something goes to a queue without workers"}


def test_of_thousands_that_could_not_be_judged_each_reason_is_said_once():
    [finding] = said(a_case(*many(5000), times={MAIL: 1.0}), "TG201")

    assert finding.unknown == {"e0 and others": "no run time of proj.tasks.refresh was given"}
