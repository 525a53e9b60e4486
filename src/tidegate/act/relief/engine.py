"""Purge, move and dedupe as a whole: every list of the queue through the filter, and what follows; also taken up again.

Killed at any instruction, an act leaves each message in exactly one list or in the backup, and in Redis how far it was:
`resume` goes on from there, `rollback` (putting.py) puts everything back.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tidegate import __version__
from tidegate.act.relief.acts import Acting, begin_named, claim, fields_of, kept_in, new_id
from tidegate.act.relief.backing import server_of
from tidegate.act.relief.choosing import Chooser, chooser_of
from tidegate.act.relief.filtering import ListFilter, splice
from tidegate.act.relief.pace import MAX_STALL_MS, Pace, connecting
from tidegate.act.relief.receiving import must_be_able_to_receive
from tidegate.act.relief.recording import Recorder
from tidegate.act.relief.wanted import decoded, encoded
from tidegate.backup.header import Header
from tidegate.backup.reader import BackupReader
from tidegate.backup.writer import BackupWriter, is_stillborn
from tidegate.broker.address import Address
from tidegate.broker.client import Broker, connect
from tidegate.broker.reads import lengths, server_time
from tidegate.broker.relief import ASIDE, hidden_list
from tidegate.broker.scripts import RELIEF_BEGIN
from tidegate.broker.stream import stream_list
from tidegate.errors import CannotLook, Refused, TidegateError
from tidegate.facts.relief import Act, Filter, Relieved, State
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.observe.census import depths_of, element_bytes
from tidegate.observe.peek import lists_of

Progress = Callable[[int, int], None]
#: What is done with messages that went by the filter, in batches, before the act ends; notes for whoever ordered it.
After = Callable[[Broker, Filter, Iterator[Sequence[bytes]]], Sequence[str]]
#: What the stage of an act is called from where on it only goes back.
ROLLING = "rollback"
_LOOKS_SAY_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What an operator wants done to a queue. `backup` is None where she wants none, `to` the other queue of a move.

    `arrival_per_s` tells the age of messages without a stamp by their place.
    """

    queue: str
    act: Act = Act.PURGE
    wanted: Filter = field(default_factory=Filter)
    to: str = ""
    backup: Path | None = None
    max_stall_ms: float = MAX_STALL_MS
    arrival_per_s: Maybe[float] = field(default_factory=lambda: Unknown("not measured"))


def carry_out(
    address: Address,
    order: Order,
    *,
    timeout_s: float = 5.0,
    progress: Progress | None = None,
    after: After | None = None,
) -> Relieved:
    """Does it. Raises Refused, and CannotLook where the server goes away: then the act is interrupted, nothing is lost.

    Costs one LRANGE and one script for each chunk of up to 200 messages; nobody waits for the server longer than
    `max_stall_ms`, as far as that is in our hand.
    """
    must_make_sense(order)
    began_s = time.monotonic()
    with connecting(address, timeout_s) as broker:
        keys = lists_of(broker, order.queue)
        if order.act is Act.MOVE:
            must_be_able_to_receive(broker, order.to)
        id_ = new_id(order.act)
        writer = _opened(broker, id_, order, sum(_weight(broker, key) for key in keys))
        acting = _begun(broker, id_, order, keys, writer)
        with _working(address, timeout_s, acting, order, writer) as work:
            return work.done(progress, after, began_s)


def must_make_sense(order: Order) -> None:
    """Raises Refused where nothing is selected, or a queue is to be moved into itself."""
    if order.to == order.queue:
        raise Refused(f"{order.queue} is the queue itself: --to names another one")
    if order.wanted.is_empty:
        raise Refused("no filter was given, and everything is not meant by that: name what to take, such as --task '*'")


def resume(
    address: Address, id_: str, *, timeout_s: float = 5.0, progress: Progress | None = None, after: After | None = None
) -> Relieved:
    """Goes on with an interrupted act, as `carry_out`; raises Refused where it may still be at work."""
    began_s = time.monotonic()
    with connecting(address, timeout_s) as broker:
        acting = claim(broker, id_)
        order = order_of(fields_of(broker, id_))
        if acting.field("stage") == ROLLING:
            raise Refused(f"{id_} is on its way back: tidegate relief rollback {id_} goes on with that")
        writer = reopened(acting, order)
        with _working(address, timeout_s, acting, order, writer) as work:
            return work.done(progress, after, began_s)


def order_of(said: dict[str, str]) -> Order:
    """The order as the act's hash has it."""
    rate = said.get("arrival_per_s", "")
    return Order(
        queue=said.get("queue", ""),
        act=Act(said.get("act", Act.PURGE)),
        wanted=decoded(said.get("wanted", "{}")),
        to=said.get("to", ""),
        backup=Path(said["backup"]) if said.get("backup") else None,
        max_stall_ms=float(said.get("max_stall_ms", MAX_STALL_MS)),
        arrival_per_s=float(rate) if rate else Unknown("not measured"),
    )


