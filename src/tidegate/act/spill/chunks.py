"""Messages of one list, packed: so many in a row, compressed, with a checksum that covers where they belong.

A chunk is a `u32` number of messages, then for each its length (`u32`, little endian) and its bytes, as one zlib stream.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence

#: As much as is worth decompressing at once; one message that is larger is a chunk alone.
MOST_BYTES = 1 << 20
MOST_MESSAGES = 1000
_LEVEL = 3
_U32 = struct.Struct("<I")


def pack(elements: Sequence[bytes]) -> bytes:
    """The elements in their order, compressed."""
    parts = [_U32.pack(len(elements))]
    for element in elements:
        parts += (_U32.pack(len(element)), element)
    return zlib.compress(b"".join(parts), _LEVEL)


def unpack(packed: bytes) -> list[bytes]:
    """What was packed; raises ValueError where it was something else."""
    try:
        raw = zlib.decompress(packed)
        (count,) = _U32.unpack_from(raw, 0)
        elements, at = [], _U32.size
        for _ in range(count):
            (length,) = _U32.unpack_from(raw, at)
            elements.append(raw[at + _U32.size : at + _U32.size + length])
            at += _U32.size + length
    except (zlib.error, struct.error) as error:
        raise ValueError(str(error)) from error
    if at != len(raw):
        raise ValueError(f"expected {at} bytes, got {len(raw)}")
    return elements


def checksum(list_name: bytes, first: int, packed: bytes) -> int:
    """Tells a chunk that is whole and in its place from any other."""
    return zlib.crc32(packed, zlib.crc32(b"%d|%s|" % (first, list_name)))


def split(elements: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """The elements in their order, in pieces that make one chunk each."""
    begin, size = 0, 0
    for at, element in enumerate(elements):
        if at > begin and (size + len(element) > MOST_BYTES or at - begin >= MOST_MESSAGES):
            yield elements[begin:at]
            begin, size = at, 0
        size += len(element)
    if begin < len(elements):
        yield elements[begin:]
