"""Message bodies: bytes to plain values, bounded in time and memory; nothing in a body is ever executed.

Plain means what JSON can say: None, bool, int, float, str, list and dict with str keys. What a format can say
beyond that comes as text (`base64:...`, ISO dates). A body that stays closed is an `Unknown` that says why.
"""

import base64
import binascii
import json
import pickletools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from importlib import import_module

import msgspec

from tidegate.broker.compression import NotOpened, expand
from tidegate.facts.unknown import Maybe, Unknown

PACKED_LIMIT_BYTES = 1 << 20
EXPANDED_LIMIT_BYTES = 8 << 20
# PyYAML in Python reads 0.1 MB/s. Its C twin is fast, and 60,000 open brackets crash the process in it.
YAML_LIMIT_BYTES = 64 << 10
VALUES_LIMIT = 500_000
DEPTH_LIMIT = 64
RENDERED_LIMIT_BYTES = 32 << 20
PICKLE_OPERATIONS_LIMIT = 50_000
# Python refuses to turn longer numbers into text (4,300 digits) and back.
DIGITS_LIMIT = 1_000

# Only charsets that decode in linear time: of Python's codecs, idna and punycode are quadratic.
_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii", "ascii", "latin-1", "latin1", "iso-8859-1", "utf-16", "utf-32"})
_BINARY = frozenset({"binary", "ascii-8bit"})

# What a decoder may raise on a message that is not what it seems.
ODD = (msgspec.MsgspecError, ValueError, RecursionError)


@dataclass(frozen=True, slots=True)
class Wrapping:
    """How the producer packed a body, in kombu's words; None where the message does not say."""

    content_type: str | None = None
    content_encoding: str | None = None
    compression: str | None = None
    body_encoding: str | None = None


def open_body(body: str, wrapping: Wrapping) -> Maybe[object]:
    """The body as plain values, or why it stays closed; never raises.

    At most 1 MiB as it stands in the message, 8 MiB expanded, and 64 KiB of YAML are opened.
    """
    try:
        data, charset = _unpacked(body, wrapping)
        kind = (wrapping.content_type or "application/data").partition(";")[0].strip().lower()
        reader = _READERS.get(kind)
        return Unknown(f"content type {kind[:60]!r}, not read here") if reader is None else reader(data, charset)
    except NotOpened as error:
        return Unknown(str(error))
    except RecursionError:
        return Unknown("nested too deeply")


def parse_json(data: bytes) -> object:
    """JSON read leniently: NaN, control characters, lone surrogates and invalid UTF-8 are let through.

    Integers of more than 1,000 digits come as text. Raises ValueError, or RecursionError where too deep.
    """
    return json.loads(data.decode("utf-8", "surrogateescape"), strict=False, parse_int=_whole)


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= DIGITS_LIMIT else digits


