"""Compressed bodies: every method that kombu knows, with an upper bound on what comes out.

A few kilobytes can expand to gigabytes, and whoever may publish may send them; so nothing here is ever
expanded further than the caller allows.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Protocol


class NotOpened(ValueError):
    """A body, or a part of it, was left closed; the text says why."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


# A hostile header may declare a dictionary of gigabytes. xz -9 needs 65 MiB, and a zstd frame of at most
# `limit` bytes needs no window above 8 MiB.
LZMA_MEMORY_BYTES = 80 << 20
ZSTD_WINDOW_LOG = 23


def expand(data: bytes, method: str, limit: int) -> bytes:
    """`data` decompressed by the method that the header `compression` names; never more than `limit` bytes.

    Raises NotOpened where the method is unknown or not installed, the data damaged, or the result larger.
    """
    expander = _METHODS.get(method.strip().lower())
    if expander is None:
        reason = f"compressed by an unknown method, {method[:60]!r}"
        raise NotOpened(reason)
    expanded = expander(data, limit)
    if len(expanded) > limit:
        reason = f"{len(data):,} compressed bytes expand to more than the {limit:,} that are opened"
        raise NotOpened(reason)
    return expanded


def _bounded(decompressor: _Decompressor, data: bytes, limit: int) -> bytes:
    try:
        expanded = decompressor.decompress(data, limit + 1)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, MemoryError) as error:
        reason = f"damaged compressed data: {error}"
        raise NotOpened(reason) from error
    if len(expanded) <= limit and not decompressor.eof:
        reason = "damaged compressed data: it ends too early"
        raise NotOpened(reason)
    return expanded


def _zlib(data: bytes, limit: int) -> bytes:
    # kombu's name is gzip, its bytes are zlib's; 47 accepts both.
    return _bounded(zlib.decompressobj(47), data, limit)


def _bz2(data: bytes, limit: int) -> bytes:
    return _bounded(bz2.BZ2Decompressor(), data, limit)


def _lzma(data: bytes, limit: int) -> bytes:
    return _bounded(lzma.LZMADecompressor(memlimit=LZMA_MEMORY_BYTES), data, limit)


def _zstd(data: bytes, limit: int) -> bytes:
    module = _installed("compression.zstd", "backports.zstd", "zstandard")
    try:
        if module.__name__ == "zstandard":
            reader = module.ZstdDecompressor(max_window_size=1 << ZSTD_WINDOW_LOG).stream_reader(data)
            expanded: bytes = reader.read(limit + 1)
            return expanded
        options = {module.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
        return _bounded(module.ZstdDecompressor(options=options), data, limit)
    except module.ZstdError as error:
        reason = f"damaged compressed data: {error}"
        raise NotOpened(reason) from error


def _brotli(data: bytes, limit: int) -> bytes:
    module = _installed("brotli", "brotlicffi")
    try:
        expanded: bytes = module.Decompressor().process(data, output_buffer_limit=limit + 1)
    except TypeError as error:
        reason = "compressed with brotli, and the installed version (before 1.2) can't bound its output"
        raise NotOpened(reason) from error
    except module.error as error:
        reason = f"damaged compressed data: {error}"
        raise NotOpened(reason) from error
    return expanded


@cache
def _first_installed(names: tuple[str, ...]) -> object | None:
    for name in names:
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


def _installed(*names: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - one of several modules
    module = _first_installed(names)
    if module is None:
        extra = names[0].rpartition(".")[2]
        reason = f"compressed with {extra}, which is not installed here: pip install 'tidegate[{extra}]'"
        raise NotOpened(reason)
    return module


_METHODS: dict[str, Callable[[bytes, int], bytes]] = {
    "application/x-gzip": _zlib,
    "gzip": _zlib,
    "zlib": _zlib,
    "application/x-bz2": _bz2,
    "bzip2": _bz2,
    "bzip": _bz2,
    "application/x-lzma": _lzma,
    "lzma": _lzma,
    "xz": _lzma,
    "application/zstd": _zstd,
    "zstd": _zstd,
    "zstandard": _zstd,
    "application/x-brotli": _brotli,
    "brotli": _brotli,
}
