"""The parts of a message that one question needs, read from millions of them; what is odd goes to `outside`."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tidegate.broker.bodies import ODD
from tidegate.broker.envelope import decode
from tidegate.broker.outside import Headers, Outside, Properties, parse
from tidegate.facts.unknown import Maybe, Unknown

Arguments = tuple[Maybe[Sequence[object]], Maybe[Mapping[str, object]]]

_NO_TASK = Unknown("the message is no task")


class _AnyHeaders(msgspec.Struct, gc=False):
    headers: dict[str, msgspec.Raw]


_read_headers = msgspec.json.Decoder(_AnyHeaders).decode


def narrow_decoder(headers: Sequence[str] = (), properties: Sequence[str] = ()) -> Callable[[bytes], Any]:
    """A decoder to what `Outside` has under the same names, of which only the task, the body and these are there.

    Raises one of `ODD` for a message that is not plain protocol 2: then ask `open_outside`, which reads the others
    alike. 0.7 µs per message.
    """
    fields: list[tuple[str, Any, Any]] = [("headers", _part(Headers, headers, [("task", str)]), ...)]
    if properties:
        fields.append(("properties", _part(Properties, properties, []), ...))
    narrow = msgspec.defstruct("Narrow", [(name, kind) for name, kind, _ in fields] + [("body", str)], gc=False)
    return msgspec.json.Decoder(narrow).decode


def _part(whole: type[msgspec.Struct], names: Sequence[str], needed: list[tuple[str, Any]]) -> type[msgspec.Struct]:
    """The struct with those of its fields, and before them the ones without which there is no plain message."""
    wanted = [field for field in msgspec.structs.fields(whole) if field.name in names]
    fields: list[Any] = [*needed, *((field.name, field.type, None) for field in wanted)]
    spelled = {field.name: field.encode_name for field in wanted}
    return msgspec.defstruct(whole.__name__, fields, gc=False, rename=spelled)


def header_text(element: bytes, name: str) -> str | None:
    """A header as text, whatever it is: `true`, `3`, `["a"]`; None where there is none. 2 µs.

    Of protocol 1 only those headers that stand outside the body.
    """
    try:
        raw = _read_headers(element).headers.get(name)
        return None if raw is None else _text(msgspec.json.decode(raw))
    except ODD:
        return _header_of_odd(element, name)


def _header_of_odd(element: bytes, name: str) -> str | None:
    parsed = parse(element)
    headers = parsed.get("headers") if isinstance(parsed, dict) else None
    return _text(headers[name]) if isinstance(headers, dict) and name in headers else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def arguments_of(element: bytes) -> Arguments:
    """What the task is called with, or why that can't be read; opens the body, 10 µs."""
    message = decode(element)
    args, kwargs = message.args, message.kwargs
    return (_NO_TASK if args is None else args, _NO_TASK if kwargs is None else kwargs)


def tag_hash(outside: Outside, element: bytes) -> int:
    """Equal for one message at every time it is read: its delivery tag's hash, the element's where it has none.

    A signed 64-bit hash of this process.
    """
    return hash(outside.properties.delivery_tag or element)
