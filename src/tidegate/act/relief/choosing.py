"""Which messages of a queue a filter means, decided batch by batch; every condition that is given has to hold.

What can't be read is left alone unless it is asked for. The conditions stand in the order of their cost: most messages
are decided by their task's name.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tidegate.broker.bodies import ODD
from tidegate.broker.envelope import enqueued_at_of, epoch, identity_of
from tidegate.broker.narrow import arguments_of, header_text, narrow_decoder, tag_hash
from tidegate.broker.outside import open_outside
from tidegate.facts.message import Undecodable
from tidegate.facts.relief import Ages, Filter
from tidegate.facts.unknown import Maybe, known
from tidegate.model.relief.ages import AgeRule
from tidegate.model.relief.keeping import Keeping
from tidegate.model.relief.tasks import TaskGlobs
from tidegate.model.relief.values import holds, same
from tidegate.units import count, plural

#: Whether a message may go, by its outside, its bytes, and how many were published after it.
Condition = Callable[[Any, bytes, int], bool]
_STAMPS = ("enqueued_at", "sentry_enqueued")


@dataclass(frozen=True, slots=True)
class Choice:
    """What goes of a batch: one byte a message, 1 goes and 0 stays, oldest first; and how many could not be read."""

    flags: bytes
    undecodable: int


class Chooser(Protocol):
    """Decides which messages go; alike for the same messages, however they are cut into batches."""

    @property
    def wants_look(self) -> bool:
        """Whether all messages have to be looked at before the first batch is chosen from."""

    @property
    def age_by(self) -> Ages | None:
        """What ages were told by so far; None where none was asked for."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left alone because something could not be told, in sentences."""

    def next_list(self) -> None:
        """What is looked at from now on is in the next list of the queue, which is less urgent."""

    def look(self, elements: Sequence[bytes]) -> None:
        """Messages of a list, newest first."""

    def choose(self, elements: Sequence[bytes], first_position: int, depth: int) -> Choice:
        """What goes of these, oldest first; the first stands at that place, counted from the oldest of `depth`."""


def chooser_of(wanted: Filter, now_s: float, arrival_per_s: Maybe[float]) -> Chooser:
    """What decides by that filter, at that time of the server's clock; a filter in which nothing is given chooses nothing.

    2 µs per message for a task and an age; 8 µs more where arguments are compared. With `keep_newest` or `keep_oldest`
    160 MB at two million messages. An act that is taken up again decides alike, but for `keep_oldest`, which may then
    keep so many of each kind once more.
    """
    return _Chooser(wanted, now_s, arrival_per_s)


