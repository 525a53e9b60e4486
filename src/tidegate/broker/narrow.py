"""The parts of a message that one question needs, read from millions of them; what is odd goes to `outside`."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tidegate.broker.bodies import ODD, open_body
from tidegate.broker.envelope import arguments_in
from tidegate.broker.outside import Headers, Outside, Properties, parse, wrapping_of
from tidegate.facts.unknown import Maybe, Unknown

Arguments = tuple[Maybe[Sequence[object]], Maybe[Mapping[str, object]]]

#: What tells how a body is packed: headers, properties, and the rest.
_TO_OPEN = (["compression"], ["body_encoding"], ["content_type", "content_encoding"])
_NO_TASK = Unknown("the message is no task")


class _AnyHeaders(msgspec.Struct, gc=False):
    headers: dict[str, msgspec.Raw]


_read_headers = msgspec.json.Decoder(_AnyHeaders).decode


def narrow_decoder(
    headers: Sequence[str] = (), properties: Sequence[str] = (), *, opens: bool = False
) -> Callable[[bytes], Any]:
    """A decoder to what `Outside` has under the same names, of which only the task, the body and these are there.

    With `opens` also what `arguments_of` needs. Raises one of `ODD` for a message that is not plain protocol 2: then ask
    `open_outside`, which reads the others alike. 0.7 µs per message.
    """
    headers, properties = [*headers, *_TO_OPEN[0] * opens], [*properties, *_TO_OPEN[1] * opens]
    fields: list[Any] = [("headers", _struct(Headers, [("task", str)], headers)), ("body", str)]
    if properties:
        fields.append(("properties", _struct(Properties, [], properties)))
    return msgspec.json.Decoder(_struct(Outside, fields, _TO_OPEN[2] * opens)).decode


def _struct(whole: type[msgspec.Struct], needed: list[Any], names: Sequence[str]) -> type[msgspec.Struct]:
    """A struct of the fields without which there is no plain message, and of those of the whole one that are named."""
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


def arguments_of(outside: Outside) -> Arguments:
    """What the task is called with, or why that can't be read; opens the body, 7 µs."""
    if outside.headers.task is None:
        return _NO_TASK, _NO_TASK
    return arguments_in(open_body(outside.body, wrapping_of(outside)))


def tag_hash(outside: Outside, element: bytes) -> int:
    """Equal for one message at every time it is read: its delivery tag's hash, the element's where it has none.

    A signed 64-bit hash of this process.
    """
    return hash(outside.properties.delivery_tag or element)
