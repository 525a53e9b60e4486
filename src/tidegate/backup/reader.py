"""Reading a backup: all of it verified before anything is given out, or what of it is whole."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from tidegate.backup.batch import Batch
from tidegate.backup.contents import Contents, Entry, contents_of, load
from tidegate.backup.frame import FILE_BYTES, HEADER, MARK, VERSION, version_of
from tidegate.backup.header import Header, Trailer
from tidegate.backup.packing import NO_ZSTD, can_do
from tidegate.backup.scan import Damage, Frame, OpenFile, frame_at
from tidegate.errors import Damaged, NotABackup
from tidegate.units import count

_KINDS = (
    (b"REDIS", "a dump of Redis (RDB)"),
    (b"VALKEY", "a dump of Valkey (RDB)"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"PK\x03\x04", "a zip file"),
    (b"*", "an append-only file of Redis, or its protocol"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)
#: What a file lacks whose writer was killed in its first instant.
NO_HEADER = Damage(FILE_BYTES, "its header was never written", 0)


class BackupReader:
    """A backup, open for reading; give it back with `close` or use it in a `with`."""

    def __init__(self, path: Path, source: OpenFile, contents: Contents, *, salvage: bool) -> None:
        self.path = path
        self._source, self._contents, self._salvage = source, contents, salvage

    @classmethod
    def open(cls, path: Path, salvage: bool = False, unsealed: bool = False) -> Self:
        """The backup, after every byte of it was verified; 500 MB/s.

        Raises NotABackup for a file that is none, and Damaged for one that was altered or cut, with the first place.
        With `salvage`, what is whole is read all the same, and `damage` tells of the rest. With `unsealed`, a file
        whose writer did not end (or goes on) is no damage; a torn end then stands in `damage`.
        """
        source = _opened(path)
        try:
            contents = _known(path, source, salvage=salvage)
            _demand_codecs(path, contents)
            if not salvage:
                _demand_whole(path, contents, unsealed=unsealed)
        except BaseException:
            source.close()
            raise
        return cls(path, source, contents, salvage=salvage)

    @property
    def header(self) -> Header:
        """What the file says of itself; an empty one where that was damaged."""
        return self._contents.header

    @property
    def trailer(self) -> Trailer | None:
        """The totals at its end; None where the writer did not end."""
        return self._contents.trailer

    @property
    def sealed(self) -> bool:
        """Whether its writer came to the end."""
        return self._contents.trailer is not None

    @property
    def damage(self) -> Sequence[Damage]:
        """What is not as it was written, in the order of the file; grows while batches are read."""
        return tuple(self._contents.damage)

    @property
    def messages(self) -> int:
        """How many messages its whole batches hold, but for those that were declared void."""
        return sum(map(self._count, self._contents.entries))

    def count_of(self, queue: str) -> int:
        """How many of them are of that queue."""
        return sum(self._count(entry) for entry in self._contents.entries if entry.plan.queue == queue)

    @property
    def checksum(self) -> str:
        """Equal for the same file; what is damaged in it does not count."""
        return self._contents.checksum

    @property
    def lists(self) -> Sequence[tuple[str, int]]:
        """The lists (queue and priority step) whose messages it holds, in the order of the file."""
        return tuple(dict.fromkeys(_list_of(entry) for entry in self._contents.entries))

    def batches(self) -> Iterator[Batch]:
        """Its batches in the order of the file; none is empty. Raises Damaged, unless it salvages."""
        return self._loaded(self._contents.entries)

    def batches_oldest_first(self) -> Iterator[Batch]:
        """Its batches list by list, each from its oldest message to its newest. Raises Damaged, unless it salvages."""
        return self._loaded(self._ordered(newest_first=False))

    def batches_newest_first(self) -> Iterator[Batch]:
        """The same, each list from its newest batch to its oldest; inside a batch the oldest stands first all the same."""
        return self._loaded(self._ordered(newest_first=True))

    def _ordered(self, *, newest_first: bool) -> list[Entry]:
        by_list: dict[tuple[str, int], list[Entry]] = {}
        for entry in self._contents.entries:
            by_list.setdefault(_list_of(entry), []).append(entry)
        turn = -1 if newest_first != self.header.newest_first else 1
        return [entry for own in by_list.values() for entry in own[::turn]]

    def close(self) -> None:
        """Close the file."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _count(self, entry: Entry) -> int:
        if entry.limit is None:
            return entry.plan.count
        batch = load(self._source, entry, self.header.newest_first)
        return 0 if isinstance(batch, str) else len(batch.elements)

    def _loaded(self, entries: Sequence[Entry]) -> Iterator[Batch]:
        for entry in entries:
            batch = load(self._source, entry, self.header.newest_first)
            if isinstance(batch, str):
                damage = Damage(entry.frame.offset, batch, entry.frame.head.number)
                if damage not in self._contents.damage:
                    self._contents.damage.append(damage)
                if not self._salvage:
                    raise damaged(self.path, damage, self._contents)
            elif batch.elements:
                yield batch


