"""What somebody says of an overlap (settings, a task's own attributes, one call), and how several of these add up.

A call wins over its entry, that over its task, and that over `"*"`, field by field. Who says `overlap` anew does not
inherit a `payload` that goes with another one.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from inspect import getattr_static
from typing import Any, cast

from tidegate.act.gate.timing import TIMING, timing_in
from tidegate.errors import UsageError
from tidegate.facts.overlap import Overlap, Payload, Scope
from tidegate.observe.conf import nearest

#: A format over the arguments, or a function of (args, kwargs).
KeyMaker = str | Callable[[tuple[Any, ...], dict[str, Any]], str]

_WORDS: dict[str, type[StrEnum]] = {"overlap": Overlap, "payload": Payload, "scope": Scope}
_LONGEST_KEY = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What one place says; None where it says nothing."""

    overlap: Overlap | None = None
    payload: Payload | None = None
    scope: Scope | None = None
    key: KeyMaker | None = None

    def under(self, later: "Said") -> "Said":
        """Both, where `later` wins."""
        overlap = later.overlap if later.overlap is not None else self.overlap
        payload = self.payload if later.overlap is None or overlap is Overlap.BUFFER_ONE else None
        return Said(
            overlap=overlap,
            payload=later.payload if later.payload is not None else payload,
            scope=later.scope if later.scope is not None else self.scope,
            key=later.key if later.key is not None else self.key,
        )


NOTHING = Said()


def said_by_task(where: str, fields: object) -> Said:
    """What one value of `tidegate_tasks` says; raises UsageError."""
    return _said(where, fields, ("overlap", "payload", "scope", "key"))


def said_by_entry(where: str, fields: object) -> Said:
    """What one value of `tidegate_entries` says of overlap; what it says to schedulers is checked, too."""
    said = _said(where, fields, ("overlap", "payload", "scope", "key", *TIMING))
    timing_in(where, cast("Mapping[str, Any]", fields))
    return said


def said_by_decorator(task: Any) -> Said:
    """What a task says of itself: `@app.task(overlap=…, overlap_payload=…, overlap_scope=…, overlap_key=…)`."""
    names = {"overlap": "overlap", "payload": "overlap_payload", "scope": "overlap_scope", "key": "overlap_key"}
    # A function that is an attribute of the task's class would come as its method.
    found = {field: getattr_static(task, name, None) for field, name in names.items()}
    fields = {field: value for field, value in found.items() if value is not None}
    if not fields:
        return NOTHING
    fields = {field: value.__func__ if isinstance(value, staticmethod) else value for field, value in fields.items()}
    return said_by_task(f"task {task.name!r}", fields)


def said_by_call(task: str, given: Mapping[str, Any]) -> Said:
    """What the options of one call say."""
    return _said(f"{task!r}", {"key" if name == "overlap_key" else name: value for name, value in given.items()}, None)


def refuse_pointless(where: str, said: Said) -> None:
    """Raises UsageError for what looks as if it were guarded, and is not."""
    if said.overlap is None and said != NOTHING:
        name = next(name for name in ("payload", "scope", "key") if getattr(said, name) is not None)
        raise UsageError(f"{where} says {name}, and no overlap: add 'overlap': 'buffer_one' or 'skip'")


def _said(where: str, fields: object, known: tuple[str, ...] | None) -> Said:
    if not isinstance(fields, Mapping):
        raise UsageError(f"expected {where} to be a mapping such as {{'overlap': 'buffer_one'}}, got {fields!r}")
    for name in fields:
        if known is not None and name not in known:
            raise UsageError(f"{where}: unknown {name!r}: {nearest(name, known)}")
    words: dict[str, Any] = {name: _word(where, name, fields.get(name)) for name in _WORDS}
    said = Said(**words, key=_key(where, fields.get("key")))
    if said.payload is Payload.REPLACE and said.overlap not in (None, Overlap.BUFFER_ONE):
        raise UsageError(
            f"{where}: payload 'replace' goes with overlap 'buffer_one', not with {said.overlap.value!r}: "
            "only a waiting message can be replaced"
        )
    return said


def _word(where: str, name: str, value: object) -> StrEnum | None:
    kind = _WORDS[name]
    if value is None:
        return None
    if isinstance(value, str) and value in list(kind):
        return kind(value)
    raise UsageError(f"{where}: unknown {name} {value!r}: {nearest(value, kind)}")


def _key(where: str, value: Any) -> KeyMaker | None:
    if value is None:
        return None
    if callable(value):
        return cast("KeyMaker", value)
    if isinstance(value, str) and 0 < len(value) <= _LONGEST_KEY:
        return value
    raise UsageError(
        f"{where}: expected key to be text of at most {_LONGEST_KEY} letters such as '{{user_id}}', "
        f"or a function of args and kwargs, got {value!r}"
    )
