"""A batch as the payload of a frame: 32 bytes of what it holds, the queue's name, and the messages, compressed."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from importlib import import_module
from importlib.util import find_spec
from itertools import accumulate, pairwise
from types import ModuleType

from tidegate.backup.batch import Batch

_PLAN = struct.Struct("<HHIdQQ")
_PER_MESSAGE_BYTES = 8
# What the lengths in a head can tell, less room for what does not compress.
LARGEST_BYTES = (1 << 32) - (64 << 20)

# Measured on 8,000 messages as Celery writes them, 1,005 bytes each (docs/reference/backup-format.md): level 4 12.9 x at
# 178 MB/s, 5 12.9 x at 163, 6 13.1 x at 137, 9 13.2 x at 79. Z_FILTERED leaves short matches alone, which in the random
# digits of ids cost more than they save: without it 12.7 x, and 9.1 x in place of 10.1 x where every id is another.
# zstd: level 1 14.9 x at 1,250 MB/s; higher ones are larger, for the same reason.
ZLIB_LEVEL = 5
ZSTD_LEVEL = 1
NO_ZSTD = "zstd is not installed here: pip install 'tidegate[zstd]'"


class Codec(IntEnum):
    """How the messages of a batch are compressed."""

    PLAIN = 0
    ZLIB = 1
    ZSTD = 2


class NotUnpacked(ValueError):
    """A payload that is not what its head says; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a batch holds, as it can be read without unpacking it; positions from `first` to `last`, both there."""

    queue: str
    step: int
    count: int
    moment_s: float
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A batch ready to be written: what it holds, and the bytes. `plain` is their length before compression."""

    plan: Plan
    codec: Codec
    payload: bytes
    plain: int

    @property
    def message_bytes(self) -> int:
        """How many bytes the messages have."""
        return message_bytes(self.plain, self.plan.count)


def pack(batch: Batch, codec: Codec = Codec.ZLIB) -> Packed:
    """The batch, compressed; 150 MB/s on one core with zlib, which lets other threads run meanwhile.

    Raises ValueError for no messages, for positions that do not ascend, and for more than 4 GB.
    """
    plan, plain = _plan_of(batch), _plain_of(batch)
    if len(plain) > LARGEST_BYTES:
        message = f"{len(plain):,} bytes in one batch, which holds 4 GB at most"
        raise ValueError(message)
    stored = _compressed(plain, codec)
    return Packed(plan=plan, codec=codec, payload=_written(plan) + stored, plain=len(plain))


def message_bytes(plain: int, count: int) -> int:
    """How many bytes the messages of a batch have, that is `plain` bytes long before compression."""
    return plain - _PER_MESSAGE_BYTES * count


def can_do(codec: int) -> bool:
    """Whether what that method needs is installed."""
    return codec != Codec.ZSTD or find_spec("zstandard") is not None


def plan_of(payload: bytes) -> Plan:
    """What the batch with that payload holds; needs its first 32 bytes and the name. Raises NotUnpacked."""
    try:
        step, name_bytes, count, moment_s, first, last = _PLAN.unpack_from(payload)
        name = payload[_PLAN.size : _PLAN.size + name_bytes]
        queue = name.decode("utf-8", "surrogateescape")
    except struct.error as error:
        raise NotUnpacked(str(error)) from error
    return Plan(queue=queue, step=step, count=count, moment_s=moment_s, first=first, last=last)


def unpack(payload: bytes, codec: int, plain: int) -> Batch:
    """The batch that was packed. Raises NotUnpacked where the payload is not what it says."""
    plan = plan_of(payload)
    start = _PLAN.size + len(_name(plan.queue))
    try:
        return _read(plan, _expanded(payload[start:], codec, plain))
    except (struct.error, zlib.error, OverflowError) as error:
        raise NotUnpacked(str(error)) from error


def _plan_of(batch: Batch) -> Plan:
    if not batch.elements or len(batch.elements) != len(batch.positions):
        message = f"a batch of {len(batch.elements)} messages with {len(batch.positions)} positions"
        raise ValueError(message)
    return Plan(
        queue=batch.queue,
        step=batch.step,
        count=len(batch.elements),
        moment_s=batch.moment_s,
        first=batch.positions[0],
        last=batch.positions[-1],
    )


def _written(plan: Plan) -> bytes:
    name = _name(plan.queue)
    return _PLAN.pack(plan.step, len(name), plan.count, plan.moment_s, plan.first, plan.last) + name


def _name(queue: str) -> bytes:
    return queue.encode("utf-8", "surrogateescape")


def _plain_of(batch: Batch) -> bytes:
    """Lengths, then how far each position is from the one before, then the messages."""
    steps = [later - earlier for earlier, later in pairwise(batch.positions)]
    if any(step <= 0 for step in steps):
        message = "positions that do not ascend in a batch"
        raise ValueError(message)
    form = f"<{len(batch.elements)}I"
    return b"".join((struct.pack(form, *map(len, batch.elements)), struct.pack(form, 0, *steps), *batch.elements))


def _read(plan: Plan, plain: bytes) -> Batch:
    form = struct.Struct(f"<{plan.count}I")
    lengths, steps = form.unpack_from(plain), form.unpack_from(plain, form.size)
    elements = _cut_up(plain, 2 * form.size, lengths)
    positions = [plan.first + far for far in accumulate(steps)]
    if positions[-1:] != [plan.last]:
        message = f"its last position is {positions[-1:]}, not {plan.last}"
        raise NotUnpacked(message)
    return Batch(queue=plan.queue, step=plan.step, positions=positions, elements=elements, moment_s=plan.moment_s)


def _cut_up(plain: bytes, start: int, lengths: Sequence[int]) -> list[bytes]:
    ends = list(accumulate(lengths, initial=start))
    if ends[-1] != len(plain):
        message = f"{len(plain) - start:,} bytes of messages, and lengths that add up to {ends[-1] - start:,}"
        raise NotUnpacked(message)
    return [plain[begin:end] for begin, end in pairwise(ends)]


def _compressed(plain: bytes, codec: Codec) -> bytes:
    if codec is Codec.PLAIN:
        return plain
    if codec is Codec.ZLIB:
        press = zlib.compressobj(ZLIB_LEVEL, strategy=zlib.Z_FILTERED)
        return press.compress(plain) + press.flush()
    compressed: bytes = _zstandard().ZstdCompressor(level=ZSTD_LEVEL).compress(plain)
    return compressed


def _expanded(stored: bytes, codec: int, plain: int) -> bytes:
    """Never more than `plain` bytes, and exactly so many."""
    if codec == Codec.ZLIB:
        expanded = zlib.decompressobj().decompress(stored, max(plain, 1))
    elif codec == Codec.ZSTD:
        expanded = _zstandard().ZstdDecompressor().stream_reader(stored).read(plain)
    elif codec == Codec.PLAIN:
        expanded = stored
    else:
        message = f"compressed by method {codec}, which this version does not know"
        raise NotUnpacked(message)
    if len(expanded) != plain:
        message = f"it expands to {len(expanded):,} bytes, not {plain:,}"
        raise NotUnpacked(message)
    return expanded


def _zstandard() -> ModuleType:
    try:
        return import_module("zstandard")
    except ImportError as error:
        raise NotUnpacked(NO_ZSTD) from error
