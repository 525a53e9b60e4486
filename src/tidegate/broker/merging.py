"""Merging old stretches into longer ones, and keeping the whole below its cap; one process at a time does it.

What goes on is explained in ledger.py. Every step writes the merged slice with one HSET before it removes anything,
so at any kill a reader counts all of it, once. No MULTI: at its memory limit Redis 7 refuses them all.
"""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tidegate.broker import ledger
from tidegate.broker.client import Broker
from tidegate.broker.ledger import MERGED, Record, Stretch, stretch_key
from tidegate.broker.reads import batched
from tidegate.broker.records import decode_worker, encode_slice
from tidegate.facts.merging import coarsened, keep_keys
from tidegate.facts.unknown import known

#: So long after its end a minute is final in every process that can reach the server (outbox.py: 90 s).
SETTLED_S = 150
#: Ages at which stretches are merged into those of the next length, while there is room.
HOLD_S = {300: 600, 1800: 3600, 7200: 6 * 3600, 21600: 24 * 3600}
#: Whoever has the lock merges for so long at most; then the lock goes by itself, and the next one may.
TURN_S = 20.0
_TURN_WORK_S = 10.0
_MOST_SQUEEZES = 60
_FEWEST_KEYS = 50
_DROPPED = "stretches_dropped"
#: How long a worker that is gone stays listed.
_GONE_S = 3600.0


