"""The whole schedule of an application: what is in force, what else holds entries, and each entry as a fact."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tidegate.facts.seen import EntrySeen, SchedulerSeen
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.observe.schedule.database import database_rows, is_installed
from tidegate.observe.schedule.entry import EntryReader, Row
from tidegate.observe.schedule.redbeat import is_configured, redbeat_rows
from tidegate.observe.schedule.scheduler import (
    DATABASE,
    REDBEAT,
    STATIC,
    configured,
    is_ours,
    kind_of_scheduler,
    left_to_the_command_line,
)
from tidegate.observe.schedule.static import static_rows
from tidegate.observe.schedule.tasks import known_tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSeen:
    """Everything periodic about one application; the fields are those of `AppSeen`."""

    tasks: Maybe[tuple[str, ...]]
    scheduler: str
    ours: Maybe[bool]
    schedulers: tuple[SchedulerSeen, ...]
    entries: Maybe[tuple[EntrySeen, ...]]


def see_schedule(app: Any, timeout_s: float = 5.0) -> ScheduleSeen:
    """The schedule; imports the application's task modules and the module of its scheduler, and runs nothing of them.

    The settings are always read, django-celery-beat's table where it is installed, RedBeat's keys where it is
    configured; neither may take longer than `timeout_s` for an answer. Nothing is written.
    """
    tasks = known_tasks(app)
    kind = kind_of_scheduler(app)
    reader = EntryReader(app, tasks)
    found = _places(app, kind, timeout_s)
    schedulers = tuple(_seen(app, name, rows, kind, reader) for name, rows in found.items())
    if not known(kind):
        schedulers += (SchedulerSeen(name=configured(app), in_force=True, entries=kind),)
    return ScheduleSeen(
        tasks=tasks,
        scheduler=configured(app),
        ours=is_ours(app),
        schedulers=schedulers,
        entries=_all_entries(schedulers),
    )


def _places(app: Any, kind: Maybe[str], timeout_s: float) -> dict[str, Maybe[Sequence[Row]]]:
    """The rows by the place that holds them; what the settings hold is copied to the scheduler in force by beat."""
    zone = app.timezone
    found: dict[str, Maybe[Sequence[Row]]] = {STATIC: static_rows(app, zone, kind)}
    if kind == DATABASE or is_installed():
        found[DATABASE] = database_rows(zone, timeout_s)
    if kind == REDBEAT or is_configured(app):
        found[REDBEAT] = redbeat_rows(app, zone, timeout_s)
    for name in (DATABASE, REDBEAT):
        if name in found:
            found[STATIC], found[name] = _without_copies(found[STATIC], found[name], in_force=kind == name)
    return found


def _without_copies(
    static: Maybe[Sequence[Row]], kept: Maybe[Sequence[Row]], *, in_force: bool
) -> tuple[Maybe[Sequence[Row]], Maybe[Sequence[Row]]]:
    """Both without the copies that beat made of the settings' entries: each of these is there once, as the settings say,
    and where the copies are in force switched on or off and last sent as the copy says.
    """
    if not known(static) or not known(kept):
        return static, kept
    copies, named = {row.name: row for row in kept}, {row.name for row in static}
    switched = [_switched(row, copies[row.name]) if in_force and row.name in copies else row for row in static]
    return switched, [row for row in kept if row.name not in named]


def _switched(row: Row, copy: Row) -> Row:
    return replace(row, enabled=copy.enabled, last_run_at=copy.last_run_at)


def _seen(app: Any, name: str, rows: Maybe[Sequence[Row]], kind: Maybe[str], reader: EntryReader) -> SchedulerSeen:
    in_force = _in_force(app, name, kind)
    judged = in_force is not False
    entries = tuple(reader.entry(row, in_force=judged) for row in rows) if known(rows) else rows
    return SchedulerSeen(name=name, in_force=in_force, entries=entries)


def _in_force(app: Any, name: str, kind: Maybe[str]) -> Maybe[bool]:
    # Every scheduler takes over what the settings hold.
    if name in (STATIC, kind):
        return True
    if left_to_the_command_line(app):
        return Unknown("beat_scheduler is not set: a beat that is started with -S uses these entries")
    return False


def _all_entries(schedulers: Sequence[SchedulerSeen]) -> Maybe[tuple[EntrySeen, ...]]:
    unread = [row.entries for row in schedulers if row.in_force is not False and isinstance(row.entries, Unknown)]
    if unread:
        return unread[0]
    every = (entry for row in schedulers if known(row.entries) for entry in row.entries)
    return tuple(entry for entry in every if entry.enabled and entry.in_force)