class _Chooser:
    def __init__(self, wanted: Filter, now_s: float, arrival_per_s: Maybe[float]) -> None:
        self._wanted, self._now_s = wanted, now_s
        self._age = None if wanted.older_than_s is None else AgeRule(wanted.older_than_s, now_s, arrival_per_s)
        self.wants_look = wanted.keep_newest is not None or wanted.keep_oldest is not None
        self._keeping = Keeping(wanted.keep_newest, wanted.keep_oldest)
        self._closed = 0
        self._conditions = tuple(self._conditions_of(wanted))
        self._read = narrow_decoder(*_parts_of(wanted), opens=wanted.args is not None or bool(wanted.kwargs))
        self._read_kind = narrow_decoder((), ("delivery_tag",))

    @property
    def age_by(self) -> Ages | None:
        return None if self._age is None else self._age.told_by

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(self._notes())

    def next_list(self) -> None:
        self._keeping.next_list()

    def look(self, elements: Sequence[bytes]) -> None:
        read, look = self._read_kind, self._keeping.look
        for element in elements:
            try:
                outside = read(element)
            except ODD:
                self._look_at_odd(element)
                continue
            look(identity_of(outside.headers.task, outside.body), tag_hash(outside, element))

    def _look_at_odd(self, element: bytes) -> None:
        outside = open_outside(element)
        if not isinstance(outside, Undecodable):
            self._keeping.look(identity_of(outside.headers.task, outside.body), tag_hash(outside, element))

    def choose(self, elements: Sequence[bytes], first_position: int, depth: int) -> Choice:
        read, conditions = self._read, self._conditions
        flags, undecodable, newer = bytearray(len(elements)), 0, depth - first_position
        for place, element in enumerate(elements):
            newer -= 1
            try:
                outside = read(element)
            except ODD:
                outside = open_outside(element)
                if isinstance(outside, Undecodable):
                    undecodable += 1
                    flags[place] = self._takes_undecodable(newer)
                    continue
            for condition in conditions:
                if not condition(outside, element, newer):
                    break
            else:
                flags[place] = 1
        return Choice(bytes(flags), undecodable)

    def _takes_undecodable(self, newer: int) -> bool:
        """Of what can't be read only the age can be told, by its place."""
        wanted = self._wanted
        if wanted != Filter(undecodable=True, older_than_s=wanted.older_than_s):
            return False
        return self._age is None or self._age.is_old(None, newer)

    def _conditions_of(self, wanted: Filter) -> Iterator[Condition]:
        if wanted.is_empty or wanted.undecodable:
            yield lambda outside, element, newer: False
        if wanted.tasks:
            fit = TaskGlobs(wanted.tasks).fit
            yield lambda outside, element, newer: fit(outside.headers.task)
        if wanted.expired:
            yield self._is_expired
        if wanted.origin is not None:
            yield lambda outside, element, newer: outside.headers.origin == wanted.origin
        if wanted.root is not None:
            yield lambda outside, element, newer: outside.headers.root_id == wanted.root
        if self._age is not None:
            is_old = self._age.is_old
            yield lambda outside, element, newer: is_old(enqueued_at_of(outside.headers, outside.properties), newer)
        for name, value in wanted.headers.items():
            yield _has_header(name, value)
        if wanted.args is not None or wanted.kwargs:
            yield self._is_called_so
        if self.wants_look:
            goes = self._keeping.goes
            yield lambda outside, element, newer: goes(tag_hash(outside, element))

    def _is_expired(self, outside: Any, element: bytes, newer: int) -> bool:
        expires = epoch(outside.headers.expires)
        return expires is not None and expires < self._now_s

    def _is_called_so(self, outside: Any, element: bytes, newer: int) -> bool:
        args, kwargs = arguments_of(outside)
        if not known(args) or not known(kwargs):
            self._closed += 1
            return False
        wanted = self._wanted
        return (wanted.args is None or same(args, wanted.args)) and holds(kwargs, wanted.kwargs)

    def _notes(self) -> Iterator[str]:
        if self._age is not None and (ageless := self._age.ageless):
            yield (
                f"the age of {plural(ageless, 'message')} can't be told: they carry no stamp (tidegate.install(app) "
                "writes one), and it is not known how fast messages arrive; they stay"
            )
        if self._age is not None and (placed := self._age.placed):
            yield (
                f"the age of {plural(placed, 'message')} was told by their place in the queue and the measured arrivals, "
                "for they carry no stamp (tidegate.install(app) writes one)"
            )
        if self._closed:
            yield f"the arguments of {count(self._closed)} can't be read (never unpickled), so they stay"


def _has_header(name: str, value: str) -> Condition:
    return lambda outside, element, newer: header_text(element, name) == value


def _parts_of(wanted: Filter) -> tuple[Sequence[str], Sequence[str]]:
    """The headers and properties that the conditions look at."""
    aged = wanted.older_than_s is not None
    counted = wanted.keep_newest is not None or wanted.keep_oldest is not None
    headers = {
        "expires": wanted.expired,
        "origin": wanted.origin is not None,
        "root_id": wanted.root is not None,
        **dict.fromkeys(_STAMPS, aged),
    }
    properties = {"published_at": aged, "delivery_tag": counted}
    return _needed(headers), _needed(properties)


def _needed(parts: dict[str, bool]) -> Sequence[str]:
    return [name for name, needed in parts.items() if needed]