@dataclass(slots=True)
class Turn:
    """One turn of merging, at the broker's time `now_s`. `keep_s`, `most_bytes` and `most_keys` are the settings."""

    broker: Broker
    now_s: float
    keep_s: int
    most_bytes: int
    most_keys: int
    work_s: float = _TURN_WORK_S
    _until_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._until_s = time.monotonic() + self.work_s

    def run(self) -> None:
        """Forgets what is too old, merges what is due, and squeezes where the whole is too large."""
        layout = self.broker.layout
        self.broker.one("ZREMRANGEBYSCORE", ledger.stretches_key(layout), "-inf", self.now_s - self.keep_s)
        self._forget_workers()
        present = ledger.stretches(self.broker)
        self._settle(present)
        for target in _due(ledger.stretches(self.broker), self.now_s):
            self._merge(target)
        self._squeeze()

    def _settle(self, present: Iterable[Stretch]) -> None:
        """Merges the processes of every minute that is final."""
        settled = [stretch for stretch in present if stretch.end_s + SETTLED_S <= self.now_s]
        sizes = batched(self.broker, [("HLEN", stretch_key(self.broker.layout, stretch)) for stretch in settled])
        for stretch, size in zip(settled, sizes, strict=True):
            if isinstance(size, int) and size > 1:
                self._merge(stretch)

    def _merge(self, target: Stretch, most_keys: int | None = None) -> bool:
        """Makes one slice of all that lies in the target; False where the turn is over before.

        Where a longer slice holds the target already, what is there came late, and goes into that one.
        """
        target, found = self._inside(target)
        counting = [one for one in ledger.counting(found) if one.stored is not None]
        if counting and not self._write(target, counting, most_keys or self.most_keys):
            return False
        self._remove(target, [one for one in found if (one.stretch, one.field) != (target, MERGED)])
        return True

    def _inside(self, target: Stretch) -> tuple[Stretch, list[Record]]:
        present = ledger.stretches(self.broker)
        while True:
            inside = [one for one in present if target in (one, *one.above())]
            found = ledger.records(self.broker, [target, *inside])
            whole = [one.stretch for one in found if one.field == MERGED and one.stored is not None]
            longest = [one for one in target.above() if one in whole]
            if not longest:
                return target, [one for one in found if target in (one.stretch, *one.stretch.above())]
            target = longest[-1]

    def _write(self, target: Stretch, counting: list[Record], most_keys: int) -> bool:
        slices = [one.stored.slice for one in counting if one.stored is not None]
        whole = coarsened(slices, target.start_s, target.length_s)
        keep_keys(whole, most_keys)
        merged = {name for one in counting if one.stored is not None for name in one.stored.merged}
        merged.update(one.id for one in counting if one.is_late)
        try:
            record = encode_slice(whole, sorted(merged))
        except OverflowError:
            # Numbers that no probe wrote; they go with their keys.
            return False
        if time.monotonic() > self._until_s:
            return False
        written = self.broker.ask(*ledger.writing(self.broker.layout, target, MERGED, record, self.keep_s))
        return isinstance(written[0], int)

    def _remove(self, target: Stretch, found: list[Record]) -> None:
        """Takes away what the target's slice replaces: field by field, for something late may have come meanwhile."""
        fields: dict[Stretch, list[str]] = defaultdict(list)
        for one in found:
            if one.stored is not None:
                fields[one.stretch].append(one.field)
        layout = self.broker.layout
        for stretch, names in fields.items():
            key, index = stretch_key(layout, stretch), ledger.stretches_key(layout)
            _, left = self.broker.ask(("HDEL", key, *names), ("HLEN", key))
            if stretch != target and left == 0:
                *_, again = self.broker.ask(("ZREM", index, stretch.member), ("HLEN", key))
                if again:
                    self.broker.ask(("ZADD", index, stretch.end_s, stretch.member))

    def _squeeze(self) -> None:
        """Brings the whole below the cap: longer stretches earlier, then fewer keys, then the oldest goes."""
        for _ in range(_MOST_SQUEEZES):
            present = ledger.stretches(self.broker)
            weights = self._weights(present)
            if sum(weights.values()) <= self.most_bytes or time.monotonic() > self._until_s:
                return
            settled = [one for one in present if one.end_s + SETTLED_S <= self.now_s]
            target = _squeezable(present, self.now_s)
            if target is not None:
                done = self._merge(target)
            elif settled:
                done = self._lighten(settled, weights)
            else:
                return
            if not done:
                return

    def _weights(self, present: list[Stretch]) -> dict[str, int]:
        """What every key weighs; of a stretch that the server does not weigh, the size of its merged slice."""
        told = ledger.weights(self.broker, present)
        untold = [key for stretch in present if not known(told[key := stretch_key(self.broker.layout, stretch)])]
        sizes = batched(self.broker, [("HSTRLEN", key, MERGED) for key in untold])
        found = {key: size for key, size in zip(untold, sizes, strict=True) if isinstance(size, int)}
        return found | {key: one for key, one in told.items() if known(one)}

    def _lighten(self, settled: list[Stretch], weights: dict[str, int]) -> bool:
        """Halves the keys of the heaviest stretch; drops the oldest one where keys are few everywhere."""
        for stretch in sorted(settled, key=lambda one: -weights.get(stretch_key(self.broker.layout, one), 0)):
            keys = max((len(one.stored.slice.runs) for one in self._records(stretch) if one.stored), default=0)
            if keys > _FEWEST_KEYS:
                return self._merge(stretch, most_keys=max(_FEWEST_KEYS, keys // 2))
        return self._drop(min(settled, key=lambda one: one.end_s), settled)

    def _records(self, stretch: Stretch) -> list[Record]:
        return [one for one in ledger.records(self.broker, [stretch]) if one.stretch == stretch]

    def _drop(self, oldest: Stretch, settled: list[Stretch]) -> bool:
        """Lets the oldest go, and says so in the one after it, together with those that went before."""
        layout = self.broker.layout
        gone = 1 + sum(one.stored.slice.counts[_DROPPED] for one in self._records(oldest) if one.stored)
        self.broker.ask(("UNLINK", stretch_key(layout, oldest)), ("ZREM", ledger.stretches_key(layout), oldest.member))
        rest = [one for one in settled if one != oldest]
        if rest:
            following = min(rest, key=lambda one: one.end_s)
            counting = [one for one in self._records(following) if one.stored is not None]
            for one in counting[:1]:
                if one.stored is not None:
                    one.stored.slice.counts[_DROPPED] += gone
            return self._write(following, counting, self.most_keys)
        return True

    def _forget_workers(self) -> None:
        key = ledger.workers_key(self.broker.layout)
        reply = self.broker.one("HGETALL", key)
        if isinstance(reply, list):
            rows = zip(reply[::2], map(decode_worker, reply[1::2]), strict=True)
            old = [name for name, seen in rows if seen is None or seen.at_s < self.now_s - _GONE_S]
            if old:
                self.broker.one("HDEL", key, *old)


def _due(present: list[Stretch], now_s: float) -> list[Stretch]:
    """The longer stretches that are to be made of shorter ones: over for long enough. Shortest first, then oldest.

    A longer one that is due comes alone: it takes in all that is inside.
    """
    targets = {above for stretch in present for above in stretch.above()}
    due = {one for one in targets if one.end_s + HOLD_S[one.length_s] <= now_s}
    return sorted(one for one in due if not any(above in due for above in one.above()))


def _squeezable(present: list[Stretch], now_s: float) -> Stretch | None:
    """The longer stretch that can be made earlier than is due, of what is oldest for its length."""
    targets = {above for stretch in present for above in stretch.above()}
    over = [one for one in targets if one.end_s + SETTLED_S <= now_s]
    return max(over, key=lambda one: ((now_s - one.end_s) / one.length_s, -one.length_s), default=None)


def take_turn(broker: Broker, token: str) -> bool:
    """True where nobody else merges: for the next `TURN_S` nobody else will. One SET; the lock goes by itself."""
    reply = broker.one("SET", ledger.merging_key(broker.layout), token, "NX", "PX", int(TURN_S * 1000))
    return bool(reply == b"OK")