def _unpacked(body: str, wrapping: Wrapping) -> tuple[bytes, str]:
    """The serialized bytes, and the charset they are in."""
    encoding = (wrapping.body_encoding or "").lower()
    if encoding not in {"", "base64"}:
        reason = f"body encoding {encoding[:60]!r}, not read here"
        raise NotOpened(reason)
    _refuse_above(PACKED_LIMIT_BYTES, len(body) * 3 // 4 - body[-2:].count("=") if encoding else len(body))
    data = _from_base64(body) if encoding else body.encode("utf-8", "surrogatepass")
    if wrapping.compression:
        data = expand(data, wrapping.compression, EXPANDED_LIMIT_BYTES)
    # A body that was never base64 was text in the JSON around it, so its charset is spent.
    return data, (wrapping.content_encoding or "utf-8").lower() if encoding else "utf-8"


def _refuse_above(limit: int, size: int, what: str = "the body") -> None:
    if size > limit:
        reason = f"{what} is {size:,} bytes, more than the {limit:,} that are opened"
        raise NotOpened(reason)


def _from_base64(text: str) -> bytes:
    try:
        # Not strict, for kombu is not either: what a worker can read should be readable here.
        return base64.b64decode(text)
    except (binascii.Error, ValueError) as error:
        reason = f"the body is not base64: {error}"
        raise NotOpened(reason) from error


def _text(data: bytes, charset: str) -> str:
    if charset not in _CHARSETS:
        reason = f"content encoding {charset[:60]!r}, not read here"
        raise NotOpened(reason)
    try:
        return data.decode(charset)
    except UnicodeError as error:
        reason = f"the body is not {charset}"
        raise NotOpened(reason) from error


def _read_json(data: bytes, charset: str) -> object:
    if charset not in _BINARY and charset not in {"utf-8", "utf8"}:
        data = _text(data, charset).encode("utf-8", "surrogatepass")
    openers = data.count(b"[") + data.count(b"{")
    if openers + data.count(b",") > VALUES_LIMIT:
        reason = f"the body holds more than {VALUES_LIMIT:,} values"
        raise NotOpened(reason)
    value = _json_value(data)
    return value if openers <= DEPTH_LIMIT else plain(value)


def _json_value(data: bytes) -> object:
    try:
        return msgspec.json.decode(data)
    except ODD:
        pass
    try:
        return parse_json(data)
    except ValueError as error:
        reason = f"the body is not JSON: {_brief(error)}"
        raise NotOpened(reason) from error


def _read_msgpack(data: bytes, charset: str) -> object:
    # One byte can stand for a value of 64 bytes in memory, so this limit holds after expansion too.
    _refuse_above(PACKED_LIMIT_BYTES, len(data), "the msgpack body")
    try:
        return plain(msgspec.msgpack.decode(data))
    except NotOpened:
        raise
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError) as error:
        reason = f"the body is not msgpack: {_brief(error)}"
        raise NotOpened(reason) from error


def _read_yaml(data: bytes, charset: str) -> object:
    _refuse_above(YAML_LIMIT_BYTES, len(data), "the YAML body")
    try:
        yaml = import_module("yaml")
    except ImportError as error:
        reason = "YAML, and PyYAML is not installed here: pip install 'tidegate[yaml]'"
        raise NotOpened(reason) from error
    try:
        return plain(_yaml_value(yaml, data))
    except NotOpened:
        raise
    # PyYAML's constructors let anything out: `!!bool x` is a KeyError, `!!timestamp x` an AttributeError.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, ArithmeticError) as error:
        reason = f"the body is not YAML: {type(error).__name__}"
        raise NotOpened(reason) from error


def _yaml_value(yaml: object, data: bytes) -> object:
    loader = yaml.SafeLoader(data)  # type: ignore[attr-defined]
    loader.flatten_mapping = _without_merges
    return loader.get_single_data()


def _without_merges(node: object) -> None:
    """Refuses `<<: *a`: merges of merges grow exponentially while loading, and no serializer writes them."""
    pairs = node.value  # type: ignore[attr-defined]
    if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in pairs):
        reason = "YAML with merge keys, which are not expanded here"
        raise NotOpened(reason)


def _read_pickle(data: bytes, charset: str) -> object:
    raise NotOpened(describe_pickle(data))


def _read_data(data: bytes, charset: str) -> object:
    if charset in _BINARY:
        return _readable(data)
    try:
        return _text(data, charset)
    except NotOpened:
        return _readable(data)


_READERS: dict[str, Callable[[bytes, str], object]] = {
    "application/json": _read_json,
    "application/x-msgpack": _read_msgpack,
    "application/msgpack": _read_msgpack,
    "application/vnd.msgpack": _read_msgpack,
    "application/x-yaml": _read_yaml,
    "application/yaml": _read_yaml,
    "application/x-python-serialize": _read_pickle,
    "application/data": _read_data,
    "application/octet-stream": _read_data,
    "text/plain": _read_data,
}


