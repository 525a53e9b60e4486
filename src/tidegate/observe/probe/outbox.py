"""Slices on their way to Redis: written over and over while they grow, kept and merged while nobody takes them."""

from dataclasses import dataclass
from typing import NamedTuple

from tidegate.broker.ledger import LATE, LENGTHS_S, Stretch, minute_of
from tidegate.broker.records import encode_slice
from tidegate.facts.measured import Slice
from tidegate.facts.merging import coarsened, keep_keys

#: So long after its end a minute may still change; then it is final.
OPEN_S = 50.0
#: So long after its end a process may write a minute as its own. Later somebody may have merged it (merging.py).
FRESH_S = 90.0
#: Stretches of one length that wait for Redis; more are merged into longer ones.
_MOST_WAITING = 12
#: Records in one request.
_MOST_AT_ONCE = 20
_FEWEST_KEYS = 20
_MOST_FINAL = 3000


class Letter(NamedTuple):
    """One record to be written."""

    stretch: Stretch
    field: str
    record: bytes


@dataclass(slots=True)
class _Sending:
    """How far a stretch has got. `attempted`: it may have arrived, and nobody knows which state of it."""

    attempted: bool = False
    closed: bool = False


class Outbox:
    """What one process has counted and Redis may not have yet; `minutes` are the slices that counting goes on with."""

    def __init__(self, process: str, minutes: dict[int, Slice], keep_s: int, most_keys: int) -> None:
        self._process = process
        self._minutes = minutes
        self._keep_s = keep_s
        self._most_keys = most_keys
        #: What waits while Redis is away, merged.
        self._longer: dict[Stretch, Slice] = {}
        self._sending: dict[Stretch, _Sending] = {}
        #: Minutes that are final, and how often: a broker whose clock is set back lets one happen twice.
        self._final: dict[Stretch, int] = {}

    def letters(self, now_s: float, most_bytes: int) -> list[Letter]:
        """What is to be written now, oldest first: the minute that goes on, the one before twice, and what is late."""
        self._bound(now_s)
        waiting = dict(self._longer)
        waiting.update({Stretch(60, start_s): slice_ for start_s, slice_ in self._minutes.items()})
        wanted = [stretch for stretch in sorted(waiting, key=_end) if self._is_due(stretch, now_s)][:_MOST_AT_ONCE]
        return [self._letter(stretch, waiting[stretch], now_s, most_bytes) for stretch in wanted]

    def sent(self, letters: list[Letter], now_s: float) -> None:
        """They are in Redis."""
        for letter in letters:
            stretch = letter.stretch
            if now_s > stretch.end_s + OPEN_S:
                self._forget(stretch)
                self._note_final(stretch)
            else:
                state = self._sending.setdefault(stretch, _Sending())
                state.attempted, state.closed = True, now_s >= stretch.end_s

    def in_doubt(self, letters: list[Letter]) -> None:
        """They may be in Redis: nobody answered."""
        for letter in letters:
            self._sending.setdefault(letter.stretch, _Sending()).attempted = True

    def _is_due(self, stretch: Stretch, now_s: float) -> bool:
        state = self._sending.get(stretch)
        return state is None or not state.closed or now_s > stretch.end_s + OPEN_S

    def _letter(self, stretch: Stretch, slice_: Slice, now_s: float, most_bytes: int) -> Letter:
        keep_keys(slice_, self._most_keys)
        record = encode_slice(slice_)
        while len(record) > most_bytes and len(slice_.runs) > _FEWEST_KEYS:
            keep_keys(slice_, max(_FEWEST_KEYS, len(slice_.runs) * most_bytes // len(record) - 1))
            record = encode_slice(slice_)
        state = self._sending.get(stretch)
        again = self._final.get(stretch, 0)
        late = now_s > stretch.end_s + FRESH_S and not (stretch.length_s == 60 and state and state.attempted)
        field = self._process + (f".{again}" if again else "")
        return Letter(stretch, field + (LATE if late or again or stretch.length_s > 60 else ""), record)

    def _note_final(self, stretch: Stretch) -> None:
        self._final[stretch] = self._final.pop(stretch, 0) + 1
        if len(self._final) > _MOST_FINAL:
            del self._final[next(iter(self._final))]

    def _forget(self, stretch: Stretch) -> None:
        self._sending.pop(stretch, None)
        self._longer.pop(stretch, None)
        if stretch.length_s == 60:
            self._minutes.pop(stretch.start_s, None)

    def _bound(self, now_s: float) -> None:
        """Merges what has waited long into longer stretches, and forgets what nobody would keep."""
        for start_s in sorted(self._minutes)[:-3]:
            if len(self._minutes) > _MOST_WAITING and not self._in_doubt(Stretch(60, start_s)):
                self._merge_up(Stretch(60, start_s), self._minutes.pop(start_s))
        for length_s in LENGTHS_S[1:-1]:
            waiting = sorted(stretch for stretch in self._longer if stretch.length_s == length_s)
            for stretch in waiting[: max(0, len(waiting) - _MOST_WAITING)]:
                if not self._in_doubt(stretch):
                    self._merge_up(stretch, self._longer.pop(stretch))
        old = [one for one in (*self._longer, *map(minute_of, self._minutes)) if one.end_s < now_s - self._keep_s]
        # Beyond any outage: where answers are lost time and again, each leaves a minute in doubt.
        doubtful = sorted(one for one, state in self._sending.items() if state.attempted)
        for stretch in (*old, *doubtful[: max(0, len(doubtful) - 5 * _MOST_WAITING)]):
            self._forget(stretch)

    def _in_doubt(self, stretch: Stretch) -> bool:
        state = self._sending.get(stretch)
        return state is not None and state.attempted

    def _merge_up(self, stretch: Stretch, slice_: Slice) -> None:
        self._sending.pop(stretch, None)
        longer = stretch.above()[0]
        whole = self._longer.get(longer)
        parts = [slice_] if whole is None else [whole, slice_]
        if self._in_doubt(longer):
            # Its bytes must not change any more; what comes later waits in the next longer one.
            longer = longer.above()[0] if longer.above() else longer
            whole = self._longer.get(longer)
            parts = [slice_] if whole is None else [whole, slice_]
        self._longer[longer] = coarsened(parts, longer.start_s, longer.length_s)
        keep_keys(self._longer[longer], self._most_keys)


def _end(stretch: Stretch) -> tuple[int, int]:
    return stretch.end_s, stretch.length_s
