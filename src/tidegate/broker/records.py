"""What the probe keeps in Redis, as bytes: slices in columns under zlib, workers as msgpack; decoding never raises.

A record begins with its version, so a later Tidegate can tell its own from an older one's. Nothing is unpickled.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, pairwise
from math import isfinite
from typing import NamedTuple, TypeVar

import msgspec

from tidegate.broker.columns import Unpackable, pack, unpack
from tidegate.facts.measured import (
    OUTCOMES,
    TICKS,
    Busy,
    Depth,
    Followed,
    Key,
    Lag,
    Runs,
    Slice,
    Tick,
    WorkerSeen,
)
from tidegate.facts.sketch import NS, Sketch

VERSION = b"\x01"
#: What a record may weigh: the largest that is written is far below.
MOST_RECORD_BYTES = 16 << 20
#: A microsecond is bucket −690, so that every bucket is a positive number.
_FIRST_BUCKET = 1000
_MOST_BUCKET = 2000
_MOST_BUSY = 1 << 20

_Numbers = TypeVar("_Numbers", Busy, Tick, Followed, Depth)


class Stored(NamedTuple):
    """A slice as it is kept: with the late records that were merged into it (see ledger.py)."""

    slice: Slice
    merged: tuple[str, ...] = ()


class _Head(msgspec.Struct, array_like=True, gc=False):
    start_s: int
    length_s: int
    unit_ns: int
    names: list[str]
    outcomes: list[str]
    merged: list[str]


class _Writer:
    """Five columns, so that like stands by like: how many there are of something, names, buckets, counts, times."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.columns: list[list[int]] = [[], [], [], [], []]

    def size(self, number: int) -> None:
        self.columns[0].append(number)

    def name(self, name: str) -> None:
        self.columns[1].append(self.names.setdefault(name, len(self.names)))

    def buckets(self, numbers: Iterable[int]) -> None:
        self.columns[2].extend(numbers)

    def counts(self, *numbers: int) -> None:
        self.columns[3].extend(numbers)

    def times(self, *times_ns: int) -> None:
        self.columns[4].extend(times_ns)

    def seconds(self, seconds: float) -> None:
        self.columns[4].append(round(seconds * NS))


class _Reader:
    """The same columns from the front; every read raises Unpackable or StopIteration where nothing fits."""

    def __init__(self, head: _Head, columns: list[Iterator[int]]) -> None:
        if len(columns) != 5:
            raise Unpackable(f"expected 5 columns, got {len(columns)}")
        self._names = head.names
        self._unit_ns = head.unit_ns
        self._sizes, self._places, self._buckets, self._counts, self._times = columns

    def size(self) -> int:
        return next(self._sizes)

    def name(self) -> str:
        return self._names[next(self._places)]

    def buckets(self, count: int) -> list[int]:
        return [next(self._buckets) for _ in range(count)]

    def count(self) -> int:
        return next(self._counts)

    def counts(self, count: int) -> list[int]:
        return [next(self._counts) for _ in range(count)]

    def time(self) -> int:
        return next(self._times) * self._unit_ns

    def seconds(self) -> float:
        return self.time() / NS


