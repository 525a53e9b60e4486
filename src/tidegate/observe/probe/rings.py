"""Memory that a worker shares with the processes of its pool: one ring of runs a slot.

    page 0   how many slots · the broker's clock · processes without a slot · one byte a slot: busy
    a slot   written up to · read up to · dropped · process · serial · 4,096 cells of 64 bytes

A process writes its own slot only, without a lock, a system call or a thread, and can be killed at any instruction. The
cell behind the last one that is written is what runs now; where the run ends, its cell is completed, and one aligned
store of eight bytes makes it part of the ring. Of a process that was killed that cell is left, so its run is not
forgotten. What runs have in common is written once a process and referred to by number, so a run fills one cell.
"""

import mmap
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tidegate.observe.probe.run import LOST, Flag, Kind, Names, Run, machine_of, name_of

CELL_BYTES = 64
CELLS = 4096
_PAGE = 4096
_SLOT_BYTES = _PAGE + CELLS * CELL_BYTES
_BUSY = 64
MOST_SLOTS = _PAGE - _BUSY
#: Words of a slot.
_WRITTEN, _READ, _DROPPED, _PID, _SERIAL = range(5)
#: What a cell may be. Those behind RUN begin with their size, and may go on in the next cells.
_RUN, _CHILDREN, _NAMES, _MACHINE, _HELLO = range(1, 6)
#: kind flags busy busy-at-end outcome names machine root serial start end cpu outside stamp eta
_CELL = struct.Struct("=BBHHBxHHIQQQIIdd")
_END = struct.Struct("=HB")
_END_AT = 4
_TIMES = struct.Struct("=QI")
_TIMES_AT = 32
_DATA = struct.Struct("=BxH")
_MOST_U32 = (1 << 32) - 1
#: Kinds of runs, and machines, that a process refers to by number; with more it begins anew.
_MOST_KNOWN = 2000

assert _CELL.size == CELL_BYTES


