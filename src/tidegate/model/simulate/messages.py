"""Messages of a simulation, the tasks they ask for, and the marks that overlap policies look at."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidegate.facts.overlap import Overlap, Payload, Scope
from tidegate.facts.scenario import TaskLoad
from tidegate.model.simulate.drawing import Draw, Uniforms
from tidegate.model.simulate.tally import Batches, Durations

if TYPE_CHECKING:
    from tidegate.model.simulate.hosts import Host
    from tidegate.model.simulate.lines import Line
    from tidegate.model.simulate.sources import Source


@dataclass(slots=True)
class Mark:
    """How many messages under one key were published and not started (`waiting`), or not ended (`alive`).

    Of a firing in scope `firing` they are all its messages, and `of` is the entry's mark, which counts its firings.
    """

    waiting: int = 0
    alive: int = 0
    of: "Mark | None" = None
    #: The pending one that `replace` gives a newer payload.
    pending: "Message | None" = None

    def admits(self, overlap: Overlap, scope: Scope) -> bool:
        """True where another one may be published: `buffer_one` lets one firing wait behind the one in progress."""
        if overlap is Overlap.SKIP:
            return not self.alive
        return self.alive < 2 if scope is Scope.FIRING else not self.waiting

    def began(self, message: "Message") -> None:
        """One of them started."""
        self.waiting -= 1
        self._is_past(message)

    def ended(self, message: "Message", *, started: bool) -> None:
        """One of them is over."""
        self.alive -= 1
        if not started:
            self.waiting -= 1
        self._is_past(message)
        if self.of is not None and not self.alive:
            self.of.alive -= 1

    def replaced(self, message: "Message", again: "Message") -> None:
        """The pending one came back from a host that died."""
        for mark in (self, self.of):
            if mark is not None and mark.pending is message:
                mark.pending = again

    def _is_past(self, message: "Message") -> None:
        for mark in (self, self.of):
            if mark is not None and mark.pending is message:
                mark.pending = None


class Kind:
    """A task, and what was counted of it."""

    def __init__(self, number: int, load: TaskLoad, line: "Line", step: int, draw: Draw, chance: Uniforms) -> None:
        self.number, self.load, self.line, self.step, self.draw, self.chance = number, load, line, step, draw, chance
        self.late = load.acks_late
        #: Task, messages surely published, and the chance of one more.
        self.children: list[tuple[Kind, int, float]] = []
        self.leaf = not load.children
        self.bears = bool(load.children or load.retry)
        self.marks: dict[tuple[int, int], Mark] | None = {} if load.overlap is not Overlap.ALLOW_ALL else None
        self.waits, self.runs = Durations(), Durations()
        self.published = self.duplicated = self.done = self.retried = self.lost = self.expired = 0
        self.skipped: Counter[str] = Counter()
        self.throughput = Batches()
        #: Published and not started, at the end of every batch.
        self.pending: list[int] = []
        self._started = 0
        self._done_before = 0

    def fold(self, length_s: float, *, measured: bool) -> None:
        """The end of a batch of that length."""
        self._started += len(self.waits.fresh)
        self.pending.append(self.published + self.duplicated - self._started - self.expired)
        self.waits.fold(measured=measured)
        self.runs.fold(measured=measured)
        if measured:
            self.throughput.add(self.done - self._done_before, length_s)
        self._done_before = self.done


class Message:
    """One message. `place` tells the children of one firing apart; `captured_at` is when its payload was read.

    `tag` is its delivery tag: a message that was put back keeps it, so whoever acknowledges one acknowledges both.
    """

    __slots__ = (
        "captured_at", "expires_at", "host", "kind", "marks", "place", "published_at", "source", "started_at", "step",
        "tag", "tries",
    )  # fmt: skip

    def __init__(
        self,
        kind: Kind,
        source: "Source",
        now: float,
        place: int,
        step: int,
        expires_at: float,
        marks: tuple[Mark, ...],
    ) -> None:
        self.kind, self.source, self.place, self.step = kind, source, place, step
        self.published_at = self.captured_at = now
        self.expires_at, self.marks = expires_at, marks
        self.started_at = 0.0
        self.tries = 0
        self.tag: object = self
        #: The live host that holds or runs it.
        self.host: Host | None = None

    def again(self) -> "Message":
        """The same message, as it lies in the queue once more."""
        copy = Message(self.kind, self.source, self.published_at, self.place, self.step, self.expires_at, self.marks)
        copy.captured_at, copy.tries, copy.tag = self.captured_at, self.tries, self.tag
        return copy


def keep_away(mark: Mark, overlap: Overlap, payload: Payload, now: float) -> str:
    """Gives the pending message the newer payload where that is wanted; the rule that kept one away, as it is counted."""
    if payload is Payload.REPLACE and mark.pending is not None:
        mark.pending.captured_at = now
    return overlap.value
