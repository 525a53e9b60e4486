"""What a scanned file holds: its header, its batches less what was declared void, its trailer, and what is damaged."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tidegate.backup.batch import Batch
from tidegate.backup.frame import BATCH, CUT, FILE_BYTES, HEAD_BYTES, HEADER, Head, digest_of
from tidegate.backup.header import Cut, Header, Trailer, cuts_from, header_from, trailer_from
from tidegate.backup.packing import NotUnpacked, Plan, plan_of, unpack
from tidegate.backup.scan import Damage, Frame, Source, scan

_PLAN_BYTES = 32 + 0xFFFF
_Item = TypeVar("_Item")


@dataclass(slots=True, kw_only=True)
class Entry:
    """A batch in the file. `limit`: a later writer declared its positions beyond that void."""

    frame: Frame
    plan: Plan
    limit: int | None = None


@dataclass(slots=True, kw_only=True)
class Contents:
    """All of a file but the messages; a few hundred bytes a batch."""

    header: Header = field(default_factory=Header)
    entries: list[Entry] = field(default_factory=list)
    trailer: Trailer | None = None
    damage: list[Damage] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The offset behind the last whole frame."""
        return self.frames[-1].end if self.frames else FILE_BYTES

    @property
    def next_number(self) -> int:
        """The number that the frame there has to have."""
        return self.frames[-1].head.number + 1 if self.frames else 0

    @property
    def checksum(self) -> str:
        """The SHA-256 of the digests of all its frames, in their order."""
        return hashlib.sha256(b"".join(frame.digest for frame in self.frames)).hexdigest()


def contents_of(source: Source) -> Contents:
    """The contents, as far as they are whole; reads the file once, at the speed of SHA-256."""
    contents = Contents()
    for found in scan(source):
        if isinstance(found, Damage):
            contents.damage.append(found)
        else:
            _take(contents, source, found)
    return contents


def load(source: Source, entry: Entry, newest_first: bool) -> Batch | str:
    """The batch, less what is void (perhaps all of it); or why it can't be read (any more)."""
    frame = entry.frame
    whole = source.read(frame.offset, frame.head.whole)
    payload = whole[HEAD_BYTES : HEAD_BYTES + frame.head.stored]
    if digest_of(whole[:HEAD_BYTES], payload) != frame.digest:
        return "the file was altered while it was read"
    try:
        batch = unpack(payload, frame.head.codec, frame.head.plain)
    except NotUnpacked as error:
        return str(error)
    return batch if entry.limit is None else within(batch, entry.limit, newest_first)


def within(batch: Batch, limit: int, newest_first: bool) -> Batch:
    """What of the batch is not beyond the limit."""
    stays = [place >= limit if newest_first else place < limit for place in batch.positions]
    return Batch(
        queue=batch.queue,
        step=batch.step,
        positions=_chosen(batch.positions, stays),
        elements=_chosen(batch.elements, stays),
        moment_s=batch.moment_s,
    )


def reaches_beyond(plan: Plan, limit: int, newest_first: bool) -> bool:
    """Whether anything in the batch is beyond the limit."""
    return plan.first < limit if newest_first else plan.last >= limit


def lies_beyond(plan: Plan, limit: int, newest_first: bool) -> bool:
    """Whether all of the batch is beyond the limit."""
    return plan.last < limit if newest_first else plan.first >= limit


def cut(contents: Contents, cuts: Iterable[Cut]) -> list[Entry]:
    """Hold what was read so far to those cuts; the batches for which that changes anything."""
    limits = {(cut.queue, cut.step): cut.done for cut in cuts}
    newest_first, changed = contents.header.newest_first, []
    for entry in contents.entries:
        limit = limits.get((entry.plan.queue, entry.plan.step))
        if limit is None or not reaches_beyond(entry.plan, limit, newest_first):
            continue
        if entry.limit is None or (entry.limit < limit if newest_first else entry.limit > limit):
            entry.limit = limit
            changed.append(entry)
    return changed


def _take(contents: Contents, source: Source, frame: Frame) -> None:
    head = frame.head
    length = min(head.stored, _PLAN_BYTES) if head.kind == BATCH else head.stored
    payload = source.read(frame.offset + HEAD_BYTES, length)
    try:
        _enter(contents, frame, head, payload)
    except NotUnpacked as error:
        contents.damage.append(Damage(frame.offset, f"it can't be understood: {error}", head.number))
    contents.frames.append(frame)


def _enter(contents: Contents, frame: Frame, head: Head, payload: bytes) -> None:
    if (head.kind == HEADER) != (head.number == 0):
        message = "the header, and nothing else, stands at the beginning"
        raise NotUnpacked(message)
    if head.kind == HEADER:
        contents.header = header_from(payload)
    elif head.kind == BATCH:
        contents.entries.append(Entry(frame=frame, plan=plan_of(payload)))
    elif head.kind == CUT:
        cut(contents, cuts_from(payload))
    else:
        _end(contents, frame, trailer_from(payload))


def _end(contents: Contents, frame: Frame, trailer: Trailer) -> None:
    contents.trailer = trailer
    if not contents.damage and trailer.sha256 != contents.checksum:
        contents.damage.append(Damage(frame.offset, "the checksum of the whole file does not fit", frame.head.number))


def _chosen(items: Sequence[_Item], stays: Sequence[bool]) -> list[_Item]:
    return [item for item, stay in zip(items, stays, strict=True) if stay]