class Rings:
    """The shared memory, seen from either side; made before the pool forks, or opened from a file by what was spawned."""

    def __init__(self, memory: mmap.mmap, slots: int) -> None:
        self.memory = memory
        self.slots = slots
        view = memoryview(memory)
        self.words = view.cast("Q")
        self._clock = view[8:16].cast("d")
        self._readers = [_Reader(self, index) for index in range(slots)]

    @classmethod
    def shared(cls, slots: int) -> "Rings":
        """Memory that forked processes inherit; a page costs nothing before it is written."""
        slots = min(slots, MOST_SLOTS)
        rings = cls(mmap.mmap(-1, _PAGE + slots * _SLOT_BYTES), slots)
        rings.words[0] = slots
        return rings

    @classmethod
    def in_file(cls, path: Path, slots: int | None = None) -> "Rings":
        """The same in a file, for processes that inherit nothing; made where `slots` is given, else opened."""
        if slots is not None:
            with path.open("wb") as file:
                file.truncate(_PAGE + min(slots, MOST_SLOTS) * _SLOT_BYTES)
        with path.open("r+b") as file:
            memory = mmap.mmap(file.fileno(), 0)
        rings = cls(memory, (len(memory) - _PAGE) // _SLOT_BYTES)
        rings.words[0] = rings.slots
        return rings

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
        return self.words[2]

    def note_without_slot(self) -> None:
        """Counts such a process."""
        self.words[2] += 1

    def busy(self) -> int:
        """How many slots are busy; 0.2 µs."""
        return self.memory[_BUSY : _BUSY + self.slots].count(1)

    def free(self, index: int) -> None:
        """Marks the slot of a process that is gone as idle."""
        self.memory[_BUSY + index] = 0

    def running(self) -> Iterator[tuple[int, Run]]:
        """(process, run) of every run that has begun and not ended; such a run has no end yet."""
        for index, reader in enumerate(self._readers):
            if self.memory[_BUSY + index] and (run := reader.now()) is not None:
                yield self.words[reader.word + _PID], run

    def drain(self) -> list[Run]:
        """All runs that ended since the last call; a microsecond each."""
        found: list[Run] = []
        for reader in self._readers:
            reader.take(found)
        return found

    def dropped(self) -> int:
        """Runs for which a ring had no room, since the worker started."""
        return sum(self.words[reader.word + _DROPPED] for reader in self._readers)

    def unreadable(self) -> int:
        """Cells that made no sense, since the worker started."""
        return sum(reader.unreadable for reader in self._readers)


class _Reader:
    """The reading side of one slot, in the worker's main process."""

    def __init__(self, rings: Rings, index: int) -> None:
        self.word = (_PAGE + index * _SLOT_BYTES) // 8
        self.unreadable = 0
        self._rings = rings
        self._index = index
        self._cells = _PAGE * 2 + index * _SLOT_BYTES
        self._kinds: dict[int, Kind] = {}
        self._machines: dict[int, str] = {}
        self._fresh = 0

    def take(self, found: list[Run]) -> None:
        """Adds the runs that ended since the last call."""
        words = self._rings.words
        written, read = words[self.word + _WRITTEN], words[self.word + _READ]
        if written == read:
            return
        data, skip = self._data(read, written), 0
        for place, cell in enumerate(_CELL.iter_unpack(data)):
            if skip:
                skip -= 1
            elif cell[0] == _RUN:
                self._add(found, cell)
            else:
                skip = self._learn(data, place * CELL_BYTES, found)
        words[self.word + _READ] = written

    def now(self) -> Run | None:
        """What runs, or was running when its process was killed."""
        written = self._rings.words[self.word + _WRITTEN]
        (cell,) = _CELL.iter_unpack(self._data(written, written + 1))
        kind = self._kinds.get(cell[5])
        goes_on = _is_run(cell, self._rings.words[self.word + _SERIAL])
        return self._run(cell, kind, cell[1]) if goes_on and kind is not None else None

    def _add(self, found: list[Run], cell: tuple[Any, ...]) -> None:
        kind = self._kinds.get(cell[5])
        if kind is None:
            self.unreadable += 1
        else:
            found.append(self._run(cell, kind, cell[1] | self._fresh))
            self._fresh = 0

    def _run(self, cell: tuple[Any, ...], kind: Kind, flags: int) -> Run:
        _, _, busy, busy_at_end, outcome, _, machine, *rest = cell
        return Run(self._index, kind, self._machines.get(machine, ""), None, flags, busy, busy_at_end, outcome, *rest)

    def _learn(self, data: bytes, place: int, found: list[Run]) -> int:
        """Takes in what is no run; how many more cells it fills."""
        sort, size = _DATA.unpack_from(data, place)
        body = data[place + _DATA.size : place + _DATA.size + size]
        try:
            if sort == _HELLO:
                self._kinds.clear()
                self._machines.clear()
                self._fresh = Flag.FRESH
            elif sort == _NAMES:
                number, names = msgspec.msgpack.decode(body, type=tuple[int, Names])
                self._kinds[number] = Kind(names)
            elif sort == _MACHINE:
                number, name = msgspec.msgpack.decode(body, type=tuple[int, str])
                self._machines[number] = name
            elif sort == _CHILDREN and found:
                found[-1] = found[-1]._replace(children=msgspec.msgpack.decode(body, type=dict[str, int]))
        except msgspec.MsgspecError:
            self.unreadable += 1
        return _cells_of(size) - 1

    def _data(self, start: int, end: int) -> bytes:
        first, last, memory = start % CELLS, end % CELLS or CELLS, self._rings.memory
        if first < last and end - start <= CELLS:
            return memory[self._cells + first * CELL_BYTES : self._cells + last * CELL_BYTES]
        ring_end = self._cells + CELLS * CELL_BYTES
        return (
            memory[self._cells + first * CELL_BYTES : ring_end] + memory[self._cells : self._cells + last * CELL_BYTES]
        )


class SlotWriter:
    """The slot of one pool process, which alone writes it. A run that the process before did not end becomes lost."""

    def __init__(self, rings: Rings, index: int) -> None:
        self._memory = rings.memory
        self._words = rings.words
        self._word = (_PAGE + index * _SLOT_BYTES) // 8
        self._busy = _BUSY + index
        self._cells = _PAGE * 2 + index * _SLOT_BYTES
        self._place = self._cells
        self._kinds: dict[Any, int] = {}
        self._machines: dict[Any, int] = {}
        if self._memory[self._busy]:
            self._place = self._cell(self._words[self._word + _WRITTEN])
            self._lose(rings.busy())
        self._words[self._word + _PID] = os.getpid()
        self._serial = self._words[self._word + _SERIAL]
        self._write(_HELLO, b"")

    def begin(
        self,
        said: tuple[Any, Any, int, float, float, int],
        busy: int,
        start_us: int,
        outside_us: int,
    ) -> None:
        """Says that a run has begun, as `said_of` describes it; a microsecond, where its kind is known."""
        names, origin, root, stamp_s, eta_s, flags = said
        try:
            kind, machine = self._kinds.get(names), self._machines.get(origin)
        except TypeError:
            # A name that can't be looked up is none.
            names, origin = tuple(map(name_of, names)), name_of(origin)
            kind = machine = None
        if kind is None or machine is None:
            kind, machine = self._define(names, origin)
        self._serial = serial = self._serial + 1
        words, word = self._words, self._word
        words[word + _SERIAL] = serial
        self._place = place = self._cells + words[word] % CELLS * CELL_BYTES
        if outside_us > _MOST_U32:
            outside_us = _MOST_U32
        _CELL.pack_into(
            self._memory, place, _RUN, flags, busy, busy, LOST, kind, machine, root, serial,
            start_us, 0, 0, outside_us, stamp_s, eta_s,
        )  # fmt: skip
        self._memory[self._busy] = 1

    def end(self, busy: int, outcome: int, end_us: int, cpu_us: int, children: dict[str, int] | None) -> None:
        """Makes the run part of the ring, or counts it as dropped where there is no room; a microsecond."""
        memory, words, word, place = self._memory, self._words, self._word, self._place
        _END.pack_into(memory, place + _END_AT, busy, outcome)
        _TIMES.pack_into(memory, place + _TIMES_AT, end_us, cpu_us if cpu_us < _MOST_U32 else _MOST_U32)
        written = words[word] + 1
        # One cell stays free, for what runs now.
        if written - words[word + _READ] >= CELLS:
            words[word + _DROPPED] += 1
        elif children is None:
            words[word] = written
        else:
            words[word] = written + self._fill(written, _CHILDREN, msgspec.msgpack.encode(children))
        memory[self._busy] = 0

    def _lose(self, busy: int) -> None:
        """Ends what the process before was running, unless it had just ended that itself."""
        if _is_run(_CELL.unpack_from(self._memory, self._place), self._words[self._word + _SERIAL]):
            self.end(busy, LOST, time.monotonic_ns() // 1000, 0, None)
        self._memory[self._busy] = 0

    def _define(self, names: Any, origin: Any) -> tuple[int, int]:
        """The numbers of names and machine, from now on."""
        if len(self._kinds) >= _MOST_KNOWN or len(self._machines) >= _MOST_KNOWN:
            self._kinds.clear()
            self._machines.clear()
            self._write(_HELLO, b"")
        if names not in self._kinds:
            number, known = len(self._kinds) + 1, tuple(map(name_of, names))
            if self._write(_NAMES, msgspec.msgpack.encode((number, known))):
                self._kinds[names] = number
        if origin not in self._machines:
            number = len(self._machines) + 1
            if self._write(_MACHINE, msgspec.msgpack.encode((number, machine_of(origin)))):
                self._machines[origin] = number
        return self._kinds.get(names, 0), self._machines.get(origin, 0)

    def _write(self, sort: int, body: bytes) -> bool:
        written = self._words[self._word]
        cells = self._fill(written, sort, body)
        self._words[self._word] = written + cells
        return cells > 0

    def _fill(self, written: int, sort: int, body: bytes) -> int:
        """Writes into the cells from there on; how many, 0 where there is no room."""
        cells = _cells_of(len(body))
        if written + cells - self._words[self._word + _READ] >= CELLS:
            return 0
        data = (_DATA.pack(sort, len(body)) + body).ljust(cells * CELL_BYTES, b"\0")
        for number in range(cells):
            place = self._cell(written + number)
            self._memory[place : place + CELL_BYTES] = data[number * CELL_BYTES : (number + 1) * CELL_BYTES]
        return cells

    def _cell(self, number: int) -> int:
        return self._cells + number % CELLS * CELL_BYTES


def _is_run(cell: tuple[Any, ...], serial: int) -> bool:
    """True where the cell is the run of that serial, and not what was there a round before."""
    return bool(cell[0] == _RUN and cell[8] == serial)


def _cells_of(size: int) -> int:
    return -(-(size + _DATA.size) // CELL_BYTES)
