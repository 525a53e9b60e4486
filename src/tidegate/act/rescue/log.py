"""What a rescue is about to do to one list, on disk before it does it, so that it can be told afterwards what was done.

Every step has a number, and the server counts the steps that were done in the script that does them. What the server
does not know of is undone here: after a kill in the middle, and where the server came back with what it was a moment
before. So the last steps, and the messages that they put back, are kept for `GRACE_S`.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tidegate.act.spill.store import Piece, Store

#: A server with `appendfsync everysec` may come back with what it held two seconds ago.
GRACE_S = 10.0


class Kind(StrEnum):
    """What a step does with the messages from the number `first` to the one before `after`."""

    TAKE = "take"
    """The newest of the list's old part go to the disk, before the oldest there."""
    BACK = "back"
    """The same, with messages that were put back a moment ago and are on the disk still."""
    LATE = "late"
    """What was published since goes to the disk, behind the newest there."""
    FEED = "feed"
    """The oldest on the disk go back to the list."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step; `at` is seconds since the epoch."""

    number: int
    kind: Kind
    first: int
    after: int
    at: float


@dataclass(slots=True)
class _State:
    step: int
    next: int
    later: list[Step] = field(default_factory=list)


class Log:
    """The steps of one list, and its messages in the store. Not for two threads; every change is on disk when it returns."""

    def __init__(self, store: Store, list_key: str) -> None:
        self._store = store
        self._list = list_key
        self._state = _read(store.noted(f"steps:{list_key}"))

    @property
    def step(self) -> int:
        """The number of the last step."""
        return self._state.later[-1].number if self._state.later else self._state.step

    @property
    def next(self) -> int:
        """The number of the oldest message that is not back in the list."""
        return _after_steps(self._state, self._state.later)

    @property
    def parked(self) -> int:
        """How many messages are on the disk and not back in the list."""
        return self._store.span(self._list)[1] - self.next

    def oldest(self, most: int) -> Piece | None:
        """The oldest messages that are not back in the list."""
        return self._store.oldest(self._list, most, self.next)

    def put_back_last(self, most: int) -> Sequence[bytes]:
        """The newest of the messages that were put back and are on the disk still, oldest first."""
        first, after = max(self._store.span(self._list)[0], self.next - most), self.next
        found: list[bytes] = []
        while first < after and (piece := self._store.oldest(self._list, after - first, first)) is not None:
            found += piece.elements
            first = piece.after
        return found

    def will_take(self, elements: Sequence[bytes]) -> None:
        """The next step takes these, oldest first."""
        if self._store.span(self._list)[0] < self.next:
            # Strangers stand above what was put back: that is in the list, and can't be counted any more.
            self._forget_put_back()
        first = self._store.span(self._list)[0]
        self._will(Kind.TAKE, first - len(elements), first)
        self._store.prepend(self._list, elements)

    def will_take_back(self, count: int) -> None:
        """The next step takes the last `count` that were put back."""
        self._will(Kind.BACK, self.next - count, self.next)

    def will_come_late(self) -> None:
        """The next step moves what is added by `add_late`."""
        after = self._store.span(self._list)[1]
        self._will(Kind.LATE, after, after)

    def add_late(self, elements: Sequence[bytes]) -> None:
        """Adds to the step begun by `will_come_late`, oldest first."""
        self._store.append(self._list, elements)

    def will_feed(self, count: int) -> None:
        """The next step puts the oldest `count` back."""
        self._will(Kind.FEED, self.next, self.next + count)

    def undo_to(self, step: int) -> int:
        """Forgets the steps after that number, which were not done: how many there were."""
        gone = [one for one in self._state.later if one.number > step]
        for one in reversed(gone):
            self._state.later.pop()
            self._undo(one)
        if gone:
            self._write()
        return len(gone)

    def forget_old(self, now: float) -> None:
        """Lets go of what was put back longer than the grace ago."""
        old = [one for one in self._state.later[:-1] if now - one.at > GRACE_S]
        if not old:
            return
        self._state.next, self._state.step = _after_steps(self._state, old), old[-1].number
        del self._state.later[: len(old)]
        self._write()
        nexts = [_after_steps(self._state, self._state.later[:count]) for count in range(len(self._state.later) + 1)]
        self._store.forget_before(self._list, min(nexts))

    def begin_anew(self, step: int) -> None:
        """Whatever is on the disk and not back in the list is still to be put back, and the server counts from `step`."""
        if not self.step and self._store.span(self._list) == (0, 0):
            return
        # The last step may have been noted, and its messages not yet stored.
        self._state = _State(step, max(self.next, self._store.span(self._list)[0]))
        self._write()
        self._store.forget_before(self._list, self._state.next)

    def _undo(self, step: Step) -> None:
        # First the messages, then the note: a kill in between undoes them again, which changes nothing.
        if step.kind is Kind.TAKE:
            self._store.forget_before(self._list, step.after)
        elif step.kind is Kind.LATE:
            self._store.forget_from(self._list, step.first)

    def _will(self, kind: Kind, first: int, after: int) -> None:
        self._state.later.append(Step(self.step + 1, kind, first, after, time.time()))
        self._write()

    def _forget_put_back(self) -> None:
        self._state = _State(self.step, self.next)
        self._write()
        self._store.forget_before(self._list, self._state.next)

    def _write(self) -> None:
        steps = [(one.number, one.kind.value, one.first, one.after, one.at) for one in self._state.later]
        said = {"step": self._state.step, "next": self._state.next, "later": steps}
        self._store.note(f"steps:{self._list}", json.dumps(said))


def _after_steps(state: _State, steps: Sequence[Step]) -> int:
    """The number of the oldest message that is not back in the list, after those steps."""
    at = state.next
    for one in steps:
        if one.kind is Kind.FEED:
            at = one.after
        elif one.kind is not Kind.LATE:
            at = one.first
    return at


def _read(noted: str | None) -> _State:
    if noted is None:
        return _State(0, 0)
    said = json.loads(noted)
    later = [Step(number, Kind(kind), first, after, at) for number, kind, first, after, at in said["later"]]
    return _State(said["step"], said["next"], later)
