"""From a row of any scheduler to a fact: what its message asks for, where it goes, and whether its task exists."""

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tidegate.facts.seen import EntrySeen
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.observe.schedule.routing import Routes, queue_name
from tidegate.observe.schedule.timing import Timing

_LONGEST_EXPIRY_S = 1e10


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One entry as its scheduler keeps it. `options` are those that `apply_async` gets, `dropped` those that it does not."""

    name: str
    task: str
    timing: Timing
    source: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    enabled: bool = True
    last_run_at: float | None = None
    trouble: str = ""


class EntryReader:
    """Makes facts of rows; `tasks` are the names that the application knows."""

    def __init__(self, app: Any, tasks: Maybe[tuple[str, ...]]) -> None:
        self._tasks = tasks
        self._known = app.tasks
        self._routes = Routes(app)

    def entry(self, row: Row, *, in_force: bool) -> EntrySeen:
        """The fact; costs some ten microseconds."""
        task = self._known.get(row.task)
        options = {**own_options(task), **{k: v for k, v in row.options.items() if v is not None}}
        expires_s, expires_at = _expiry(options.get("expires"))
        queue = options.get("queue")
        unseen = Unknown("the task is not known to the application")
        return EntrySeen(
            name=row.name,
            task=row.task,
            interval_s=row.timing.interval_s,
            expires=expires_s is not None,
            queue=queue_name(queue) if queue is not None else None,
            source=row.source,
            schedule=row.timing.text,
            enabled=row.enabled,
            in_force=in_force,
            mean_interval_s=row.timing.mean_interval_s,
            crontab=row.timing.crontab,
            last_run_at=row.last_run_at,
            expires_s=expires_s,
            expires_at=expires_at,
            registered=True if task is not None else self._missing(),
            queues=self._routes.queues_of(row.task, options),
            call=_call(row.args, row.kwargs),
            keeps_result=not options.get("ignore_result", task.ignore_result) if task is not None else unseen,
            dropped=row.dropped,
            never=row.timing.never,
            trouble=row.trouble or row.timing.trouble,
            options=row.options,
        )

    def _missing(self) -> Maybe[bool]:
        return False if known(self._tasks) else self._tasks


def own_options(task: Any) -> dict[str, Any]:
    """What the task itself says of its messages."""
    names = ("queue", "exchange", "routing_key", "expires")
    own = {name: getattr(task, name, None) for name in names} if task is not None else {}
    return {name: value for name, value in own.items() if value is not None}


def _expiry(expires: object) -> tuple[float | None, float | None]:
    """Seconds from now until a message sent now expires, and the one time of it where that is fixed."""
    if isinstance(expires, str):
        expires = _moment(expires)
    if isinstance(expires, datetime):
        at = (expires if expires.tzinfo is not None else expires.replace(tzinfo=UTC)).timestamp()
        return at - time.time(), at
    if isinstance(expires, (int, float)) and math.isfinite(expires):
        return min(float(expires), _LONGEST_EXPIRY_S), None
    return None, None


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _call(args: object, kwargs: object) -> Maybe[str]:
    """A short text that is the same for the same arguments; objects are not asked what they are equal to."""
    try:
        text = json.dumps([args, kwargs], sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        return Unknown("its arguments are not all plain data, so they can't be compared")
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
