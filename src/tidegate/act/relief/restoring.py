"""A backup put back into a queue: behind what is there, in order, each message once, however often the way is cut.

The act's hash counts how many messages of the file were passed; the script that pushes a portion compares and sets it.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tidegate.act.relief.acts import Acting, begin, claim, fields_of, kept_in
from tidegate.act.relief.addressing import addressed
from tidegate.act.relief.engine import bind
from tidegate.act.relief.filtering import paced
from tidegate.act.relief.flowing import Flow
from tidegate.act.relief.pace import MAX_STALL_MS, Pace
from tidegate.act.relief.receiving import must_be_able_to_receive
from tidegate.act.relief.sifting import Sieve, tags_in
from tidegate.backup.batch import Batch, fitting
from tidegate.backup.reader import BackupReader
from tidegate.broker.address import Address
from tidegate.broker.client import Broker, as_text, connect
from tidegate.broker.reads import server_time
from tidegate.broker.scripts import RELIEF_FEED
from tidegate.errors import CannotLook, Refused, TidegateError, UsageError
from tidegate.facts.backups import Restored
from tidegate.facts.relief import Act, Relieved, Selected, State
from tidegate.observe.census import Counting
from tidegate.units import count, plural

Progress = Callable[[int, int], None]
#: The weight that a portion of messages is first cut for.
_USUAL_BYTES = 1024.0
_PORTION_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be put back: where to (`to`, else where it came from), how fast, and what of it.

    `source` names the queue whose messages are meant, where the file holds several. With `rate_per_s` no more than so
    many a second, with `max_depth` only while fewer than that wait. `salvage` reads a damaged file.
    """

    to: str = ""
    source: str = ""
    rate_per_s: float | None = None
    max_depth: int | None = None
    skip_expired: bool = False
    salvage: bool = False
    max_stall_ms: float = MAX_STALL_MS


def look_at(
    address: Address, path: Path, wish: Wish, *, timeout_s: float = 5.0, progress: Progress | None = None
) -> Restored:
    """What would be put back; reads the file and the queue, and writes nothing."""
    began_s = time.monotonic()
    with BackupReader.open(path, salvage=wish.salvage) as reader, connect(address, timeout_s) as broker:
        source = _source(reader, path, wish)
        to = wish.to or source
        must_be_able_to_receive(broker, to)
        sieve, counting, found = _sieve(broker, to, wish), Counting(time.time()), Counter[str]()
        total = reader.count_of(source)
        for batch in _of(reader, source):
            sifted = sieve.sift(batch.elements)
            counting.add(sifted.goes)
            found.update(
                messages=len(batch.elements), goes=len(sifted.goes), there=sifted.there, expired=sifted.expired
            )
            if progress is not None:
                progress(found["messages"], max(total, found["messages"]))
        return Restored(
            id="",
            queue=to,
            source=source,
            file=str(path),
            messages=found["messages"],
            restored=found["goes"],
            there=found["there"],
            expired=found["expired"],
            by_task=tuple(Selected(name=row.name, count=row.count, bytes=row.bytes) for row in counting.rows()),
            elapsed_s=time.monotonic() - began_s,
            notes=_notes(reader),
        )