def reopened(acting: Acting, order: Order) -> BackupWriter | None:
    """The backup of an interrupted act, without what was written for messages that still wait."""
    if order.backup is None:
        return None
    if order.backup.exists() and is_stillborn(order.backup) and not acting.number("removed"):
        order.backup.unlink()
    if not order.backup.exists():
        if acting.number("removed"):
            raise Refused(
                f"the backup {order.backup} is not there: put it back in its place, for it holds what was removed"
            )
        return BackupWriter.begin(order.backup, _header(acting.broker, acting.id, order))
    _must_be_its(order.backup, acting.id)
    done = {(order.queue, step): acting.number(f"done:{key}") for step, key in acting.broker.layout.lists(order.queue)}
    return BackupWriter.reopen(order.backup, done)


def _must_be_its(path: Path, id_: str) -> None:
    """An act that was killed as it found a file of that name would else take out of it what is not its own."""
    with BackupReader.open(path, salvage=True) as reader:
        if reader.header.id != id_:
            raise Refused(f"{path} is the backup of {reader.header.id or 'something else'}, not of {id_}: move it away")


@dataclass(slots=True)
class Work:
    """An act at work: its connections, its file, and what was seen on the way."""

    acting: Acting
    order: Order
    recorder: Recorder
    bystander: Broker
    chooser: Chooser
    worst_s: float = 0.0
    notes: list[str] = field(default_factory=list)

    def done(self, progress: Progress | None, after: After | None, began_s: float) -> Relieved:
        """Every list through the filter, then what follows, then the end."""
        keys = json.loads(self.acting.field("lists") or "[]")
        total, seen = sum(self._left(key) for key in keys), 0

        def told(count: int) -> None:
            nonlocal seen
            seen += count
            if progress is not None:
                progress(seen, max(seen, total))

        self._look(keys)
        for key in keys:
            self._filter(key, told)
        said = fields_of(self.acting.broker, self.acting.id)
        self.recorder.seal(removed=said.get("removed", "0"), kept=kept_in(said))
        if after is not None and self.order.act is not Act.MOVE:
            self.notes += after(self.acting.broker, self.order.wanted, self._removed())
        self.acting.end(State.DONE, worst_stall_ms=round(self.worst_s * 1000, 3))
        return self._result(time.monotonic() - began_s)

    def _look(self, keys: Sequence[str]) -> None:
        """Shows the chooser everything, newest first, before anything is decided."""
        if not self.chooser.wants_look:
            return
        said_s = time.monotonic()
        broker, prefix = self.acting.broker, self.acting.broker.layout.prefix
        for key in keys:
            self.chooser.next_list()
            # What stands in the list of an act that is taken up again was decided before, so it counts as the oldest.
            for place in (hidden_list(prefix, ASIDE, key), key):
                depth = depths_of(broker, [place])[0]
                for chunk in stream_list(broker, place, depth, element_bytes(broker, place, depth)):
                    self.chooser.look(chunk)
                    if time.monotonic() - said_s > _LOOKS_SAY_S:
                        said_s = time.monotonic()
                        self._lives()

    def _lives(self) -> None:
        with connect(self.acting.broker.address, self.acting.broker.timeout_s) as other:
            replace(self.acting, broker=other).note()

    def _filter(self, key: str, told: Callable[[int], None]) -> None:
        broker, order = self.acting.broker, self.order
        step = next(step for step, name in broker.layout.lists(order.queue) if name == key)
        depth = max(1, self._left(key))
        pace = Pace(self.bystander, order.max_stall_ms, max(element_bytes(broker, key, depth), 1.0))
        worked = ListFilter(
            acting=self.acting,
            key=key,
            queue=order.queue,
            step=step,
            chooser=self.chooser,
            recorder=self.recorder,
            pace=pace,
            to_queue=order.to,
            to=broker.layout.list_of(order.to, step) if order.to else "",
            told=told,
            notes=self.notes,
        )
        worked.run()
        self.worst_s = max(self.worst_s, pace.worst_s)

    def _left(self, key: str) -> int:
        at = self.acting.field(f"at:{key}")
        place = hidden_list(self.acting.broker.layout.prefix, ASIDE, key) if at == "filter" else key
        depth = lengths(self.acting.broker, [place])[0]
        return depth if known(depth) and at != "whole" else 0

    def _removed(self) -> Iterator[Sequence[bytes]]:
        """Everything that went, read back from the backup; nothing where there is none."""
        if self.order.backup is None:
            return
        said_s = time.monotonic()
        with BackupReader.open(self.order.backup) as reader:
            for batch in reader.batches():
                yield batch.elements
                if time.monotonic() - said_s > _LOOKS_SAY_S:
                    said_s = time.monotonic()
                    self.acting.note()

    def _result(self, elapsed_s: float) -> Relieved:
        said = fields_of(self.acting.broker, self.acting.id)
        counts: dict[str, Any] = {name: int(said.get(name, 0)) for name in ("removed", "removed_bytes", "undecodable")}
        return Relieved(
            id=self.acting.id,
            act=self.order.act,
            queue=self.order.queue,
            to=self.order.to,
            backup=str(self.order.backup) if self.order.backup is not None else None,
            elapsed_s=elapsed_s,
            worst_stall_ms=self.worst_s * 1000,
            dry_run=False,
            age_by=self.chooser.age_by,
            notes=(*self.chooser.notes, *self.notes),
            scanned=counts["removed"] + kept_in(said),
            kept=kept_in(said),
            **counts,
        )


