"""The entries in the application's own settings: `app.conf.beat_schedule`."""

from collections.abc import Mapping
from datetime import tzinfo
from typing import Any

from tidegate.facts.unknown import Maybe, Unknown
from tidegate.observe.schedule.entry import Row
from tidegate.observe.schedule.scheduler import DATABASE, STATIC
from tidegate.observe.schedule.timing import Timing, timing_of

#: What `celery.beat.ScheduleEntry` takes; anything else ends beat at its start.
_KEYS = {"name", "task", "last_run_at", "total_run_count", "schedule", "args", "kwargs", "options", "relative", "app"}
#: What django-celery-beat copies from an entry's options into its table; it drops everything else without a word.
_COPIED = {"queue", "exchange", "routing_key", "priority", "headers", "expire_seconds"}


def static_rows(app: Any, zone: tzinfo, kept_in: Maybe[str]) -> Maybe[list[Row]]:
    """The rows of `beat_schedule` as the scheduler that keeps its entries in `kept_in` sends them."""
    schedule = app.conf.beat_schedule
    if not isinstance(schedule, Mapping):
        return Unknown(f"beat_schedule is {type(schedule).__name__}, not a mapping")
    return [_row(str(name), value, zone, kept_in) for name, value in schedule.items()]


def _row(name: str, value: object, zone: tzinfo, kept_in: Maybe[str]) -> Row:
    if not isinstance(value, Mapping):
        return _unusable(name, f"it is {type(value).__name__}, not a mapping with `task` and `schedule`")
    task, options = value.get("task"), value.get("options") or {}
    if not isinstance(options, Mapping):
        return _unusable(name, f"its options are {type(options).__name__}, not a mapping")
    used, dropped = _options(options, kept_in)
    return Row(
        name=name,
        task=str(task or ""),
        timing=timing_of(value.get("schedule"), zone),
        source=STATIC,
        args=value.get("args") or (),
        kwargs=value.get("kwargs") or {},
        options=used,
        dropped=dropped,
        trouble=_trouble(value, kept_in),
    )


def _trouble(value: Mapping[str, Any], kept_in: Maybe[str]) -> str:
    strange = sorted(str(key) for key in value if key not in _KEYS)
    if strange and kept_in == STATIC:
        return f"it has the unknown key {strange[0]!r}"
    task = value.get("task")
    return "" if isinstance(task, str) and task else "it names no task"


def _options(options: Mapping[str, Any], kept_in: Maybe[str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The options that reach the message, and the names of those that do not."""
    if kept_in != DATABASE:
        return dict(options), ()
    used = {name: value for name, value in options.items() if name in _COPIED}
    if (expires := used.pop("expire_seconds", None)) is not None:
        used["expires"] = expires
    return used, tuple(sorted(str(name) for name in options if name not in _COPIED))


def _unusable(name: str, trouble: str) -> Row:
    return Row(name=name, task="", timing=Timing(text=""), source=STATIC, trouble=trouble)