def put_back(
    address: Address,
    path: Path,
    wish: Wish,
    *,
    timeout_s: float = 5.0,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Restored:
    """Puts it back. Raises Refused where an act has the queue; where the server goes away, the act is interrupted.

    `stop` is asked between portions: once it holds, the act is interrupted as well, and `resume` goes on.
    """
    with BackupReader.open(path, salvage=wish.salvage) as reader:
        source = _source(reader, path, wish)
        with connect(address, timeout_s) as broker:
            must_be_able_to_receive(broker, wish.to or source)
            acting = begin(broker, Act.RESTORE, wish.to or source, **_said(wish, path, source, reader))
            return _Restoring(acting, reader, replace(wish, source=source), stop).done(address, timeout_s, progress)


def resume(
    address: Address,
    id_: str,
    *,
    timeout_s: float = 5.0,
    progress: Progress | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Restored:
    """Goes on with an interrupted restore; raises Refused where it may still be at work, or the file is another."""
    with connect(address, timeout_s) as broker:
        said = fields_of(broker, id_)
        path, wish = Path(said.get("backup", "")), _wish_in(said)
        with BackupReader.open(path, salvage=wish.salvage) as reader:
            if reader.checksum != said.get("checksum", ""):
                raise Refused(f"{path} is not the file that {id_} began with: put that one back in its place")
            acting = claim(broker, id_)
            return _Restoring(acting, reader, wish, stop).done(address, timeout_s, progress)


def give_up(address: Address, id_: str, *, timeout_s: float = 5.0) -> Restored:
    """Ends an interrupted restore where it is, so that the queue is free again: what was put back stays."""
    with connect(address, timeout_s) as broker:
        claim(broker, id_).end(State.DONE)
        return replace(
            _found(id_, fields_of(broker, id_)),
            notes=("what was put back stays in its queue; the rest is in the backup",),
        )


class _Restoring:
    """A backup on its way into a queue."""

    def __init__(self, acting: Acting, reader: BackupReader, wish: Wish, stop: Callable[[], bool]) -> None:
        self._acting, self._reader, self._wish = acting, reader, wish
        self._queue = acting.field("queue")
        self._passed = acting.number("passed")
        self._stop = stop

    def done(self, address: Address, timeout_s: float, progress: Progress | None) -> Restored:
        """All of it; what stops it leaves an act that `resume` takes up."""
        began_s, acting = time.monotonic(), self._acting
        try:
            with connect(address, timeout_s) as bystander:
                pace = Pace(bystander, self._wish.max_stall_ms, _USUAL_BYTES)
                ended = self._all(pace, progress)
        except CannotLook as error:
            raise type(error)(f"{error}; {self._so_far()}") from error
        except BaseException:
            _interrupted(address, timeout_s, acting)
            raise
        if ended:
            acting.end(State.DONE)
        else:
            acting.note(state=State.INTERRUPTED.value)
        return replace(
            _found(acting.id, fields_of(acting.broker, acting.id)),
            elapsed_s=time.monotonic() - began_s,
            worst_stall_ms=pace.worst_s * 1000,
            notes=_notes(self._reader),
        )

    def _so_far(self) -> str:
        return f"{plural(self._passed, 'message')} of the file passed so far: tidegate relief resume {self._acting.id}"

    def _all(self, pace: Pace, progress: Progress | None) -> bool:
        bind(self._acting.broker, self._queue)
        sieve, total = _sieve(self._acting.broker, self._queue, self._wish), self._acting.number("messages")
        flow = Flow(self._acting, self._queue, self._wish.rate_per_s, self._wish.max_depth, self._stop)
        before = 0
        for batch in _of(self._reader, self._wish.source):
            after = before + len(batch.elements)
            rest = batch.elements[max(0, self._passed - before) :]
            before = after
            while rest:
                room = flow.room(pace.chunk)
                if not room:
                    return False
                portion = fitting(rest, room, _PORTION_BYTES)
                flow.went(self._push(batch, portion, sieve, pace))
                rest = rest[len(portion) :]
                if progress is not None:
                    progress(self._passed, max(total, self._passed))
        return True

    def _push(self, batch: Batch, portion: Sequence[bytes], sieve: Sieve, pace: Pace) -> int:
        acting, sifted = self._acting, sieve.sift(portion)
        goes = sifted.goes
        if batch.queue != self._queue:
            goes = [addressed(element, self._queue) for element in goes]
        key, after = acting.broker.layout.list_of(self._queue, batch.step), self._passed + len(portion)
        counts = (self._passed, after, sifted.there, sifted.expired)
        word, *found = paced(acting, pace, RELIEF_FEED, [key, self._queue, *counts, *goes])
        if word == "passed":
            raise Refused(
                f"{count(self._passed)} messages of the file were expected to be passed, {as_text(found[0])} are: "
                f"tidegate relief resume {acting.id}"
            )
        self._passed = after
        return len(goes)


def relieved(found: Restored) -> Relieved:
    """The same in the words of all acts: what was put back was kept."""
    return Relieved(
        id=found.id,
        act=found.act,
        queue=found.queue,
        scanned=found.restored,
        kept=found.restored,
        backup=found.file,
        elapsed_s=found.elapsed_s,
        worst_stall_ms=found.worst_stall_ms,
        dry_run=found.dry_run,
        notes=found.notes,
    )


def _of(reader: BackupReader, source: str) -> Iterator[Batch]:
    """The batches of that queue, oldest first."""
    return (batch for batch in reader.batches_oldest_first() if batch.queue == source)


def _source(reader: BackupReader, path: Path, wish: Wish) -> str:
    """The queue whose messages are meant."""
    queues = list(dict.fromkeys(queue for queue, _ in reader.lists)) or [reader.header.queue]
    if wish.source and wish.source not in queues:
        raise UsageError(f"{path} holds no messages of {wish.source!r}: it holds {', '.join(map(repr, queues))}")
    if not wish.source and len(queues) > 1:
        raise UsageError(f"{path} holds messages of {', '.join(map(repr, queues))}: --only names one of them")
    return wish.source or queues[0]


def _sieve(broker: Broker, queue: str, wish: Wish) -> Sieve:
    return Sieve(tags_in(broker, queue), server_time(broker) if wish.skip_expired else None)


def _said(wish: Wish, path: Path, source: str, reader: BackupReader) -> dict[str, str | int | float]:
    said: dict[str, str | int | float] = {
        "backup": str(path.absolute()),
        "source": source,
        "messages": reader.count_of(source),
        "checksum": reader.checksum,
        "skip_expired": int(wish.skip_expired),
        "salvage": int(wish.salvage),
        "max_stall_ms": wish.max_stall_ms,
    }
    given = {"rate_per_s": wish.rate_per_s, "max_depth": wish.max_depth}
    return said | {name: value for name, value in given.items() if value is not None}


def _wish_in(said: Mapping[str, str]) -> Wish:
    return Wish(
        to=said.get("queue", ""),
        source=said.get("source", ""),
        rate_per_s=float(said["rate_per_s"]) if "rate_per_s" in said else None,
        max_depth=int(said["max_depth"]) if "max_depth" in said else None,
        skip_expired=said.get("skip_expired") == "1",
        salvage=said.get("salvage") == "1",
        max_stall_ms=float(said.get("max_stall_ms", MAX_STALL_MS)),
    )


def _found(id_: str, said: Mapping[str, str]) -> Restored:
    """What the act's hash says of it."""
    numbers = {name: int(said.get(name, 0)) for name in ("messages", "passed", "there", "expired")}
    return Restored(
        id=id_,
        state=State(said.get("state", State.RUNNING)),
        queue=said.get("queue", ""),
        source=said.get("source", ""),
        file=said.get("backup", ""),
        messages=numbers["messages"],
        restored=kept_in(said),
        there=numbers["there"],
        expired=numbers["expired"],
        left=numbers["messages"] - numbers["passed"],
        dry_run=False,
    )


def _interrupted(address: Address, timeout_s: float, acting: Acting) -> None:
    """Says that nobody is at work any more; on a connection of its own, for the other may be in the middle of an answer."""
    with suppress(TidegateError), connect(address, timeout_s) as broker:
        replace(acting, broker=broker).note(state=State.INTERRUPTED.value)


def _notes(reader: BackupReader) -> tuple[str, ...]:
    return tuple(f"damaged at byte {count(one.offset)}: {one.why}" for one in reader.damage)
