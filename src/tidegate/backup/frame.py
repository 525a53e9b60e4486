"""Frames: what a backup consists of, each with its own mark, number, lengths and checksum.

A file begins with 16 bytes (`FILE_MAGIC`, the version, two zero bytes). Frames follow without gaps: a head of 36
bytes, the payload, and the SHA-256 of both. The mark of every head carries eight bytes drawn for this file, so that
a frame inside a message can't pass for one of the file's own. All numbers are little-endian.
"""

import hashlib
import struct
import zlib
from dataclasses import dataclass

FILE_MAGIC = b"\x89TIDEGATE\r\n\x1a"
VERSION = 1
MARK = b"\xf7TGframe"
NONCE_BYTES = 8
DIGEST_BYTES = 32

HEADER, BATCH, CUT, TRAILER = b"H", b"B", b"C", b"T"
KINDS = (HEADER, BATCH, CUT, TRAILER)

_FILE = struct.Struct("<12sHH")
_HEAD = struct.Struct("<8s8scBHIII")
_CRC = struct.Struct("<I")
FILE_BYTES = _FILE.size
HEAD_BYTES = _HEAD.size + _CRC.size


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The head of a frame. `number` counts from 0, the file's header; `stored` and `plain` are bytes."""

    nonce: bytes
    kind: bytes
    codec: int
    number: int
    stored: int
    plain: int

    @property
    def whole(self) -> int:
        """How many bytes the whole frame takes."""
        return HEAD_BYTES + self.stored + DIGEST_BYTES


def file_start() -> bytes:
    """The first 16 bytes of a file of this version."""
    return _FILE.pack(FILE_MAGIC, VERSION, 0)


def version_of(start: bytes) -> int | None:
    """The version that the first bytes of a file tell; None where they are none of ours."""
    if len(start) < FILE_BYTES:
        return None
    magic, version, zero = _FILE.unpack_from(start)
    return int(version) if magic == FILE_MAGIC and zero == 0 else None


def packed(head: Head, payload: bytes) -> tuple[bytes, bytes]:
    """The whole frame and its digest."""
    first = _HEAD.pack(MARK, head.nonce, head.kind, head.codec, 0, head.number, head.stored, head.plain)
    first += _CRC.pack(zlib.crc32(first))
    digest = digest_of(first, payload)
    return b"".join((first, payload, digest)), digest


def digest_of(head: bytes, payload: bytes) -> bytes:
    """The SHA-256 of a head as it stands in the file and its payload."""
    checksum = hashlib.sha256(head)
    checksum.update(payload)
    return checksum.digest()


def head_of(data: bytes, nonce: bytes | None) -> Head | str:
    """The head in those bytes, or why there is none; with a `nonce`, only a frame of that file."""
    if len(data) < HEAD_BYTES:
        return f"the file ends inside the head of a batch, {len(data)} of {HEAD_BYTES} bytes in"
    mark, own, kind, codec, zero, number, stored, plain = _HEAD.unpack_from(data)
    if mark != MARK or (nonce is not None and own != nonce):
        return "no batch begins here"
    if _CRC.unpack_from(data, _HEAD.size)[0] != zlib.crc32(data[: _HEAD.size]) or kind not in KINDS or zero:
        return "the head of the batch is damaged (its CRC-32 does not fit)"
    return Head(nonce=own, kind=kind, codec=codec, number=number, stored=stored, plain=plain)
