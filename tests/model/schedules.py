"""Schedules as tests of lint rules want them: a healthy one, and everything about it that can be changed in a word."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rule_table import Row, hold

from tidegate.facts.diagnosis import Finding
from tidegate.facts.lint import GivenPool, Ignored, LintQuestion, RunTime
from tidegate.facts.seen import AppSeen, Crontab, EntrySeen, SchedulerSeen
from tidegate.facts.unknown import Maybe, Unknown
from tidegate.model.lint.case import LintCase
from tidegate.model.lint.given import given_measured
from tidegate.model.lint.judgement import lint_case
from tidegate.model.lint.table import lint_findings

REFRESH = "proj.tasks.refresh"
NO_TIMES = Unknown("no run times are known")
ALL = {
    "minutes": frozenset(range(60)), "hours": frozenset(range(24)), "days_of_week": frozenset(range(7)),
    "days_of_month": frozenset(range(1, 32)), "months": frozenset(range(1, 13)),
}  # fmt: skip


def a_crontab(**changes: Any) -> Crontab:
    """Every minute; `minutes=(0,)` and the like change it."""
    sets = {name: frozenset(value) if name in ALL else value for name, value in changes.items()}
    return Crontab(**ALL | sets)


def an_entry(name: str = "refresh", every_s: float | None = 60.0, **changes: Any) -> EntrySeen:
    """One that nothing is wrong with: every minute, into the default queue, expiring in time."""
    crontab = changes.get("crontab")
    facts: dict[str, Any] = {
        "task": REFRESH, "interval_s": None if crontab else every_s, "expires": True, "expires_s": 30.0,
        "schedule": "crontab" if crontab else f"every {every_s} s", "mean_interval_s": every_s,
        "registered": True, "queues": ("celery",), "call": f"call of {name}", "keeps_result": False,
    }  # fmt: skip
    return EntrySeen(name=name, **facts | changes)


def many(number: int, **changes: Any) -> list[EntrySeen]:
    return [an_entry(f"e{place}", **changes) for place in range(number)]


def a_schedule(*entries: EntrySeen, **changes: Any) -> AppSeen:
    """An application with these entries in its settings."""
    facts: dict[str, Any] = {
        "schedulers": (SchedulerSeen(name="beat_schedule", in_force=True, entries=entries),),
        "scheduler": "celery.beat:PersistentScheduler", "queues": ("celery",), "tasks": (REFRESH, "proj.tasks.mail"),
        "late_tasks": (), "result_expires_s": 86400.0,
    }  # fmt: skip
    return AppSeen(name="proj", **facts | changes)


def holding(name: str, *entries: EntrySeen, in_force: Maybe[bool] = True) -> SchedulerSeen:
    judged = in_force is not False
    return SchedulerSeen(
        name=name, in_force=in_force, entries=tuple(replace(e, source=name, in_force=judged) for e in entries)
    )


def unread(name: str = "django-celery-beat") -> SchedulerSeen:
    return SchedulerSeen(name=name, in_force=True, entries=Unknown("the database is away"))


def a_case(
    *entries: EntrySeen,
    app: AppSeen | None = None,
    times: Mapping[str, float | RunTime] | None = None,
    pools: tuple[GivenPool, ...] = (),
    slots: int = 1,
    hosts: int = 1,
    consumed: Maybe[tuple[str, ...]] = ("celery",),
    ignored: tuple[Ignored, ...] = (),
    hosts_lost: int = 0,
) -> LintCase:
    """The case of a schedule; with `times` judged against workers of so many slots on so many hosts."""
    seen = app or a_schedule(*entries)
    question = LintQuestion(
        at="2026-01-01T00:00:00.000Z", app=seen, consumed=consumed, ignored=ignored, hosts_lost=hosts_lost,
        given=frozenset(times) if times is not None else None,
    )  # fmt: skip
    if times is None:
        return lint_case(question, NO_TIMES, "0.1.0")
    rows = {name: time if isinstance(time, RunTime) else RunTime(run_s=time) for name, time in times.items()}
    own = GivenPool(queues=("celery",), slots=slots, hosts=tuple(f"host{number}" for number in range(hosts)))
    listed = [entry for row in seen.schedulers if isinstance(row.entries, tuple) for entry in row.entries]
    measured = given_measured(rows, pools or (own,), listed, dict.fromkeys(rows, ("celery",)))
    return lint_case(question, measured, "0.1.0")


def said(case: LintCase, rule: str) -> list[Finding]:
    """What that rule says, worst first."""
    return [finding for finding in lint_findings(case) if finding.rule == rule]


def check(rule: str, row: Row) -> None:
    """The rule says exactly what the row expects of the case."""
    hold(rule, row, said(row.look, rule))
