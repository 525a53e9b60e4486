"""Writing a backup: a batch is on the disk when `append` returns, and a kill at any instant leaves a file that goes on.

Nothing that stands whole in the file is ever changed. A writer that takes a file up again cuts a torn end and the
batches that are void as a whole, and declares what else is void in a frame of its own.
"""

import errno
import fcntl
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from tidegate.backup.batch import Batch
from tidegate.backup.contents import Contents, Entry, contents_of, cut, lies_beyond, load
from tidegate.backup.frame import BATCH, CUT, FILE_BYTES, HEADER, NONCE_BYTES, TRAILER, Head, file_start, packed
from tidegate.backup.header import Cut, Header, Trailer, to_json
from tidegate.backup.packing import NO_ZSTD, Codec, Packed, can_do, message_bytes, pack
from tidegate.backup.reader import NO_HEADER, damaged, demand_ours
from tidegate.backup.scan import Frame, OpenFile
from tidegate.errors import Refused
from tidegate.units import size

# What must be free beyond what is expected, for the header, the trailer and the file system's own.
_SPARE_BYTES = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_BEYOND_ALL = 1 << 64
# A file that holds nothing but a part of its header is smaller.
_MOST_STILLBORN = 1 << 20


class BackupWriter:
    """A backup, open for writing by this process alone."""

    def __init__(self, path: Path, file: OpenFile, contents: Contents, codec: Codec = Codec.ZLIB) -> None:
        self.path, self.codec = path, codec
        self._file, self._contents = file, contents
        self._nonce = contents.frames[0].head.nonce if contents.frames else secrets.token_bytes(NONCE_BYTES)
        self._batches = self._messages = self._bytes = 0
        for entry in contents.entries:
            self._count(entry)

    @classmethod
    def begin(cls, path: Path, header: Header, expected_bytes: int = 0, codec: Codec = Codec.ZLIB) -> Self:
        """A new file, readable by its owner only, with the header on the disk.

        Raises Refused where the file is there already, where the directory is not or can't be written, and where
        there is less room than `expected_bytes`; then nothing is left behind.
        """
        if not can_do(codec):
            raise Refused(NO_ZSTD)
        _demand_room(path, expected_bytes)
        file = _created(path)
        writer = cls(path, file, Contents(header=header), codec)
        try:
            _lock(path, file)
            writer._write(file_start(), 0)
            writer._frame(HEADER, to_json(header))
            _sync_directory(path)
        except BaseException:
            path.unlink(missing_ok=True)
            file.close()
            raise
        return writer

    @classmethod
    def reopen(cls, path: Path, done: Mapping[tuple[str, int], int]) -> Self:
        """The file of a writer that was killed, without what it wrote and did not do.

        Elements whose position is not below `done[(queue, step)]` are dropped (where the file runs from the newest to
        the oldest: those below it); of a list that is not in `done`, all. Raises NotABackup, Damaged for anything
        but a torn end, and Refused where another process writes the file.
        """
        file = _taken_up(path)
        try:
            demand_ours(path, file)
            contents = _but_for_torn(path, contents_of(file))
            _cut_to(file, contents.end)
            cuts = _cuts(contents, done)
            changed = cut(contents, cuts)
            writer = cls(path, file, contents)
            if changed:
                writer._drop(cuts)
        except BaseException:
            file.close()
            raise
        return writer

    @property
    def header(self) -> Header:
        """What the file says of itself."""
        return self._contents.header

    @property
    def sealed(self) -> bool:
        """Whether its end is written."""
        return self._contents.trailer is not None

    @property
    def messages(self) -> int:
        """How many messages are in it."""
        return self._messages

    @property
    def message_bytes(self) -> int:
        """How many bytes those have before compression."""
        return self._bytes

    @property
    def size(self) -> int:
        """How many bytes it takes on the disk."""
        return self._contents.end

    def append(self, batch: Batch | Packed) -> None:
        """Put a batch at the end; it is written and fsynced when this returns. No messages: nothing happens.

        One that another thread has packed (`packing.pack`) saves the time of compressing. Raises Refused where the
        disk does not take it, and leaves the file whole up to the batch before.
        """
        if isinstance(batch, Batch) and not batch.elements:
            return
        ready = batch if isinstance(batch, Packed) else pack(batch, self.codec)
        if self.sealed:
            self._keep(len(self._contents.frames) - 1)
        self._frame(BATCH, ready.payload, codec=ready.codec, plain=ready.plain)
        self._batches += 1
        self._messages += ready.plan.count
        self._bytes += ready.message_bytes

    def seal(self, **summary: object) -> None:
        """Write the end, with totals and `summary`; fsynced, the directory too. On a sealed file nothing happens."""
        if self.sealed:
            return
        trailer = Trailer(
            batches=self._batches,
            messages=self._messages,
            bytes=self._bytes,
            sha256=self._contents.checksum,
            sealed_s=time.time(),
            summary=summary,
        )
        self._frame(TRAILER, to_json(trailer))
        self._contents.trailer = trailer
        _sync_directory(self.path)

    def close(self) -> None:
        """Close the file as it is, sealed or not."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _frame(self, kind: bytes, payload: bytes, codec: int = 0, plain: int | None = None) -> None:
        offset = self._contents.end
        head = Head(
            nonce=self._nonce,
            kind=kind,
            codec=codec,
            number=self._contents.next_number,
            stored=len(payload),
            plain=len(payload) if plain is None else plain,
        )
        whole, digest = packed(head, payload)
        self._write(whole, offset)
        self._contents.frames.append(Frame(offset=offset, head=head, digest=digest))

    def _write(self, data: bytes, offset: int) -> None:
        try:
            _write_all(self._file.descriptor, data, offset)
            os.fsync(self._file.descriptor)
        except OSError as error:
            # What can't be cut off now is a torn end, which the next writer cuts off.
            with suppress(OSError):
                _cut_to(self._file, offset)
            message = f"can't write {self.path}: {_reason(error)}; it is whole up to byte {offset:,}: make room"
            raise Refused(message) from error

    def _drop(self, cuts: list[Cut]) -> None:
        """Cut off the batches at the end that are void as a whole, and declare void what else is."""
        contents, newest_first = self._contents, self.header.newest_first
        keep = len(contents.frames) - self.sealed
        while contents.entries and contents.frames[keep - 1] is contents.entries[-1].frame:
            last = contents.entries[-1]
            if last.limit is None or not lies_beyond(last.plan, last.limit, newest_first):
                break
            contents.entries.pop()
            keep -= 1
        self._keep(keep)
        if any(entry.limit is not None for entry in contents.entries):
            self._frame(CUT, to_json(cuts))

    def _keep(self, frames: int) -> None:
        """Cut off all but so many frames."""
        contents = self._contents
        contents.trailer = None
        del contents.frames[frames:]
        _cut_to(self._file, contents.end)

    def _count(self, entry: Entry) -> None:
        if entry.limit is None:
            messages, amount = entry.plan.count, message_bytes(entry.frame.head.plain, entry.plan.count)
        else:
            batch = load(self._file, entry, self.header.newest_first)
            elements = () if isinstance(batch, str) else batch.elements
            messages, amount = len(elements), sum(map(len, elements))
        self._batches += messages > 0
        self._messages += messages
        self._bytes += amount


def is_stillborn(path: Path) -> bool:
    """Whether a writer was killed before the header of its new file was on the disk: there is nothing in it."""
    file = OpenFile(os.open(path, os.O_RDONLY | os.O_CLOEXEC), path)
    try:
        start, whole = file.read(0, FILE_BYTES), file_start()
        ours = whole.startswith(start) if len(start) < FILE_BYTES else start == whole
        return ours and file.size < _MOST_STILLBORN and not contents_of(file).frames
    finally:
        file.close()


def _cuts(contents: Contents, done: Mapping[tuple[str, int], int]) -> list[Cut]:
    """The cuts that hold every list of the file to what was done."""
    nothing = _BEYOND_ALL if contents.header.newest_first else 0
    lists = dict.fromkeys((entry.plan.queue, entry.plan.step) for entry in contents.entries)
    return [Cut(queue=queue, step=step, done=done.get((queue, step), nothing)) for queue, step in lists]


def _but_for_torn(path: Path, contents: Contents) -> Contents:
    real = [damage for damage in contents.damage if not (damage.torn and contents.frames)]
    if not contents.frames:
        real.append(NO_HEADER)
    if real:
        raise damaged(path, real[0], contents)
    return contents


def _demand_room(path: Path, expected_bytes: int) -> None:
    try:
        room = os.statvfs(path.parent)
    except OSError as error:
        message = f"can't write {path}: {_reason(error)}"
        raise Refused(message) from error
    free, wanted = room.f_bavail * room.f_frsize, expected_bytes + _SPARE_BYTES
    if free < wanted:
        message = f"{path} would take about {size(wanted)}, and {size(free)} are free there: name another place"
        raise Refused(message)


def _created(path: Path) -> OpenFile:
    try:
        return OpenFile(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), path)
    except FileExistsError as error:
        message = f"{path} is there already, and no backup is written over: name another file"
        raise Refused(message) from error
    except OSError as error:
        message = f"can't write {path}: {_reason(error)}"
        raise Refused(message) from error


def _taken_up(path: Path) -> OpenFile:
    try:
        file = OpenFile(os.open(path, os.O_RDWR | os.O_CLOEXEC), path)
    except OSError as error:
        message = f"can't go on writing {path}: {_reason(error)}"
        raise Refused(message) from error
    try:
        _lock(path, file)
    except BaseException:
        file.close()
        raise
    return file


def _lock(path: Path, file: OpenFile) -> None:
    try:
        fcntl.flock(file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        message = f"another process writes {path} at the moment: wait for its end"
        raise Refused(message) from error


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest, offset = rest[written:], offset + written


def _cut_to(file: OpenFile, end: int) -> None:
    if file.size > end:
        os.ftruncate(file.descriptor, end)
        os.fsync(file.descriptor)


def _sync_directory(path: Path) -> None:
    """Make sure that the file's name is on the disk as well; some file systems can't, and need not."""
    with suppress(OSError):
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _reason(error: OSError) -> str:
    if error.errno in _FULL:
        return f"the disk is full ({error.strerror})"
    return str(error.strerror)
