"""The bounds of queues, as `tidegate_queues` and the declarations of Kombu write them; a wrong one is refused by name.

What is said of a queue in `tidegate_queues` wins, field by field, over its declaration, and that over `"*"`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tidegate.broker.keys import is_internal
from tidegate.errors import UsageError
from tidegate.facts.gate import Bound, Overflow
from tidegate.observe.conf import nearest

#: For all queues that say nothing else.
ANY = "*"
#: What is put behind a queue's name for its dead letters, unless one is named.
DEAD = ".dead"
#: The field of `Bound` for every spelling: ours, and those of RabbitMQ.
_FIELDS = {
    "max_length": "max_length",
    "x-max-length": "max_length",
    "max_length_bytes": "max_length_bytes",
    "x-max-length-bytes": "max_length_bytes",
    "overflow": "overflow",
    "x-overflow": "overflow",
    "dead_letter": "dead_letter",
    "x-dead-letter-routing-key": "dead_letter",
    "block_s": "block_s",
}
_LONGEST_BLOCK_S = 86_400.0
_MOST_KNOWN = 10_000

#: Fields of `Bound` that somebody spoke of.
Said = dict[str, Any]


class Bounds:
    """The bound of every queue; made once from settings that are right, asked for every message."""

    def __init__(self, queues: object, declared: Mapping[str, Any], block_s: float = 30.0) -> None:
        """`declared` are the `kombu.Queue`s by name, `block_s` is for those that say nothing else. Raises UsageError."""
        said = queues_in(queues)
        self._default: Said = {"block_s": block_s, **said.pop(ANY, {})}
        self._said = {name: {**declared_by(queue), **said.get(name, {})} for name, queue in declared.items()}
        self._said |= {name: fields for name, fields in said.items() if name not in declared}
        self._declared = declared
        self._known: dict[str, Bound | None] = {}
        for name in said:
            self._refuse_boundless(name)
        self._refuse_circles()

    def of(self, queue: str) -> Bound | None:
        """The bound, None where the queue has none; those of Celery itself never have."""
        try:
            return self._known[queue]
        except KeyError:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            return self._known.setdefault(queue, self._made(queue))

    def is_named(self, queue: str) -> bool:
        """Whether somebody speaks of the limits of this very queue."""
        return bool(self._said.get(queue)) or (queue in self._declared and bool(declared_by(self._declared[queue])))

    def table(self) -> dict[str, Bound]:
        """Every queue that has a bound of its own, and the default as `"*"`."""
        named = {ANY: self._bound("", self._default)} | {name: self.of(name) for name in self._said}
        return {name: bound for name, bound in named.items() if bound is not None}

    def _made(self, queue: str) -> Bound | None:
        if is_internal(queue):
            return None
        said = self._said.get(queue)
        if said is None and queue in self._declared:
            # Declared since: the table of the application's queues grows.
            said = declared_by(self._declared[queue]) or None
        bound = self._bound(queue, {**self._default, **(said or {})})
        if said is None and bound is not None and bound.dead_letter and self._keeps_the_dead(queue):
            # The default must not pass the dead on to the next queue for the dead.
            return replace(bound, overflow=Overflow.REJECT_PUBLISH, dead_letter="")
        return bound

    def _bound(self, queue: str, said: Said) -> Bound | None:
        bound = Bound(**said)
        if bound.max_length is None and bound.max_length_bytes is None:
            return None
        if bound.overflow is Overflow.REJECT_PUBLISH_DLX:
            return bound if bound.dead_letter or not queue else replace(bound, dead_letter=queue + DEAD)
        return replace(bound, dead_letter="")

    def _keeps_the_dead(self, queue: str) -> bool:
        named = {said.get("dead_letter") for said in (self._default, *self._said.values())}
        return queue in named or queue.endswith(DEAD)

    def _refuse_boundless(self, name: str) -> None:
        said = {**self._default, **self._said[name]}
        if "overflow" in self._said[name] and said.get("max_length") is None and said.get("max_length_bytes") is None:
            message = f"tidegate_queues[{name!r}] says overflow, and no limit: add max_length or max_length_bytes"
            raise UsageError(message)

    def _refuse_circles(self) -> None:
        for start in self._said:
            way = [start]
            while (bound := self.of(way[-1])) is not None and bound.dead_letter:
                way.append(bound.dead_letter)
                if way.count(way[-1]) > 1:
                    raise UsageError(f"dead letters would go round in a circle: {' → '.join(way)}")


def queues_in(value: object) -> dict[str, Said]:
    """`tidegate_queues`, read; raises UsageError."""
    table = table_of("tidegate_queues", value)
    return {name: said_of(f"tidegate_queues[{name!r}]", fields) for name, fields in table.items()}


def said_of(where: str, fields: object) -> Said:
    """The fields of a bound that a mapping speaks of, under either spelling; raises UsageError."""
    if not isinstance(fields, Mapping):
        raise UsageError(f"expected {where} to be a mapping such as {{'max_length': 10_000}}, got {fields!r}")
    said: Said = {}
    for name, value in fields.items():
        if name not in _FIELDS:
            raise UsageError(f"{where}: unknown {name!r}: {nearest(name, _FIELDS)}")
        field = _FIELDS[name]
        read = _READ[field](where, name, value)
        if said.setdefault(field, read) != read:
            raise UsageError(f"{where} says {field} twice, and not the same: {said[field]} and {read}")
    return said


def declared_by(queue: Any) -> Said:
    """What a `kombu.Queue` says, in its own arguments and in `queue_arguments`; raises UsageError."""
    arguments = getattr(queue, "queue_arguments", None) or {}
    fields = {name: value for name, value in arguments.items() if name.startswith("x-") and name in _FIELDS}
    for name in ("max_length", "max_length_bytes"):
        value = getattr(queue, name, None)
        if value is not None:
            fields[name] = value
    return said_of(f"Queue({queue.name!r})", fields)


def table_of(setting: str, value: object) -> Mapping[str, Any]:
    """A setting that is a mapping by name; None is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise UsageError(f"expected {setting} to be a mapping of names to mappings, got {value!r}")
    for name in value:
        if not isinstance(name, str) or not name:
            raise UsageError(f"expected the names in {setting} to be text, got {name!r}")
    return value


def _limit(where: str, name: str, value: object) -> int | None:
    if value is None or (type(value) is int and value > 0):
        return value
    raise UsageError(f"{where}: expected {name} to be a whole number above 0, or None for no limit, got {value!r}")


def _overflow(where: str, name: str, value: object) -> Overflow:
    if isinstance(value, str) and value in list(Overflow):
        return Overflow(value)
    raise UsageError(f"{where}: unknown {name} {value!r}: {nearest(value, list(Overflow))}")


def _queue(where: str, name: str, value: object) -> str:
    if isinstance(value, str) and value and not is_internal(value):
        return value
    raise UsageError(f"{where}: expected {name} to be the name of a queue, got {value!r}")


def _seconds(where: str, name: str, value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _LONGEST_BLOCK_S:
        return float(value)
    raise UsageError(f"{where}: expected {name} to be seconds from 0 to {_LONGEST_BLOCK_S:g}, got {value!r}")


_READ = {
    "max_length": _limit,
    "max_length_bytes": _limit,
    "overflow": _overflow,
    "dead_letter": _queue,
    "block_s": _seconds,
}
