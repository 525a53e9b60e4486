"""From one frame of a file to the next; after a damaged one, to the next that is whole."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tidegate.backup.frame import DIGEST_BYTES, FILE_BYTES, HEAD_BYTES, MARK, TRAILER, Head, digest_of, head_of
from tidegate.errors import NotABackup

_LOOK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Damage:
    """A place where a file is not as it was written; `batch` is the number that is missing there, if known."""

    offset: int
    why: str
    batch: int | None = None
    torn: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A whole frame and where it begins."""

    offset: int
    head: Head
    digest: bytes

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.offset + self.head.whole


class Source(Protocol):
    """Bytes that can be read at any place."""

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def read(self, offset: int, count: int) -> bytes:
        """That many from there; fewer at the end."""
        ...


class OpenFile:
    """A file as a source, by its descriptor; nothing is mapped, so one that shrinks meanwhile is only short."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self.descriptor, self._path = descriptor, path

    @property
    def size(self) -> int:
        """Its length at the moment."""
        return os.fstat(self.descriptor).st_size

    def read(self, offset: int, count: int) -> bytes:
        """At that offset, wherever others read. Raises NotABackup where the disk (or a directory) refuses."""
        parts: list[bytes] = []
        try:
            while count > 0 and (part := os.pread(self.descriptor, min(count, 1 << 30), offset)):
                parts.append(part)
                offset, count = offset + len(part), count - len(part)
        except OSError as error:
            message = f"can't read {self._path} at byte {offset:,}: {error.strerror}"
            raise NotABackup(message) from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        """Close the descriptor; once."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
        self.descriptor = -1


def scan(source: Source) -> Iterator[Frame | Damage]:
    """Every whole frame in its order, and the damage between them; reads the file once.

    A `torn` damage has no whole frame behind it, as a write that was cut short leaves it.
    """
    offset, expected, nonce, size = FILE_BYTES, 0, None, source.size
    while offset < size:
        frame = frame_at(source, offset, size, nonce)
        if isinstance(frame, str):
            why, found = frame, _next_whole(source, offset + 1, size, nonce)
            if found is None:
                yield Damage(offset, why, expected, torn=True)
                return
            yield _gap(offset, why, expected, found.head.number)
            frame = found
        elif frame.head.number > expected:
            yield Damage(offset, f"{_missing(expected, frame.head.number)} before this place", expected)
        nonce, offset = frame.head.nonce, frame.end
        if frame.head.number < expected:
            yield Damage(frame.offset, f"batch {frame.head.number} stands here again", frame.head.number)
            continue
        expected = frame.head.number + 1
        yield frame
        if frame.head.kind == TRAILER and offset < size:
            yield Damage(offset, f"{size - offset:,} bytes follow the end of the backup")
            return


def frame_at(source: Source, offset: int, size: int, nonce: bytes | None) -> Frame | str:
    """The frame that begins there, or why there is no whole one."""
    raw = source.read(offset, HEAD_BYTES)
    head = head_of(raw, nonce)
    if isinstance(head, str):
        return head
    if offset + head.whole > size:
        return f"the file ends inside the batch, {size - offset:,} of {head.whole:,} bytes in"
    rest = source.read(offset + HEAD_BYTES, head.stored + DIGEST_BYTES)
    if digest_of(raw, rest[: head.stored]) != rest[head.stored :]:
        return "the batch is damaged (its SHA-256 does not fit)"
    return Frame(offset=offset, head=head, digest=rest[head.stored :])


def _gap(offset: int, why: str, expected: int, found: int) -> Damage:
    if found - expected > 1:
        why += f"; {_missing(expected, found)}"
    return Damage(offset, why, expected if found > expected else None)


def _missing(expected: int, found: int) -> str:
    last = found - 1
    return f"batch {last} is missing" if last == expected else f"batches {expected} to {last} are missing"


def _next_whole(source: Source, offset: int, size: int, nonce: bytes | None) -> Frame | None:
    mark = MARK + (nonce or b"")
    for place in _places(source, offset, mark):
        frame = frame_at(source, place, size, nonce)
        if isinstance(frame, Frame):
            return frame
    return None


def _places(source: Source, offset: int, mark: bytes) -> Iterator[int]:
    while chunk := source.read(offset, _LOOK_BYTES):
        at = chunk.find(mark)
        while at >= 0:
            yield offset + at
            at = chunk.find(mark, at + 1)
        if len(chunk) < _LOOK_BYTES:
            return
        offset += len(chunk) - len(mark) + 1
