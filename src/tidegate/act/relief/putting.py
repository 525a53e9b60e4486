"""Messages of a backup, back in front of their queue: an undo of what is done, and the way back of what was interrupted.

They are gathered in a list of their own, and then go before everything in one step; what the queue holds follows behind.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tidegate.act.relief.acts import Acting, begin, claim, fields_of, row_of
from tidegate.act.relief.engine import ROLLING, Order, Progress, order_of, reopened, whole_again
from tidegate.act.relief.filtering import paced, splice
from tidegate.act.relief.pace import MAX_STALL_MS, Pace, connecting
from tidegate.backup.batch import fitting
from tidegate.backup.reader import BackupReader
from tidegate.broker.address import Address
from tidegate.broker.client import as_text
from tidegate.broker.relief import BACK, hidden_list, key_of
from tidegate.broker.scripts import RELIEF_FRONT, RELIEF_GATHER
from tidegate.errors import Refused
from tidegate.facts.relief import Act, Relieved, State
from tidegate.facts.unknown import known

_PORTION, _PORTION_BYTES = 200, 1 << 20


def rollback(address: Address, id_: str, *, timeout_s: float = 5.0, progress: Progress | None = None) -> Relieved:
    """Everything as it was before an interrupted act, but for what workers took since; taken up again where it was left.

    Raises Refused where it may still be at work. What a move moved stays where it is.
    """
    began_s = time.monotonic()
    with connecting(address, timeout_s) as broker, connecting(address, timeout_s) as bystander:
        acting = claim(broker, id_)
        order, pace = order_of(fields_of(broker, id_)), Pace(bystander, MAX_STALL_MS, 1024.0)
        aside = row_of(broker, id_).aside
        if acting.field("stage") != ROLLING:
            whole_again(acting, order.queue, pace)
            writer = reopened(acting, order)
            if writer is not None:
                writer.seal(removed=acting.number("removed"))
                writer.close()
            acting.note(stage=ROLLING)
        notes = _put_back(acting, order, pace, progress)
        acting.end(State.ROLLED_BACK)
        back = _result(acting, order, began_s, pace, notes)
        return replace(back, kept=back.kept + (aside if known(aside) else 0))


def undo(address: Address, id_: str, *, timeout_s: float = 5.0, progress: Progress | None = None) -> Relieved:
    """What a finished act removed is in front of its queue again. Raises Refused where its backup is not to be had."""
    with connecting(address, timeout_s) as broker:
        done = row_of(broker, id_)
        if done.act not in (Act.PURGE, Act.DEDUPE):
            back = _back_again(done.queue, done.to)
            raise Refused(f"{id_} removed nothing: only a purge or a dedupe can be undone. {back}".rstrip())
        if done.state is not State.DONE:
            raise Refused(f"{id_} is {done.state.value.replace('_', ' ')}: only what is done can be undone")
        if done.backup is None or not Path(done.backup).exists():
            raise Refused(
                f"the backup of {id_} is not at {done.backup or 'any place, for none was made'}: nothing can be undone"
            )
        acting = begin(broker, Act.UNDO, done.queue, backup=done.backup, of=id_)
    return resume_undo(address, acting.id, timeout_s=timeout_s, progress=progress)


def resume_undo(address: Address, id_: str, *, timeout_s: float = 5.0, progress: Progress | None = None) -> Relieved:
    """Goes on with an undo, from where it was left."""
    began_s = time.monotonic()
    with connecting(address, timeout_s) as broker, connecting(address, timeout_s) as bystander:
        acting = claim(broker, id_)
        order, pace = order_of(fields_of(broker, id_)), Pace(bystander, MAX_STALL_MS, 1024.0)
        notes = _put_back(acting, order, pace, progress)
        of = acting.field("of")
        if of:
            broker.ask(("HSET", key_of(broker.layout.prefix, f"act:{of}"), "state", State.ROLLED_BACK.value))
        acting.end(State.DONE)
        return _result(acting, order, began_s, pace, notes)


def _put_back(acting: Acting, order: Order, pace: Pace, progress: Progress | None) -> list[str]:
    """Notes for whoever asked."""
    removed = acting.number("removed")
    if order.act is Act.MOVE:
        return [_back_again(order.queue, order.to)] if removed else []
    if order.backup is None:
        return [f"{removed:,} messages were removed without a backup, and are gone"] if removed else []
    _gather(acting, order, progress)
    for _, key in acting.broker.layout.lists(order.queue):
        if acting.number(f"back:{key}") or acting.field(f"at:{key}") == "fronted":
            _in_front(acting, key, order.queue, pace)
    return []


def _gather(acting: Acting, order: Order, progress: Progress | None) -> None:
    """Every message of the backup in the list of those that go back, once."""
    with BackupReader.open(_there(order.backup)) as reader:
        _gather_all(acting, order, reader, progress)


def _gather_all(acting: Acting, order: Order, reader: BackupReader, progress: Progress | None) -> None:
    passed, layout, seen = dict.fromkeys(range(10), 0), acting.broker.layout, 0
    counted = {step: acting.number(f"back:{key}") for step, key in layout.lists(order.queue)}
    for batch in reader.batches():
        for portion in _portions(batch.elements):
            before = passed[batch.step]
            passed[batch.step] += len(portion)
            seen += len(portion)
            if passed[batch.step] <= counted[batch.step]:
                continue
            rest = portion[max(0, counted[batch.step] - before) :]
            key = layout.list_of(order.queue, batch.step)
            _gathered(acting, key, passed[batch.step] - len(rest), rest)
            if progress is not None:
                progress(seen, reader.messages)


def _gathered(acting: Acting, key: str, before: int, rest: Sequence[bytes]) -> None:
    back = hidden_list(acting.broker.layout.prefix, BACK, key)
    word, *found = acting.run(RELIEF_GATHER, back, f"back:{key}", before, before + len(rest), *rest)
    if word == "counted":
        raise Refused(
            f"{before:,} messages were expected to be back, {as_text(found[0])} are: tidegate relief resume {acting.id}"
        )


def _in_front(acting: Acting, key: str, queue: str, pace: Pace) -> None:
    while acting.field(f"at:{key}") not in ("fronted", "settled"):
        if paced(acting, pace, RELIEF_FRONT, [key, queue])[0] == "mixed":
            splice(acting, key, queue, pace, "")
    splice(acting, key, queue, pace, "settled")


def _portions(elements: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    while elements:
        portion = fitting(elements, _PORTION, _PORTION_BYTES)
        yield portion
        elements = elements[len(portion) :]


def _there(path: Path | None) -> Path:
    if path is None or not path.exists():
        raise Refused(f"the backup {path} is not there: put it back in its place, for it holds what was removed")
    return path


def _back_again(queue: str, to: str) -> str:
    return f"What was moved is in {to}: tidegate move {to} --to {queue} brings it back" if to else ""


def _result(acting: Acting, order: Order, began_s: float, pace: Pace, notes: list[str]) -> Relieved:
    back = sum(acting.number(f"back:{key}") for _, key in acting.broker.layout.lists(order.queue))
    return Relieved(
        id=acting.id,
        act=order.act,
        queue=order.queue,
        scanned=back,
        kept=back,
        backup=str(order.backup) if order.backup is not None else None,
        elapsed_s=time.monotonic() - began_s,
        worst_stall_ms=pace.worst_s * 1000,
        dry_run=False,
        notes=tuple(notes),
    )