def encode_slice(slice_: Slice, merged: Iterable[str] = ()) -> bytes:
    """The slice as one record; 100 to 500 bytes a key, about 0.1 ms a key."""
    writer = _Writer()
    outcomes = list(OUTCOMES)
    writer.size(len(slice_.runs))
    for key, runs in slice_.runs.items():
        for name in key:
            writer.name(name)
        _write_runs(writer, runs, outcomes)
    _write_rest(writer, slice_)
    # Runs are timed in whole microseconds, so that the last three digits need not be kept.
    unit_ns = 1 if any(time % 1000 for time in writer.columns[4]) else 1000
    writer.columns[4] = [time // unit_ns for time in writer.columns[4]]
    head = _Head(slice_.start_s, slice_.length_s, unit_ns, list(writer.names), outcomes, list(merged))
    return VERSION + pack(msgspec.msgpack.encode(head), writer.columns)


def decode_slice(record: bytes) -> Stored | None:
    """The slice of a record; None where it is no record of this version, or its numbers make no sense. Never raises."""
    if record[:1] != VERSION or len(record) > MOST_RECORD_BYTES:
        return None
    try:
        packed, columns = unpack(record[1:])
        head = msgspec.msgpack.decode(packed, type=_Head)
        return Stored(_slice(head, _Reader(head, columns)), tuple(head.merged))
    except (Unpackable, msgspec.MsgspecError, StopIteration, RuntimeError, LookupError, OverflowError, ValueError):
        return None


def encode_worker(seen: WorkerSeen) -> bytes:
    """What a worker says of itself, as one record of some 300 bytes."""
    return VERSION + msgspec.msgpack.encode(seen)


def decode_worker(record: bytes) -> WorkerSeen | None:
    """The worker of a record; None where it is no record of this version. Never raises."""
    if record[:1] != VERSION:
        return None
    try:
        seen = msgspec.msgpack.decode(record[1:], type=WorkerSeen)
    except (msgspec.MsgspecError, ValueError):
        return None
    return seen if _sensible(seen) else None


def _sensible(seen: WorkerSeen) -> bool:
    numbers = (seen.at_s, seen.started_at_s, seen.cores, seen.clock_ahead_s, seen.every_s, seen.busy_cores or 0.0)
    return all(map(isfinite, numbers)) and 0 <= seen.slots < _MOST_BUSY and seen.every_s > 0 and seen.cores >= 0


def _write_runs(writer: _Writer, runs: Runs, outcomes: list[str]) -> None:
    _write_sketch(writer, runs.run)
    _write_sketch(writer, runs.wait)
    known = [(outcomes.index(name), count) for name, count in runs.outcomes.items() if name in outcomes and count]
    writer.size(len(known))
    for place, count in known:
        writer.counts(place, count)
    writer.counts(runs.firings, runs.odd_stamps)
    _write_counter(writer, runs.children)
    writer.size(len(runs.busy))
    for slots, busy in runs.busy.items():
        writer.counts(slots, busy.runs)
        writer.times(busy.run_ns, busy.cpu_ns)
    writer.size(len(runs.ticks))
    for number, tick in runs.ticks.items():
        writer.counts(number, tick.runs, tick.firings)
        writer.times(tick.run_ns)


def _write_rest(writer: _Writer, slice_: Slice) -> None:
    writer.size(len(slice_.turnaround))
    for queue, sketch in slice_.turnaround.items():
        writer.name(queue)
        _write_sketch(writer, sketch)
    writer.size(len(slice_.followed))
    for entry, firings in slice_.followed.items():
        writer.name(entry)
        writer.size(len(firings))
        for root, followed in firings.items():
            writer.counts(root, followed.runs)
            writer.times(followed.run_ns)
    writer.size(len(slice_.depths))
    for queue, depths in slice_.depths.items():
        writer.name(queue)
        writer.size(len(depths))
        for number, depth in depths.items():
            writer.counts(number, depth.looks, depth.messages)
    writer.size(len(slice_.ahead))
    for machine, seconds in slice_.ahead.items():
        writer.name(machine)
        writer.seconds(seconds)
    writer.size(len(slice_.lags))
    for machine, lag in slice_.lags.items():
        writer.name(machine)
        writer.counts(lag.messages)
        writer.seconds(lag.least_s)
    _write_counter(writer, slice_.counts)


def _write_sketch(writer: _Writer, sketch: Sketch) -> None:
    buckets = sorted(sketch.buckets)
    writer.size(len(buckets))
    if buckets:
        # The first bucket, and then the gaps, which are small.
        writer.buckets([buckets[0] + _FIRST_BUCKET, *(b - a for a, b in pairwise(buckets))])
        writer.counts(*map(sketch.buckets.__getitem__, buckets))
    writer.counts(sketch.zeros)
    writer.times(sketch.total_ns, sketch.low_ns, sketch.high_ns)


def _write_counter(writer: _Writer, counter: Counter[str]) -> None:
    writer.size(len(counter))
    for name, count in counter.items():
        writer.name(name)
        writer.counts(count)


def _slice(head: _Head, reader: _Reader) -> Slice:
    if head.start_s < 0 or head.length_s <= 0 or head.unit_ns not in (1, 1000):
        raise Unpackable("no such stretch of time")
    slice_ = Slice(head.start_s, head.length_s)
    for _ in range(reader.size()):
        key = Key(reader.name(), reader.name(), reader.name())
        slice_.runs[key] = _runs(reader, head.outcomes)
    slice_.turnaround = {reader.name(): _sketch(reader) for _ in range(reader.size())}
    slice_.followed = {reader.name(): _items(reader, _followed, 1 << 32) for _ in range(reader.size())}
    slice_.depths = {reader.name(): _items(reader, _depth, TICKS) for _ in range(reader.size())}
    slice_.ahead = {reader.name(): reader.seconds() for _ in range(reader.size())}
    slice_.lags = {reader.name(): Lag(reader.count(), reader.seconds()) for _ in range(reader.size())}
    slice_.counts = _counter(reader)
    return slice_


def _runs(reader: _Reader, outcomes: list[str]) -> Runs:
    runs = Runs(run=_sketch(reader), wait=_sketch(reader))
    for _ in range(reader.size()):
        runs.outcomes[outcomes[reader.count()]] += reader.count()
    runs.firings, runs.odd_stamps = reader.counts(2)
    runs.children = _counter(reader)
    runs.busy = _items(reader, _busy, _MOST_BUSY)
    runs.ticks = _items(reader, _tick, TICKS)
    return runs


def _sketch(reader: _Reader) -> Sketch:
    sketch, size = Sketch(), reader.size()
    if size:
        first, *gaps = reader.buckets(size)
        places = list(accumulate(gaps, initial=first - _FIRST_BUCKET))
        if not -_FIRST_BUCKET <= places[0] <= places[-1] <= _MOST_BUCKET or 0 in gaps:
            raise Unpackable("no such bucket")
        sketch.buckets = dict(zip(places, reader.counts(size), strict=True))
    sketch.zeros = reader.count()
    sketch.total_ns, sketch.low_ns, sketch.high_ns = reader.time(), reader.time(), reader.time()
    return sketch


def _items(reader: _Reader, read: Callable[[_Reader], _Numbers], most: int) -> dict[int, _Numbers]:
    items: dict[int, _Numbers] = {}
    for _ in range(reader.size()):
        number = reader.count()
        if number >= most:
            raise Unpackable(f"no such number: {number}")
        items[number] = read(reader)
    return items


def _busy(reader: _Reader) -> Busy:
    return Busy(reader.count(), reader.time(), reader.time())


def _tick(reader: _Reader) -> Tick:
    runs, firings = reader.counts(2)
    return Tick(runs, reader.time(), firings)


def _followed(reader: _Reader) -> Followed:
    return Followed(reader.count(), reader.time())


def _depth(reader: _Reader) -> Depth:
    return Depth(reader.count(), reader.count())


def _counter(reader: _Reader) -> Counter[str]:
    return Counter({reader.name(): reader.count() for _ in range(reader.size())})
