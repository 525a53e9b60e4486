"""What an application's settings say to the gate, worked out once: bounds by queue, overlap by task and entry, the ceiling.

Everything wrong in them is refused when the gate is installed as far as it is known there, else when a worker starts
or the first message is published.
"""

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from inspect import Signature
from typing import Any

from tidegate.act.gate.bounds import ANY, Bounds, queues_in, table_of
from tidegate.act.gate.keys import entry_key, key_of, parameters_of, refuse_unknown_parameter
from tidegate.act.gate.overlaps import (
    NOTHING,
    Said,
    refuse_pointless,
    said_by_call,
    said_by_decorator,
    said_by_entry,
    said_by_task,
)
from tidegate.act.gate.publication import Publication
from tidegate.errors import UsageError
from tidegate.facts.gate import Bound, Guard
from tidegate.facts.overlap import Overlap, Payload, Scope
from tidegate.observe.conf import early_values, values_in
from tidegate.units import parse_size

#: Less is no memory that a broker could live in.
_LEAST_MEMORY_BYTES = 1 << 20
_MOST_KNOWN = 10_000
#: Schedulers that keep their entries in `beat_schedule`.
_STATIC_SCHEDULERS = (
    "celery.beat:PersistentScheduler",
    "tidegate",
    "tidegate.act.beat.scheduler:PersistentScheduler",
)
#: Where an application keeps what was worked out of its settings.
_PLACE = "_tidegate_policies"
#: True in an application whose beat runs in this process.
_LENIENT = "_tidegate_lenient_entries"


@dataclass(frozen=True, slots=True)
class Rule:
    """The overlap of one task, or of one task as an entry sends it."""

    said: Said
    entry: str = ""
    parameters: Signature | None = None

    def guard(self, task: str, args: Any, kwargs: Any) -> Guard:
        """The guard of one call; its firing is left to the publisher. Raises NoKey."""
        if self.entry:
            key = entry_key(self.entry, self.said.key, self.parameters, args, kwargs)
        else:
            key = key_of(task, self.said.key, self.parameters, args, kwargs)
        return Guard(
            key=key,
            overlap=self.said.overlap or Overlap.ALLOW_ALL,
            payload=self.said.payload or Payload.KEEP,
            scope=self.said.scope or Scope.MESSAGE,
        )


class Policies:
    """Everything the gate goes by in one application. Raises UsageError when it is made."""

    def __init__(self, app: Any) -> None:
        values = values_in(app.conf)
        self._app = app
        self.on = bool(values["tidegate_gate"])
        #: Bytes of the server's memory above which nothing is let in; a share of its limit up to 1.0; 0 for none.
        self.ceiling = memory_of(values["tidegate_gate_memory"])
        self.timeout_s = float(values["tidegate_gate_timeout_s"])
        #: What is known of a message of which nothing is to be known; for all of them, so its outcome says nothing.
        self.plain = Publication(timeout_s=self.timeout_s)
        self.bounds = Bounds(values["tidegate_queues"], app.amqp.queues, float(values["tidegate_gate_block_s"]))
        self._tasks = tasks_in(values["tidegate_tasks"])
        self._entries = entries_in(values["tidegate_entries"], lenient=app.__dict__.get(_LENIENT, False))
        self._rules: dict[tuple[str, str, bool], Rule | None] = {}

    def bound_of(self, queue: str) -> Bound | None:
        """The bound of a queue, None where it has none; 0.1 µs once it is known."""
        return self.bounds.of(queue)

    def is_named(self, queue: str) -> bool:
        """Whether the settings or a declaration speak of this queue itself."""
        return self.bounds.is_named(queue)

    def rule_for(self, task: str, entry: str = "", task_type: Any = None) -> Rule | None:
        """What holds for a task, sent by an entry of the schedule or not; None where every message is let in.

        0.2 µs once it is known. Raises UsageError for a task that says something wrong of itself.
        """
        key = (task, entry, task_type is None)
        try:
            return self._rules[key]
        except KeyError:
            if len(self._rules) >= _MOST_KNOWN:
                self._rules.clear()
            return self._rules.setdefault(key, self._rule(task, entry, task_type, NOTHING))

    def guard_for(
        self, task: str, entry: str, call: Mapping[str, Any], args: Any, kwargs: Any, task_type: Any = None
    ) -> Guard | None:
        """The guard of one call with these options; None where it is let in whatever else is there.

        Raises UsageError for a wrong option, NoKey where none can be made from the arguments.
        """
        rule = self._rule(task, entry, task_type, said_by_call(task, call)) if call else None
        if not call:
            rule = self.rule_for(task, entry, task_type)
        return None if rule is None else rule.guard(task, args, kwargs)

    def check_tasks(self) -> None:
        """Raises UsageError for the first registered task that says something wrong of its overlap."""
        for name in sorted({*self._app.tasks, *self._tasks} - {ANY}):
            self.rule_for(name)

    def strangers(self) -> list[str]:
        """A sentence for every name in the settings that nothing here has: a typing error, or another worker's task."""
        schedule = self._app.conf.beat_schedule or {}
        if self._app.conf.beat_scheduler not in _STATIC_SCHEDULERS or not schedule:
            schedule = self._entries  # others keep their entries elsewhere
        return [
            *_strange("tidegate_tasks", self._tasks, self._app.tasks, "this worker has no such task"),
            *_strange("tidegate_entries", self._entries, schedule, "beat_schedule has no such entry"),
        ]

    def _rule(self, task: str, entry: str, task_type: Any, call: Said) -> Rule | None:
        known = task_type if task_type is not None else self._app._tasks.get(task)
        own = (said_by_decorator(known) if known is not None else NOTHING).under(self._tasks.get(task, NOTHING))
        of_entry = self._entries.get(entry, NOTHING) if entry else NOTHING
        any_entry = self._entries.get(ANY, NOTHING) if entry else NOTHING
        said = self._tasks.get(ANY, NOTHING).under(any_entry).under(own).under(of_entry).under(call)
        if said.overlap is None:
            refuse_pointless(f"task {task!r}", own)
        if said.overlap in (None, Overlap.ALLOW_ALL):
            return None
        parameters = parameters_of(known) if known is not None else None
        refuse_unknown_parameter(f"task {task!r}", said.key, parameters)
        by_entry = call.overlap is None and (of_entry if own.overlap is not None else any_entry.under(of_entry)).overlap
        return Rule(said, entry if by_entry else "", parameters)


