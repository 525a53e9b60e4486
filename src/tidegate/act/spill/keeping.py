"""One list whose overflow waits on disk: what the server knows of it, what the disk holds, and how one follows the other.

The numbers of the server decide (hash `kept`): messages below `fed` are out of the disk's hand, those from `taken` on are
still in the side list. What the disk has beyond that was written before a kill, and goes, whatever workers took from the
side list meanwhile; only of a server that may have gone back it is looked for there. So the hash is there before the
first message is on the disk. Parking: to the disk, committed, then one script that compares `taken` and pops. Feeding: one
script that compares `fed` and pushes; the disk forgets later, for a server that saves once a second can go back by one.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from tidegate.act.spill.store import Piece, Store
from tidegate.backup.batch import fitting
from tidegate.broker.client import Broker, Refusal, as_text
from tidegate.broker.scripts import KEEP_FEED, KEEP_NOTE, KEEP_PARK, Argument, Script, run_by, sha1hex
from tidegate.broker.spilled import FRONT, KEPT, beside, side_list
from tidegate.errors import CannotLook, StoreFull

#: So many stay in the side list as long as nothing is on disk, and come back at a time.
RESERVE = 1000
_PORTION = 1000
_PORTION_BYTES = 4 << 20
#: In so many portions of the disk the oldest message of a side list is looked for.
_MOST_SOUGHT = 50
#: How long the disk remembers what it gave back.
GRACE_S = 60.0

Said = Callable[[str], None]


class NotOurs(Exception):
    """Another keeper acts, or another disk has this list's messages; in a sentence."""


@dataclass(frozen=True, slots=True)
class Run:
    """One life of a server process. `goes_back`: what a later one knows may be less than this one answered."""

    id: str
    goes_back: bool = True


@dataclass(slots=True)
class Kept:
    """One list: its key, its queue, and how far its messages are. Not for two threads at a time."""

    broker: Broker
    run: Run
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
        if not self._known or (self.on_disk and not said.get("taken")):
            self._reconcile(said, now_s)
            if not self._known:
                return
            side, front, said = self._look()
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
        if not said.get("taken"):
            self._begin()
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

    def _begin(self) -> None:
        """A kill from here on finds the server knowing that nothing is parked yet. A full server does not take it."""
        after = self.store.span(self.key)[1]
        self._note(store=self.store.id, where=self.where, taken=after, fed=after)
        self.store.note(f"fed:{self.key}", str(after))

    def _parked(self, first: int, elements: Sequence[bytes]) -> bool:
        word, *more = self._popped(first, elements)
        if word == "full":
            # Popped it would be all the same; a kill before the number is there finds this.
            self.store.note(f"unnoted:{self.key}", str(first))
            word, *more = self._popped(first, elements, "1")
        if word == "parked" or word == "unnoted":
            self.parked += len(elements)
            self._known = word == "parked"
            return self._known
        self.store.forget_from(self.key, first)
        if word == "counted":
            self.say(f"{self.key}: the server has {as_text(more[0])} messages parked, the disk {first}; asking again")
        self.lost_touch()
        return False

    def _popped(self, first: int, elements: Sequence[bytes], unnoted: str = "") -> list[Any]:
        seen = (len(elements), sha1hex(elements[0]), sha1hex(elements[-1]))
        return self._run(KEEP_PARK, self.where, first, *seen, unnoted)

    def _oldest(self, most: int) -> Sequence[bytes]:
        answer = self.broker.one("LRANGE", self._side, -min(most, _PORTION), -1)
        return fitting(_answered(answer)[::-1], _PORTION, _PORTION_BYTES)

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
        self._known = True
        if taken is None or fed is None:
            self._server_forgot(first, after)
        else:
            self._agree(taken, fed)
        if (given := self._fed_number()) > self.store.span(self.key)[0]:
            self._given.append((now_s, given))
        if self._known and self.store.noted(f"run:{self.key}") != self.run.id:
            self.store.note(f"run:{self.key}", self.run.id)

    def _server_forgot(self, first: int, after: int) -> None:
        """Nothing is known there: nothing is on disk, or the server lost its memory."""
        if first == after:
            return
        # Of a server that went back to before anything was parked also that is in the side list which was given back since.
        again = self._number_in_side(first)
        fed = min(max(first, self._fed_number()), after) if again is None else again
        if fed == after:
            self.store.forget_before(self.key, after)
            return
        self.store.note(f"fed:{self.key}", str(self._take_up(fed, fed)))

    def _agree(self, taken: int, fed: int) -> None:
        first, after = self.store.span(self.key)
        if after > taken and self._is_certain(taken):
            self.store.forget_from(self.key, taken)
            after = taken
        elif after > taken:
            fed = self._take_up(taken, fed)
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

    def _is_certain(self, taken: int) -> bool:
        """Whether what the server has as `taken` is all that was ever popped."""
        same = self.run.id != "" and self.store.noted(f"run:{self.key}") == self.run.id
        return (same or not self.run.goes_back) and self.store.noted(f"unnoted:{self.key}") != str(taken)

    def _take_up(self, taken: int, fed: int) -> int:
        """Parks again what the disk has from `taken` on and the side list as well; the rest is on the disk alone. The new `fed`.

        Where the disk had nothing to give, workers may have taken the first of them from the side list.
        """
        number, after = self._number_in_side(taken), self.store.span(self.key)[1]
        if number is not None:
            taken, fed = number, number if fed == taken else fed
            self._note(store=self.store.id, where=self.where, taken=taken, fed=fed)
            taken = self._parked_again(taken)
        if self._known and taken < after:
            self.say(f"{self.key}: the server knows nothing of {after - taken:,} messages on this disk; they come back")
            self._note(store=self.store.id, where=self.where, taken=after, fed=fed)
        return fed

    def _parked_again(self, number: int) -> int:
        while (piece := self.store.oldest(self.key, _PORTION, number)) is not None:
            waiting = self._oldest(len(piece.elements))
            both = list(takewhile(lambda pair: pair[0] == pair[1], zip(waiting, piece.elements, strict=False)))
            if not both:
                return number
            if self._popped(number, [one for one, _ in both])[0] != "parked":
                self.lost_touch()
                return number
            number += len(both)
        return number

    def _number_in_side(self, since: int) -> int | None:
        """The number that the oldest of the side list has on the disk, None where it is not there."""
        waiting = self.broker.one("LINDEX", self._side, -1)
        for _ in range(_MOST_SOUGHT if isinstance(waiting, bytes) else 0):
            piece = self.store.oldest(self.key, _PORTION, since)
            if piece is None:
                return None
            if waiting in piece.elements:
                return piece.first + piece.elements.index(waiting)
            since = piece.after
        return None

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
        """A server that is full takes nothing; then what is known there is asked again at the next turn."""
        word, *_ = self._run(KEEP_NOTE, "", *(part for pair in fields.items() for part in pair))
        if word == "full":
            self.lost_touch()

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
