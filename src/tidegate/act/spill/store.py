"""The store: messages on disk, first in, first out, in one SQLite file that survives whatever ends its process.

What a method has written is on the disk when it returns: WAL, `synchronous=FULL`. Every list numbers its messages; the
numbers of a span are without a gap, and a number stands for the same message as long as it is in the span. Chunks carry
a checksum, compared whenever one is read. One process at a time has the file, by SQLite's exclusive lock.
"""

import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tidegate.act.spill.chunks import checksum, pack, split, unpack
from tidegate.errors import BadStore, StoreFull

#: "tgsp", so that `file` and we know it again.
_APPLICATION = 0x74677370
_VERSION = 1
_TABLES = """
CREATE TABLE spans (list BLOB PRIMARY KEY, first INTEGER NOT NULL, after INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY, list BLOB NOT NULL, first INTEGER NOT NULL, after INTEGER NOT NULL,
    crc INTEGER NOT NULL, packed BLOB NOT NULL
);
CREATE UNIQUE INDEX places ON chunks (list, first);
CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
#: Beyond every number.
_FAR = 1 << 62
#: The write-ahead log is cut to this after every checkpoint.
_LOG_BYTES = 4 << 20
_NO_ROOM = (sqlite3.SQLITE_FULL,)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@dataclass(frozen=True, slots=True)
class Piece:
    """Messages in a row, oldest first; `first` is the number of the oldest."""

    first: int
    elements: Sequence[bytes]

    @property
    def after(self) -> int:
        """The number behind the newest."""
        return self.first + len(self.elements)


@dataclass(frozen=True, slots=True)
class _Chunk:
    first: int
    after: int
    crc: int
    packed: bytes


class Store:
    """The file, opened with `open`; not for two threads at a time. Lists are named as their keys in Redis."""

    def __init__(self, path: Path, connection: sqlite3.Connection, most_bytes: int | None) -> None:
        self.path = path
        self.most_bytes = most_bytes
        self._sql = connection
        self._read: tuple[bytes, int, list[bytes]] | None = None
        self.id = ""

    @classmethod
    def open(cls, path: Path | str, most_bytes: int | None = None) -> "Store":
        """The store in that file, made where there is none. `most_bytes` is how large the file may grow, without its log.

        Raises BadStore where the file is another program's, of a newer version, damaged, not writable, or in use.
        """
        path = Path(path)
        with _said(path):
            made = not path.exists()
            connection = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)
            store = cls(path, connection, most_bytes)
            try:
                store._take()
            except BaseException:
                connection.close()
                raise
        if made:
            path.chmod(0o600)
            _sync_directory(path.parent)
        return store

    def close(self) -> None:
        """Gives the file up; what it holds stays."""
        self._sql.close()

    # What goes in and out

    def append(self, list_name: str, elements: Sequence[bytes]) -> tuple[int, int]:
        """Adds messages behind the newest, oldest first: (their first number, the one after the last).

        Raises StoreFull, and BadStore; then nothing of it is there.
        """
        name = _name(list_name)
        with self._writing():
            first, after = self._span(name)
            self._put(name, after, elements)
            self._set_span(name, first, after + len(elements))
        return after, after + len(elements)

    def prepend(self, list_name: str, elements: Sequence[bytes]) -> tuple[int, int]:
        """Adds messages before the oldest, oldest first; as `append`. Numbers may fall below zero."""
        name = _name(list_name)
        with self._writing():
            first, after = self._span(name)
            self._cut_before(name, first)
            self._put(name, first - len(elements), elements)
            self._set_span(name, first - len(elements), after)
        return first - len(elements), first

    def oldest(self, list_name: str, most: int, since: int | None = None) -> Piece | None:
        """The oldest messages, of those from the number `since` on: one or more and `most` at most, None where there are none.

        Raises BadStore where they are damaged. Cost: a chunk is decompressed once for reads of it in a row.
        """
        name = _name(list_name)
        with _said(self.path):
            first, after = self._span(name)
            number = max(first, first if since is None else since)
            if number >= after or most < 1:
                return None
            at, elements = self._chunk_with(name, number)
        end = min(number + most, after)
        return Piece(number, elements[number - at : end - at])

    def forget_before(self, list_name: str, number: int) -> None:
        """Messages with smaller numbers go."""
        name = _name(list_name)
        first, after = self.span(list_name)
        number = min(max(number, first), after)
        if number == first:
            return
        with self._writing():
            self._sql.execute("DELETE FROM chunks WHERE list = ? AND after <= ?", (name, number))
            self._set_span(name, number, after)
        self._shrink()

    def forget_from(self, list_name: str, number: int) -> None:
        """Messages with that number and larger ones go; the next that is appended gets it."""
        name = _name(list_name)
        first, after = self.span(list_name)
        number = min(max(number, first), after)
        if number == after:
            return
        with self._writing():
            # Of a chunk that is forgotten in part the rest would stand there under numbers that are given anew.
            self._cut_from(name, number if number > first else -_FAR)
            self._set_span(name, first, number)
        self._shrink()

    # What is there

    def span(self, list_name: str) -> tuple[int, int]:
        """(number of the oldest, the one after the newest); both are the same where nothing is there, (0, 0) at first."""
        with _said(self.path):
            return self._span(_name(list_name))

    def lists(self) -> list[str]:
        """The lists that have had messages here."""
        with _said(self.path):
            return [row[0].decode("utf-8", "surrogateescape") for row in self._sql.execute("SELECT list FROM spans")]

    def messages(self) -> int:
        """How many there are, of all lists."""
        return int(self._one("SELECT COALESCE(SUM(after - first), 0) FROM spans"))

    def bytes_on_disk(self) -> int:
        """The size of the file and of its write-ahead log."""
        return sum(part.stat().st_size for part in (self.path, _log_of(self.path)) if part.exists())

    def room(self) -> int | None:
        """How many bytes may be added before the store is as large as it may be; None: it may grow."""
        return None if self.most_bytes is None else self.most_bytes - self._used()

    # Notes

    def note(self, key: str, value: str) -> None:
        """Writes down a few words, in place of what was noted under that key."""
        with self._writing():
            self._sql.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, value))

    def noted(self, key: str) -> str | None:
        """What was noted last under that key."""
        with _said(self.path):
            row = self._sql.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    # How

    def _take(self) -> None:
        """Makes sure that the file is ours, or makes it so, before anything in it is changed."""
        application, version = self._one("PRAGMA application_id"), self._one("PRAGMA user_version")
        empty = not self._one("SELECT COUNT(*) FROM sqlite_master")
        if application != _APPLICATION and not (empty and application == 0 and version == 0):
            raise BadStore(f"{self.path} is another program's SQLite file: name another one, it was left as it is")
        if version > _VERSION:
            raise BadStore(f"{self.path} has format {version}, this Tidegate knows {_VERSION}: use the newer one")
        self._own(empty)
        self.id = self.noted("id") or ""

    def _own(self, empty: bool) -> None:
        self._sql.execute("PRAGMA locking_mode = EXCLUSIVE")
        if empty:
            self._sql.execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._sql.execute("PRAGMA journal_mode = WAL")
        self._sql.execute("PRAGMA synchronous = FULL")
        self._sql.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        # Taken by the first write, and kept.
        self._sql.execute("BEGIN IMMEDIATE")
        if empty:
            self._make()
        self._sql.execute("COMMIT")

    def _make(self) -> None:
        for statement in _TABLES.split(";"):
            self._sql.execute(statement)
        self._sql.execute("INSERT INTO notes VALUES ('id', ?)", (secrets.token_hex(8),))
        self._sql.execute(f"PRAGMA application_id = {_APPLICATION}")
        self._sql.execute(f"PRAGMA user_version = {_VERSION}")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """All of it or nothing, and on the disk at the end."""
        self._read = None
        with _said(self.path):
            self._sql.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._sql.execute("COMMIT")
            except BaseException:
                # After some errors SQLite has rolled back already.
                if self._sql.in_transaction:
                    self._sql.execute("ROLLBACK")
                raise

    def _put(self, name: bytes, first: int, elements: Sequence[bytes]) -> None:
        for piece in split(elements):
            packed = pack(piece)
            self._refuse_over(len(packed))
            self._insert(name, first, first + len(piece), packed)
            first += len(piece)

    def _insert(self, name: bytes, first: int, after: int, packed: bytes) -> None:
        row = (name, first, after, checksum(name, first, packed), packed)
        self._sql.execute("INSERT INTO chunks (list, first, after, crc, packed) VALUES (?, ?, ?, ?, ?)", row)

    def _refuse_over(self, size: int) -> None:
        if self.most_bytes is not None and self._used() + size > self.most_bytes:
            raise StoreFull(f"{self.path} holds as much as it may, {self.most_bytes} bytes: allow it more")

    def _used(self) -> int:
        """Bytes in use; what is free within the file is filled before it grows."""
        pages = self._one("PRAGMA page_count") - self._one("PRAGMA freelist_count")
        return pages * self._one("PRAGMA page_size")

    def _span(self, name: bytes) -> tuple[int, int]:
        row = self._sql.execute("SELECT first, after FROM spans WHERE list = ?", (name,)).fetchone()
        return (0, 0) if row is None else (row[0], row[1])

    def _set_span(self, name: bytes, first: int, after: int) -> None:
        self._sql.execute("INSERT OR REPLACE INTO spans VALUES (?, ?, ?)", (name, first, after))

    def _chunk_with(self, name: bytes, number: int) -> tuple[int, list[bytes]]:
        """(its first number, its messages) of the chunk in which a number of the span stands."""
        if self._read and self._read[0] == name and 0 <= number - self._read[1] < len(self._read[2]):
            return self._read[1:]
        chunk = self._find(name, number)
        if chunk is None:
            raise self._damage(name, number, "no chunk holds it")
        elements = self._opened(name, chunk)
        self._read = (name, chunk.first, elements)
        return chunk.first, elements

    def _find(self, name: bytes, number: int) -> _Chunk | None:
        query = "SELECT first, after, crc, packed FROM chunks WHERE list = ? AND first <= ? ORDER BY first DESC LIMIT 1"
        row = self._sql.execute(query, (name, number)).fetchone()
        return _Chunk(*row) if row is not None and row[1] > number else None

    def _opened(self, name: bytes, chunk: _Chunk) -> list[bytes]:
        if checksum(name, chunk.first, chunk.packed) != chunk.crc:
            raise self._damage(name, chunk.first, "its checksum is another")
        try:
            elements = unpack(chunk.packed)
        except ValueError as error:
            raise self._damage(name, chunk.first, str(error)) from error
        if len(elements) != chunk.after - chunk.first:
            raise self._damage(name, chunk.first, f"it holds {len(elements)} messages, not {chunk.after - chunk.first}")
        return elements

    def _cut_before(self, name: bytes, number: int) -> None:
        """No chunk reaches below the number any more."""
        chunk = self._find(name, number)
        if chunk is not None and chunk.first < number:
            rest = self._opened(name, chunk)[number - chunk.first :]
            self._sql.execute("DELETE FROM chunks WHERE list = ? AND first = ?", (name, chunk.first))
            self._insert(name, number, chunk.after, pack(rest))

    def _cut_from(self, name: bytes, number: int) -> None:
        """No chunk reaches up to the number any more."""
        chunk = self._find(name, number)
        self._sql.execute("DELETE FROM chunks WHERE list = ? AND after > ?", (name, number))
        if chunk is not None and chunk.first < number:
            self._insert(name, chunk.first, number, pack(self._opened(name, chunk)[: number - chunk.first]))

    def _shrink(self) -> None:
        """Gives pages that became free back to the disk; where that fails they are used again later."""
        with _said(self.path):
            # As a script: a cursor takes the first step of this pragma, which gives one page back, for its end.
            self._sql.executescript("PRAGMA incremental_vacuum")

    def _one(self, query: str) -> int:
        with _said(self.path):
            return int(self._sql.execute(query).fetchone()[0])

    def _damage(self, name: bytes, number: int, why: str) -> BadStore:
        shown = name.decode("utf-8", "replace")
        return BadStore(f"{self.path} is damaged at message {number} of {shown}: {why}; restore the file from a copy")


def _name(list_name: str) -> bytes:
    return list_name.encode("utf-8", "surrogateescape")


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _sync_directory(path: Path) -> None:
    """A file whose name is lost with the power is lost itself."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _said(path: Path) -> Iterator[None]:
    """Errors of SQLite become ours, in one line."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _explained(path, error) from error


def _explained(path: Path, error: Exception) -> BadStore | StoreFull:
    code = getattr(error, "sqlite_errorcode", 0) or 0
    if code & 0xFF in _NO_ROOM:
        return StoreFull(f"no room for {path}: the disk is full; make room, what is in it stays")
    if code & 0xFF in _DAMAGED:
        return BadStore(
            f"{path} is damaged or no store of Tidegate: {error}; restore it from a copy or name another one"
        )
    if code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return BadStore(f"{path} is in use by another process: end that one, or name another place")
    return BadStore(f"{path} can't be used: {error}")
