"""Memory that a worker shares with the processes of its pool: one ring of finished runs a slot, and what runs now.

    page 0        how many slots · the broker's clock · one byte a slot: busy
    a slot        written up to · read up to · dropped · process · serial · what runs now · the ring

A process writes its own slot only, without a lock, a system call or a thread, and can be killed at any instruction:
the bytes of a record come first, then one aligned store of eight bytes makes it part of the ring. A checksum guards
against processors that make stores visible in another order. What a killed process left is read like any other.
"""

import mmap
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import msgspec

from tidegate.observe.probe.run import Ended, Started, shortened

RING_BYTES = 256 << 10
_PAGE = 4096
_SLOT_BYTES = _PAGE + RING_BYTES
_BUSY = 64
MOST_SLOTS = _PAGE - _BUSY
_NOW = 64
_NOW_BYTES = _PAGE - _NOW - 8
#: Words of a slot.
_WRITTEN, _READ, _DROPPED, _PID, _SERIAL = range(5)
_FRAME = struct.Struct("=IHH")
_FRAME_BYTES = _FRAME.size
#: So many turns a record whose checksum is wrong is waited for: its bytes may be on their way from another core.
_PATIENCE = 20

encode = msgspec.msgpack.Encoder().encode
_decode_started = msgspec.msgpack.Decoder(Started).decode
_decode_ended = msgspec.msgpack.Decoder(Ended).decode

Run = tuple[Started, Ended]


class Rings:
    """The shared memory, seen from either side; made before the pool forks, or opened from a file by what was spawned."""

    def __init__(self, memory: mmap.mmap, slots: int) -> None:
        self.memory = memory
        self.slots = slots
        view = memoryview(memory)
        self._words = view.cast("Q")
        self._clock = view[8:16].cast("d")
        self._bad_turns: dict[int, int] = {}
        #: Records that could not be read; the run happened, but nobody knows which.
        self.unreadable = 0

    @classmethod
    def shared(cls, slots: int) -> "Rings":
        """Memory that forked processes inherit; a page costs nothing before it is written."""
        slots = min(slots, MOST_SLOTS)
        rings = cls(mmap.mmap(-1, _PAGE + slots * _SLOT_BYTES), slots)
        rings._words[0] = slots
        return rings

    @classmethod
    def in_file(cls, path: Path, slots: int | None = None) -> "Rings":
        """The same in a file, for processes that inherit nothing; made where `slots` is given, else opened."""
        if slots is not None:
            slots = min(slots, MOST_SLOTS)
            with path.open("wb") as file:
                file.truncate(_PAGE + slots * _SLOT_BYTES)
        with path.open("r+b") as file:
            memory = mmap.mmap(file.fileno(), 0)
        if slots is not None:
            memoryview(memory).cast("Q")[0] = slots
        return cls(memory, memoryview(memory).cast("Q")[0])

    @property
    def anchor_s(self) -> float:
        """The broker's time at zero of CLOCK_MONOTONIC; 0 while it is unknown."""
        return self._clock[0]

    @anchor_s.setter
    def anchor_s(self, value: float) -> None:
        self._clock[0] = value

    def clock(self) -> tuple[float, bool]:
        """The broker's time where it is known, else the machine's own, and which of the two it is."""
        anchor_s = self._clock[0]
        return (time.monotonic() + anchor_s, True) if anchor_s else (time.time(), False)

    @property
    def without_slot(self) -> int:
        """Pool processes for which there was no slot; what they run is not recorded."""
        return self._words[2]

    def note_without_slot(self) -> None:
        """Counts such a process."""
        self._words[2] += 1

    def busy(self) -> int:
        """How many slots are busy; 0.2 µs."""
        return self.memory[_BUSY : _BUSY + self.slots].count(1)

    def writer(self, index: int, pid: int) -> "SlotWriter":
        """The slot for its new process. A run that the one before did not end is written down as lost."""
        return SlotWriter(self, index, pid)

    def running(self) -> Iterator[tuple[int, int, Started]]:
        """(slot, process, run) of every run that has begun and not ended."""
        for index in range(self.slots):
            if self.memory[_BUSY + index]:
                started = self.now(index)
                if started is not None:
                    yield index, self._words[self._word(index) + _PID], started

    def now(self, index: int) -> Started | None:
        """What the slot runs or last ran; None while it is being written."""
        place = _PAGE + index * _SLOT_BYTES + _NOW
        checksum, size, _ = _FRAME.unpack_from(self.memory, place)
        data = self.memory[place + 8 : place + 8 + min(size, _NOW_BYTES)]
        return _decode_started(data) if size and crc32(data) == checksum else None

    def free(self, index: int) -> None:
        """Marks the slot of a process that is gone as idle."""
        self.memory[_BUSY + index] = 0

    def drain(self) -> list[tuple[int, Run]]:
        """All runs that ended since the last call, by slot; 2 µs each."""
        found: list[tuple[int, Run]] = []
        for index in range(self.slots):
            word = self._word(index)
            written, read = self._words[word + _WRITTEN], self._words[word + _READ]
            if written != read:
                self._words[word + _READ] = self._take(index, read, written, found)
        return found

    def dropped(self) -> int:
        """Runs for which a ring had no room, since the worker started."""
        return sum(self._words[self._word(index) + _DROPPED] for index in range(self.slots))

    def _take(self, index: int, read: int, written: int, found: list[tuple[int, Run]]) -> int:
        data, place = self._bytes(index, read, written - read), 0
        while place < len(data):
            checksum, first, second = _FRAME.unpack_from(data, place)
            middle, end = place + _FRAME_BYTES + first, place + _FRAME_BYTES + first + second
            if end > len(data) or crc32(data[place + _FRAME_BYTES : end]) != checksum:
                return self._distrust(index, read + place, written)
            found.append(
                (index, (_decode_started(data[place + _FRAME_BYTES : middle]), _decode_ended(data[middle:end])))
            )
            place = end
        self._bad_turns.pop(index, None)
        return written

    def _add(self, found: list[tuple[int, Run]], index: int, started: bytes, ended: bytes) -> None:
        try:
            found.append((index, (_decode_started(started), _decode_ended(ended))))
        except msgspec.MsgspecError:
            self.unreadable += 1

    def _distrust(self, index: int, place: int, written: int) -> int:
        turns = self._bad_turns[index] = self._bad_turns.get(index, 0) + 1
        if turns < _PATIENCE:
            return place
        self.unreadable += 1
        del self._bad_turns[index]
        return written

    def _bytes(self, index: int, start: int, count: int) -> bytes:
        ring = _PAGE * 2 + index * _SLOT_BYTES
        place = start % RING_BYTES
        first = min(count, RING_BYTES - place)
        return self.memory[ring + place : ring + place + first] + self.memory[ring : ring + count - first]

    def _word(self, index: int) -> int:
        return (_PAGE + index * _SLOT_BYTES) // 8