def damaged(path: Path, damage: Damage, contents: Contents) -> Damaged:
    """The error that tells of that damage, and what can be had all the same."""
    part = "" if damage.batch is None else f" ({'the header' if not damage.batch else f'batch {damage.batch}'})"
    whole = sum(entry.plan.count for entry in contents.entries)
    return Damaged(
        f"{path} is damaged at byte {count(damage.offset)}{part}: {damage.why}. "
        f"Nothing was taken from it; --salvage reads the {count(whole)} messages that are whole",
        file=str(path),
        offset=damage.offset,
        batch=damage.batch,
    )


def demand_ours(path: Path, source: OpenFile, *, salvage: bool = False) -> None:
    """Raise NotABackup, with what the file is instead, where it is none that this version reads."""
    start = source.read(0, 64)
    version = version_of(start)
    if version == VERSION or (version != VERSION and _has_frames(source, salvage=salvage)):
        return
    if version is None:
        message = f"{path} is no backup of Tidegate: {_kind(start)}"
    else:
        message = f"{path} is a backup in format {version}; this version of Tidegate reads {VERSION}: use a newer one"
    raise NotABackup(message)


def _known(path: Path, source: OpenFile, *, salvage: bool) -> Contents:
    demand_ours(path, source, salvage=salvage)
    contents = contents_of(source)
    if version_of(source.read(0, FILE_BYTES)) != VERSION:
        contents.damage.insert(0, Damage(0, "the first 16 bytes are not those of a backup"))
    return contents


def _demand_whole(path: Path, contents: Contents, *, unsealed: bool) -> None:
    real = [damage for damage in contents.damage if not (unsealed and damage.torn and contents.frames)]
    if not contents.frames:
        real.append(NO_HEADER)
    if real:
        raise damaged(path, real[0], contents)
    if contents.trailer is None and not unsealed:
        why = "it ends without its trailer: whoever wrote it did not come to the end, or it was cut"
        raise damaged(path, Damage(contents.end, why, contents.next_number), contents)


def _demand_codecs(path: Path, contents: Contents) -> None:
    if not all(can_do(entry.frame.head.codec) for entry in contents.entries):
        message = f"{path} can't be opened: {NO_ZSTD}"
        raise NotABackup(message)


def _has_frames(source: OpenFile, *, salvage: bool) -> bool:
    """Whether a header of ours stands where it belongs, or with `salvage` any frame, though the first bytes differ."""
    first = frame_at(source, FILE_BYTES, source.size, None)
    if isinstance(first, Frame):
        return first.head.kind == HEADER
    return salvage and MARK in source.read(0, 1 << 20)


def _kind(start: bytes) -> str:
    if not start:
        return "it is empty"
    for magic, kind in _KINDS:
        if start.startswith(magic):
            return f"it looks like {kind}"
    return f"it begins with {start[:8]!r}"


def _list_of(entry: Entry) -> tuple[str, int]:
    return entry.plan.queue, entry.plan.step


def _opened(path: Path) -> OpenFile:
    try:
        return OpenFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC), path)
    except OSError as error:
        message = f"can't read {path}: {error.strerror}"
        raise NotABackup(message) from error