@contextmanager
def _working(
    address: Address, timeout_s: float, acting: Acting, order: Order, writer: BackupWriter | None
) -> Iterator[Work]:
    recorder = Recorder(writer)
    try:
        now_s = acting.number("started_ms") / 1000
        chooser = chooser_of(order.wanted, now_s, order.arrival_per_s)
        with connecting(address, timeout_s) as bystander:
            yield Work(acting, order, recorder, bystander, chooser)
    except CannotLook as error:
        raise type(error)(f"{error}; {_half_done(acting.id)}") from error
    except BaseException:
        _stopped(address, timeout_s, acting, order)
        raise
    finally:
        recorder.close()


def _half_done(id_: str) -> str:
    again = f"tidegate relief resume {id_}, or rollback, when the server is back"
    return f"{id_} is half done, and each message in one place: {again}"


def _stopped(address: Address, timeout_s: float, acting: Acting, order: Order) -> None:
    """Leaves the queue whole where that can be; what was decided stays decided, and `resume` begins with the rest.

    On connections of its own: whatever stopped the act may have stopped it in the middle of an answer.
    """
    try:
        with connecting(address, timeout_s) as broker, connecting(address, timeout_s) as bystander:
            mine, pace = replace(acting, broker=broker), Pace(bystander, order.max_stall_ms, 1024.0)
            mine.note(state=State.INTERRUPTED.value)
            whole_again(mine, order.queue, pace)
    except TidegateError:
        # Then it is left set aside, and the journal says so.
        return


def whole_again(acting: Acting, queue: str, pace: Pace) -> None:
    """Every list of the queue that is set aside goes back, in the order of age."""
    for _, key in acting.broker.layout.lists(queue):
        if acting.field(f"at:{key}") == "filter":
            splice(acting, key, queue, pace, "")


def _opened(broker: Broker, id_: str, order: Order, weight: float) -> BackupWriter | None:
    """The new backup, made before anything is touched; a fifth of the queue's weight has to have room."""
    if order.backup is None:
        return None
    return BackupWriter.begin(order.backup, _header(broker, id_, order), int(weight / 5))


def _begun(broker: Broker, id_: str, order: Order, keys: Sequence[str], writer: BackupWriter | None) -> Acting:
    """The act, on record; where it can't be, its file goes again."""
    try:
        acting = begin_named(broker, order.act, order.queue, id_, RELIEF_BEGIN, _said(order, keys))
    except BaseException:
        if writer is not None:
            writer.close()
            writer.path.unlink(missing_ok=True)
        raise
    if order.to:
        bind(broker, order.to)
    return acting


def bind(broker: Broker, queue: str) -> None:
    """Makes the other queue one that tools find."""
    separator = broker.layout.sep
    broker.ask(("SADD", broker.layout.binding(queue), f"{queue}{separator}{separator}{queue}"))


def _header(broker: Broker, id_: str, order: Order) -> Header:
    return Header(
        queue=order.queue,
        act=order.act.value,
        id=id_,
        created_s=server_time(broker),
        url=broker.address.shown,
        server=server_of(broker),
        prefix=broker.layout.prefix,
        wanted=encoded(order.wanted),
        written_by=__version__,
    )


def _said(order: Order, keys: Sequence[str]) -> dict[str, Any]:
    said = {
        "wanted": encoded(order.wanted),
        "lists": json.dumps(keys),
        "to": order.to,
        "backup": str(order.backup.absolute()) if order.backup is not None else "",
        "max_stall_ms": order.max_stall_ms,
        "arrival_per_s": order.arrival_per_s if known(order.arrival_per_s) else "",
    }
    return {name: value for name, value in said.items() if value != ""}


def _weight(broker: Broker, key: str) -> float:
    depth = depths_of(broker, [key])[0]
    return depth * element_bytes(broker, key, depth)
