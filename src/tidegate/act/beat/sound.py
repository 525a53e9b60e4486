"""What of a schedule in the settings can be an entry: where stock beat dies of one that can't, it is reported and left out."""

import inspect
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from celery.beat import ScheduleEntry
from celery.schedules import BaseSchedule, crontab, maybe_schedule

from tidegate.act.beat.outcomes import log

_FIELDS = frozenset(inspect.signature(ScheduleEntry).parameters) | {"enabled"}


def sound(given: Mapping[str, Any], app: Any) -> Mapping[str, Any]:
    """The entries that one can be made of; each of the others is named in the log, with what is wrong."""
    wrong = {name: why for name, fields in (given or {}).items() if (why := _wrong(fields, app))}
    for name, why in wrong.items():
        log.error("beat_schedule[%r] is left out: %s", name, why)
    return {name: fields for name, fields in given.items() if name not in wrong} if wrong else given or {}


def _wrong(fields: Any, app: Any) -> str:
    if isinstance(fields, ScheduleEntry):
        return ""
    if not isinstance(fields, Mapping):
        return f"a dict was expected, not {type(fields).__name__}"
    if not isinstance(fields.get("task"), str) or not fields["task"]:
        return "it names no task"
    if not fields.keys() <= _FIELDS:
        strangers = ", ".join(sorted(str(name) for name in fields.keys() - _FIELDS))
        return f"{strangers} is unknown (known: {', '.join(sorted(_FIELDS - {'app', 'name'}))})"
    if fields.get("options") is not None and not isinstance(fields["options"], Mapping):
        return "its options are no dict"
    return _wrong_schedule(fields.get("schedule"), app)


def _wrong_schedule(given: Any, app: Any) -> str:
    if type(given) in (int, float, timedelta, crontab):
        return ""
    try:
        made = maybe_schedule(given, app=app)
    except Exception as error:  # noqa: BLE001  whatever somebody gave
        return f"no schedule can be made of {given!r} ({error})"
    return "" if isinstance(made, BaseSchedule) else f"{given!r} is no schedule"
