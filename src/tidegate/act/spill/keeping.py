"""One list whose overflow waits on disk: what the server knows of it, what the disk holds, and how one follows the other.

The numbers of the server decide (hash `kept`): messages below `fed` are out of the disk's hand, those from `taken` on are
still in the side list. What the disk has beyond that was written before a kill, and goes. Parking: to the disk, committed,
then one script that compares `taken` and pops. Feeding: one script that compares `fed` and pushes; the disk forgets later,
for a server that saves once a second can go back by one.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tidegate.act.spill.store import Piece, Store
from tidegate.broker.client import Broker, Refusal, as_text
from tidegate.broker.scripts import KEEP_FEED, KEEP_NOTE, KEEP_PARK, Argument, Script, run_by
from tidegate.broker.spilled import FRONT, KEPT, beside, side_list
from tidegate.errors import CannotLook, StoreFull

#: So many stay in the side list as long as nothing is on disk, and come back at a time.
RESERVE = 1000
_PORTION = 1000
_PORTION_BYTES = 4 << 20
#: How long the disk remembers what it gave back.
GRACE_S = 60.0

Said = Callable[[str], None]


class NotOurs(Exception):
    """Another keeper acts, or another disk has this list's messages; in a sentence."""


@dataclass(slots=True)
class Kept:
    """One list: its key, its queue, and how far its messages are. Not for two threads at a time."""

    broker: Broker
    store: Store
    key: str
    queue: str
    token: str
    where: str
    say: Said
    parked: int = 0
    fed: int = 0
    #: (when, number) of what was given back.
    _given: deque[tuple[float, int]] = field(default_factory=deque)
    _known: bool = False

    @property
    def on_disk(self) -> int:
        """How many messages wait on the disk, as far as is known."""
        first, after = self.store.span(self.key)
        return after - max(first, self._fed_number())

    def turn(self, now_s: float, saved_s: float) -> None:
        """Parks what is over, feeds what there is room for, forgets what was fed long ago.

        `saved_s` is until when (monotonic) everything the server did is safe on its own disk. Costs four commands where
        nothing is to be done. Raises NotOurs, CannotLook, and the store's errors.
        """
        side, front, said = self._look()
        if not self._known:
            self._reconcile(said, now_s)
        self._forget_purged(said)
        if side > RESERVE or (side and said.get("full")):
            self._park(side, said)
        if front < RESERVE and self.on_disk > 0:
            self._feed(front, now_s)
        self._forget(now_s, saved_s)
        if said and not front and side <= RESERVE:
            self._end()

    def lost_touch(self) -> None:
        """The server may have gone back meanwhile: what it knows is asked anew."""
        self._known = False

    # Parking

    def _park(self, side: int, said: dict[str, str]) -> None:
        """The oldest of the side list, to the disk; all but the reserve."""
        while side > RESERVE:
            elements = self._oldest(side - RESERVE)
            if not elements:
                return
            try:
                first, _ = self.store.append(self.key, elements)
            except StoreFull as error:
                self._full(said, str(error))
                return
            if not self._parked(first, elements):
                return
            side -= len(elements)
        if said.get("full"):
            self._note(full="")

    def _parked(self, first: int, elements: Sequence[bytes]) -> bool:
        arguments: list[Argument] = [self.where, first, len(elements), _sha1(elements[0]), _sha1(elements[-1])]
        word, *more = self._run(KEEP_PARK, *arguments)
        if word == "parked" or word == "unnoted":
            self.parked += len(elements)
            self._known = word == "parked"
            return True
        self.store.forget_from(self.key, first)
        if word == "counted":
            self.say(f"{self.key}: the server has {as_text(more[0])} messages parked, the disk {first}; asking again")
        self.lost_touch()
        return False

    def _oldest(self, most: int) -> list[bytes]:
        answer = self.broker.one("LRANGE", self._side, -min(most, _PORTION), -1)
        elements = list(reversed(_answered(answer)))
        weight = 0
        for at, element in enumerate(elements):
            weight += len(element)
            if at and weight > _PORTION_BYTES:
                return elements[:at]
        return elements

    def _full(self, said: dict[str, str], why: str) -> None:
        if not said.get("full"):
            self.say(f"{self.key}: {why}; what comes now stays in Redis")
            self._note(full="1")

    # Feeding

    def _feed(self, front: int, now_s: float) -> None:
        weight = 0
        while front < RESERVE and weight < _PORTION_BYTES:
            piece = self.store.oldest(self.key, _PORTION, self._fed_number())
            if piece is None:
                return
            if not self._gave(piece, now_s):
                return
            front += len(piece.elements)
            weight += sum(map(len, piece.elements))

    def _gave(self, piece: Piece, now_s: float) -> bool:
        word, *_ = self._run(KEEP_FEED, self.queue, piece.first, *piece.elements)
        if word != "fed":
            self.lost_touch()
            return False
        self.fed += len(piece.elements)
        self.store.note(f"fed:{self.key}", str(piece.after))
        self._given.append((now_s, piece.after))
        return True

    def _fed_number(self) -> int:
        return int(self.store.noted(f"fed:{self.key}") or 0)

    # Forgetting

    def _forget(self, now_s: float, saved_s: float) -> None:
        before = None
        while self._given and self._given[0][0] < min(now_s - GRACE_S, saved_s):
            before = self._given.popleft()[1]
        if before is not None:
            self.store.forget_before(self.key, before)

    def _forget_purged(self, said: dict[str, str]) -> None:
        """The queue was purged: what is on disk goes as well."""
        purged = _number(said.get("forget"))
        if purged is None:
            return
        fed = max(purged, _number(said.get("fed")) or 0)
        self.store.note(f"fed:{self.key}", str(fed))
        self.store.forget_before(self.key, fed)
        self._note(fed=fed, forget="")
        self.say(f"{self.key}: the queue was purged, and what waited on the disk went with it")

    def _end(self) -> None:
        """Where nothing waits on the disk, and nothing is to be remembered, nothing is noted on the server either."""
        first, after = self.store.span(self.key)
        if first == after:
            self._run(KEEP_NOTE, "1")

    # What is known

    def _reconcile(self, said: dict[str, str], now_s: float) -> None:
        """Makes the disk's numbers those of the server, after a start or an outage."""
        first, after = self.store.span(self.key)
        store = said.get("store")
        if store and store != self.store.id:
            raise NotOurs(
                f"{self.key} waits on another disk, {said.get('where') or 'nobody knows where'}: run tidegate keep "
                "there, or it can't come back in order"
            )
        taken, fed = _number(said.get("taken")), _number(said.get("fed"))
        if taken is None or fed is None:
            self._server_forgot(first, after)
        else:
            self._agree(taken, fed)
        if (given := self._fed_number()) > self.store.span(self.key)[0]:
            self._given.append((now_s, given))
        self._known = True

    def _server_forgot(self, first: int, after: int) -> None:
        """Nothing is known there: nothing was ever parked, or the server lost its memory."""
        if first == after:
            return
        fed = min(max(first, self._fed_number()), after)
        if fed == after:
            self.store.forget_before(self.key, after)
            return
        if self._still_in_side(fed):
            # The first that were ever parked, or were again: written, and then came the kill.
            self.store.forget_from(self.key, fed)
            return
        self._note(store=self.store.id, where=self.where, taken=after, fed=fed)
        self.say(f"{self.key}: the server knows nothing of {after - fed:,} messages on this disk; they come back")

    def _agree(self, taken: int, fed: int) -> None:
        first, after = self.store.span(self.key)
        if after > taken and self._still_in_side(taken):
            self.store.forget_from(self.key, taken)
        elif after > taken:
            # Popped by a script whose number a full server did not take.
            self._note(taken=after)
        if after < taken:
            self.say(
                f"{self.key}: {taken - after:,} messages are missing on this disk: was the file replaced by an older one?"
            )
            self._note(taken=after, fed=min(fed, after))
        if fed < first:
            self.say(
                f"{self.key}: the server went back to before the disk forgot; {first - fed:,} messages may be lost"
            )
            self._note(fed=first)
        self.store.note(f"fed:{self.key}", str(min(max(fed, first), max(after, first))))

    def _still_in_side(self, number: int) -> bool:
        piece = self.store.oldest(self.key, 1, number)
        return piece is None or self.broker.one("LINDEX", self._side, -1) == piece.elements[0]

    def _look(self) -> tuple[int, int, dict[str, str]]:
        prefix = self.broker.layout.prefix
        side, front, said = (
            _answered(answer)
            for answer in self.broker.ask(
                ("LLEN", self._side),
                ("LLEN", beside(prefix, FRONT, self.key)),
                ("HGETALL", beside(prefix, KEPT, self.key)),
            )
        )
        texts = [as_text(part) for part in said]
        return int(side), int(front), dict(zip(texts[::2], texts[1::2], strict=True))

    def _note(self, **fields: Argument) -> None:
        self._run(KEEP_NOTE, "", *(part for pair in fields.items() for part in pair))

    def _run(self, script: Script, *arguments: Argument) -> list[Any]:
        head = [self.broker.layout.prefix, self.token, self.key, self.store.id]
        [answer] = run_by(self.broker.ask, script, [], [*head, *arguments])
        word, *more = _answered(answer)
        if as_text(word) == "waits":
            raise NotOurs("another keeper acts now")
        if as_text(word) == "foreign":
            raise NotOurs(f"{self.key} waits on another disk, {as_text(more[0])}")
        return [as_text(word), *more]

    @property
    def _side(self) -> str:
        return side_list(self.broker.layout.prefix, self.key)


def _answered(answer: Any) -> Any:
    if isinstance(answer, Refusal):
        raise CannotLook(f"the server refuses: {answer.why}")
    return answer


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.lstrip("-").isdecimal() else None


def _sha1(element: bytes) -> str:
    return hashlib.sha1(element, usedforsecurity=False).hexdigest()