class SlotWriter:
    """The slot of one pool process, which alone writes it."""

    def __init__(self, rings: Rings, index: int, pid: int) -> None:
        self.rings = rings
        self._memory = rings.memory
        self._words = rings._words
        self._word = rings._word(index)
        self._busy = _BUSY + index
        self._now = _PAGE + index * _SLOT_BYTES + _NOW
        self._ring = _PAGE * 2 + index * _SLOT_BYTES
        self._started = b""
        if self._memory[self._busy]:
            self._lose(rings.now(index))
        self._words[self._word + _PID] = pid
        self.serial = self._words[self._word + _SERIAL]

    def begin(self, started: Started) -> None:
        """Says that this run has begun; 1.5 µs."""
        self._words[self._word + _SERIAL] = self.serial = started.serial
        data = encode(started)
        if len(data) > _NOW_BYTES:
            data = encode(shortened(started))
        size = len(data)
        self._memory[self._now : self._now + 8 + size] = _FRAME.pack(crc32(data), size, 0) + data
        self._memory[self._busy] = 1
        self._started = data

    def end(self, ended: Ended) -> None:
        """Puts the run into the ring, or counts it as dropped where there is no room; 2 µs."""
        self._append(self._started, encode(ended))
        self._memory[self._busy] = 0

    def _append(self, started: bytes, ended: bytes) -> None:
        data = started + ended
        record = _FRAME.pack(crc32(data), len(started), len(ended)) + data
        size = len(record)
        words, word = self._words, self._word
        written = words[word + _WRITTEN]
        if written + size - words[word + _READ] > RING_BYTES:
            words[word + _DROPPED] += 1
            return
        place = self._ring + written % RING_BYTES
        room = self._ring + RING_BYTES - place
        if size <= room:
            self._memory[place : place + size] = record
        else:
            self._memory[place : place + room] = record[:room]
            self._memory[self._ring : self._ring + size - room] = record[room:]
        words[word + _WRITTEN] = written + size

    def _lose(self, started: Started | None) -> None:
        if started is not None:
            end_us = time.monotonic_ns() // 1000
            self._append(encode(started), encode(Ended(started.serial, end_us, 0, started.busy, "lost")))
        self._memory[self._busy] = 0