def describe_pickle(data: bytes) -> str:
    """A pickle told from its operations, none of which is run: protocol, size, and what it would import."""
    protocol, imports, damage = 0, dict[str, None](), ""
    names = _PickledNames()
    try:
        for count, (operation, argument, _) in enumerate(pickletools.genops(data)):
            if count >= PICKLE_OPERATIONS_LIMIT:
                damage = f", the first {count:,} operations looked at"
                break
            protocol = max(protocol, int(argument or 0) if operation.name == "PROTO" else operation.proto)
            imports.update(dict.fromkeys(names.after(operation.name, argument)))
    except (ValueError, IndexError, OverflowError, RecursionError) as error:
        damage = f", damaged ({_brief(error)})"
    return f"pickle, never loaded: protocol {protocol}, {len(data):,} bytes, {_imports(list(imports))}{damage}"


def _imports(names: list[str]) -> str:
    if not names:
        return "would import nothing"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return "would import " + ", ".join(name[:80] for name in names[:5]) + more


class _PickledNames:
    """Follows the strings on a pickle's stack just far enough to name what STACK_GLOBAL imports."""

    def __init__(self) -> None:
        self._texts = ["?", "?"]
        self._memo: dict[int, str] = {}
        self._memoized = 0

    def after(self, operation: str, argument: object) -> Iterator[str]:
        if operation in {"GLOBAL", "INST"}:
            yield str(argument).replace(" ", ".", 1)
        elif operation == "STACK_GLOBAL":
            yield ".".join(self._texts)
        elif operation in {"MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"}:
            self._memo[argument if isinstance(argument, int) else self._memoized] = self._texts[-1]
            self._memoized += 1
        elif operation in {"GET", "BINGET", "LONG_BINGET"}:
            self._texts = [
                self._texts[-1],
                self._memo.get(argument, "?") if isinstance(argument, int) else "?",
            ]
        elif isinstance(argument, str):
            self._texts = [self._texts[-1], argument]


def plain(value: object) -> object:
    """The value in what JSON can say, shared parts written out; raises NotOpened where it grows too large."""
    return _Plain().of(value, 0)


class _Plain:
    """Copies a value into plain ones, and counts what the copy would take when written out."""

    def __init__(self) -> None:
        self._left = RENDERED_LIMIT_BYTES

    def of(self, value: object, depth: int) -> object:
        self._spend(value)
        if depth > DEPTH_LIMIT:
            reason = f"nested deeper than {DEPTH_LIMIT} levels"
            raise NotOpened(reason)
        if isinstance(value, (list, tuple, set, frozenset)):
            return [self.of(part, depth + 1) for part in value]
        if isinstance(value, dict):
            return {self._key(key): self.of(part, depth + 1) for key, part in value.items()}
        return _scalar(value)

    def _key(self, key: object) -> str:
        self._spend(key)
        return key if isinstance(key, str) else str(self.of(key, DEPTH_LIMIT - 1))

    def _spend(self, value: object) -> None:
        self._left -= 32 + (len(value) if isinstance(value, (str, bytes)) else 0)
        if self._left < 0:
            reason = f"written out, the body takes more than {RENDERED_LIMIT_BYTES:,} bytes"
            raise NotOpened(reason)


def _scalar(value: object) -> object:
    if value is None or isinstance(value, (str, bool, float)):
        return value
    if isinstance(value, int):
        return value if value.bit_length() < 3 * DIGITS_LIMIT else hex(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, msgspec.msgpack.Ext):
        return f"ext {value.code}:{_readable(bytes(value.data))}"
    return _readable(value) if isinstance(value, bytes) else f"<{type(value).__name__}>"


def _readable(data: bytes) -> str:
    return "base64:" + base64.b64encode(data).decode("ascii")


def _brief(error: Exception) -> str:
    """What went wrong without the data it went wrong on: messages may hold secrets."""
    text = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    return text.splitlines()[0][:80] if text and not isinstance(error, UnicodeError) else type(error).__name__