def _strange(setting: str, names: Iterable[str], known: Collection[str], what: str) -> list[str]:
    strange = sorted(set(names) - set(known) - {ANY})
    near = {name: difflib.get_close_matches(name, known, 1, 0.8) for name in strange}
    return [
        f"{setting}[{name!r}]: {what}" + (f": did you mean {near[name][0]!r}?" if near[name] else "")
        for name in strange
    ]


def policies(app: Any) -> Policies:
    """The policies of an application, worked out when they are first asked for; raises UsageError every time."""
    try:
        return app.__dict__[_PLACE]  # type: ignore[no-any-return]
    except KeyError:
        made = app.__dict__[_PLACE] = Policies(app)
        return made


def forget(app: Any) -> None:
    """Works them out anew when they are asked for again."""
    app.__dict__.pop(_PLACE, None)


def check_early(app: Any) -> None:
    """Refuses what is wrong in the settings, as far as they are known without loading the configuration."""
    values = early_values(app)
    memory_of(values.get("tidegate_gate_memory"))
    queues_in(values.get("tidegate_queues"))
    tasks_in(values.get("tidegate_tasks"))
    entries_in(values.get("tidegate_entries"))


def tasks_in(value: object) -> dict[str, Said]:
    """`tidegate_tasks`, read; raises UsageError."""
    table = table_of("tidegate_tasks", value)
    return {name: said_by_task(f"tidegate_tasks[{name!r}]", fields) for name, fields in table.items()}


def bear_with_entries(app: Any) -> None:
    """From now on a wrong value of `tidegate_entries` says nothing to the gate: beat reports it, and sends the others."""
    app.__dict__[_LENIENT] = True
    forget(app)


def entries_in(value: object, *, lenient: bool = False) -> dict[str, Said]:
    """`tidegate_entries`, read; raises UsageError, or leaves out what is wrong where that is `lenient`."""
    found = {}
    for name, fields in table_of("tidegate_entries", value).items():
        try:
            found[name] = said_by_entry(f"tidegate_entries[{name!r}]", fields)
        except UsageError:
            if not lenient:
                raise
    return found


def memory_of(value: object) -> float:
    """`tidegate_gate_memory`: a share of the server's limit up to 1.0, or bytes, or 0 for none; raises UsageError."""
    if value is None:
        return 0
    number = _number(value)
    if 0 < number <= 1 or (number >= _LEAST_MEMORY_BYTES and number == int(number)):
        return float(number) if number <= 1 else int(number)
    message = f"a share above 0 and up to 1, or at least {_LEAST_MEMORY_BYTES:,} bytes, such as 0.8 or '6GB'"
    raise UsageError(f"expected tidegate_gate_memory to be {message}, got {value!r}")


def _number(value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    text = str(value).strip()
    try:
        if text.endswith("%"):
            return float(text.removesuffix("%")) / 100
        return float(text) if text.replace(".", "", 1).isdecimal() else parse_size(text)
    except ValueError:
        return 0
