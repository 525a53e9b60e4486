"""One list through the filter: set aside, decided on from its oldest message on, and whole again at the end.

The order of what happens to a portion of messages: read and decided on; what goes is in the backup, on disk; then one
script drops it and puts the others where workers take them. While the disk writes a portion, the next one is read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tidegate.act.relief.acts import Acting
from tidegate.act.relief.addressing import addressed
from tidegate.act.relief.choosing import Chooser
from tidegate.act.relief.pace import Pace
from tidegate.act.relief.recording import Recorder
from tidegate.backup.batch import Batch
from tidegate.broker.client import Refusal, as_text
from tidegate.broker.reads import lengths, unreadable
from tidegate.broker.relief import ASIDE, hidden_list
from tidegate.broker.scripts import RELIEF_SPLICE, RELIEF_STEP, RELIEF_SWAP, run_by, sha1hex
from tidegate.errors import Refused
from tidegate.facts.unknown import known

#: Messages that are decided on before a list is set aside, so that workers have something to take at once.
_FIRST = 500
#: Chunks that are written to the backup together.
_CHUNKS = 8

#: What stands in a message that the gate guards.
_GUARDED = b'"tidegate"'

#: A list that held so many and is gone at the next step was not emptied by workers.
_VANISHED = "{:,} messages that stayed were in {!r}, which is gone: somebody deleted or renamed it meanwhile"

Told = Callable[[int], None]


@dataclass(slots=True)
class Chunk:
    """So many of the oldest messages that are set aside, and what is to become of them."""

    flags: bytes
    go: list[bytes]
    undecodable: int


@dataclass(slots=True)
class Portion:
    """Chunks that go to the backup in one piece."""

    first: int
    chunks: list[Chunk] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        """How many messages were decided on."""
        return sum(len(chunk.flags) for chunk in self.chunks)

    @property
    def go(self) -> list[bytes]:
        """What goes, oldest first."""
        return [element for chunk in self.chunks for element in chunk.go]


@dataclass(slots=True)
class ListFilter:
    """What is done to one list of a queue (its priority step). `to` is the list that gets what goes, or empty."""

    acting: Acting
    key: str
    queue: str
    step: int
    chooser: Chooser
    recorder: Recorder
    pace: Pace
    to_queue: str = ""
    to: str = ""
    told: Told = lambda count: None
    notes: list[str] = field(default_factory=list)

    def run(self) -> None:
        """Does all of it, from where it was left; costs one LRANGE and one script a chunk. Raises Refused, CannotLook."""
        if self.acting.field(f"at:{self.key}") == "":
            self._swap()
        if self.acting.field(f"at:{self.key}") == "filter":
            self._filter()
            splice(self.acting, self.key, self.queue, self.pace, "whole")

    def _swap(self) -> None:
        oldest = list(reversed(self._range(self.key, -_FIRST, -1)))
        choice = self.chooser.choose(oldest, 0, self._depth(self.key))
        decided = "".join(f"{sha1hex(element)}{flag:d}" for element, flag in zip(oldest, choice.flags, strict=True))
        word, *found = self.acting.run(RELIEF_SWAP, self.key, self.queue, len(oldest), decided)
        if word == "swapped" and choice.undecodable:
            kept = [element for element, flag in zip(oldest, choice.flags, strict=True) if not flag]
            odd = self.chooser.choose(kept[len(kept) - found[1] :], 0, self._depth(self._aside)).undecodable
            self.acting.note(undecodable=self.acting.number("undecodable") + odd)
        if word == "taken":
            raise Refused(
                f"{hidden_list(self._prefix, ASIDE, self.key)} is there already, of an act that nothing is known of: "
                "nothing was done. Rename that key to the list it belongs to, when no act runs"
            )

    def _filter(self) -> None:
        left, done = self._depth(self._aside), self.acting.number(f"done:{self.key}")
        ahead: Portion | None = None
        while left or ahead:
            portion = self._read(left, ahead.length if ahead else 0, done + (ahead.length if ahead else 0))
            if ahead is not None:
                self.recorder.wait()
                left = self._apply(ahead, left)
                done += ahead.length
            if portion is not None:
                self.recorder.append(self._batch(portion))
            elif ahead is None:
                return
            ahead = portion

    def _batch(self, portion: Portion) -> Batch:
        return Batch(queue=self.queue, step=self.step, positions=portion.positions, elements=portion.go)

    def _read(self, left: int, skip: int, first: int) -> Portion | None:
        """The oldest messages that are not read yet, decided on."""
        portion, offset = Portion(first), skip
        while offset < left and len(portion.chunks) < _CHUNKS:
            count = min(self.pace.chunk, left - offset)
            oldest = list(reversed(self._range(self._aside, -offset - count, -offset - 1)))
            if not oldest:
                break
            place = first + offset - skip
            choice = self.chooser.choose(oldest, place, first - skip + left)
            go = [at for at, flag in enumerate(choice.flags) if flag]
            portion.chunks.append(Chunk(_said(choice.flags, oldest), [oldest[at] for at in go], choice.undecodable))
            portion.positions += [place + at for at in go]
            offset += len(oldest)
        return portion if portion.chunks else None

    def _apply(self, portion: Portion, left: int) -> int:
        """How many are left set aside afterwards."""
        for chunk in portion.chunks:
            word, found, missed = self._step(chunk, left)
            if word == "changed":
                raise Refused(
                    f"somebody else changed {self._aside}: {left:,} messages were expected there, {found:,} came. "
                    f"Nothing more was done; tidegate relief resume {self.acting.id} goes on with what is there"
                )
            left = found
            if missed:
                self.notes.append(_VANISHED.format(missed, self.key))
            self.told(len(chunk.flags))
        return left

    def _step(self, chunk: Chunk, left: int) -> tuple[str, int, int]:
        moved = [addressed(element, self.to_queue) for element in chunk.go] if self.to else []
        weight = sum(map(len, chunk.go))
        arguments = [self.key, self.queue, left, chunk.flags, self.to, weight, chunk.undecodable, *moved]
        word, found, *missed = self._paced(RELIEF_STEP, arguments)
        return word, int(found), int(missed[0]) if missed else 0

    def _paced(self, script: Any, arguments: Sequence[Any]) -> list[Any]:
        return paced(self.acting, self.pace, script, arguments)

    def _range(self, key: str, first: int, last: int) -> Sequence[bytes]:
        answer = self.pace.ask(self.acting.broker, ("LRANGE", key, first, last))
        if isinstance(answer, Refusal):
            raise unreadable(self.acting.broker, key, answer)
        return answer  # type: ignore[no-any-return]

    def _depth(self, key: str) -> int:
        depth = lengths(self.acting.broker, [key])[0]
        if not known(depth):
            raise Refused(f"{key} can't be counted: {depth.why}")
        return depth

    @property
    def _prefix(self) -> str:
        return self.acting.broker.layout.prefix

    @property
    def _aside(self) -> str:
        return hidden_list(self._prefix, ASIDE, self.key)


_AS_DIGITS = bytes([48, 49]) + bytes(range(2, 256))


def _said(flags: bytes, oldest: Sequence[bytes]) -> bytes:
    """The flags as the script reads them: 0 stays, 1 goes, 2 goes and the gate may know of it."""
    digits = bytearray(flags.translate(_AS_DIGITS))
    for at, flag in enumerate(flags):
        if flag and _GUARDED in oldest[at]:
            digits[at] = 50
    return bytes(digits)


def splice(acting: Acting, key: str, queue: str, pace: Pace, afterwards: str) -> None:
    """The list is whole again, in the order of age; one script for each chunk of what is still set aside.

    `afterwards` is what the act says of the list from then on: `whole`, `settled`, or nothing where it begins anew.
    """
    left = 1
    while left:
        _, left = paced(acting, pace, RELIEF_SPLICE, [key, queue, pace.chunk, afterwards])


def paced(acting: Acting, pace: Pace, script: Any, arguments: Sequence[Any]) -> list[Any]:
    """The answer of a script that takes the server some time; one round trip, two where it is not known there."""
    whole = [acting.broker.layout.prefix, acting.id, acting.token, *arguments]
    [answer] = run_by(lambda command: [pace.ask(acting.broker, command)], script, [], whole)
    said = acting.checked(answer)
    return [as_text(said[0]), *said[1:]]
