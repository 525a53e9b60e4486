"""The outside of a message, as far as it is read here: one typed decoder for what kombu writes, one lenient path for the rest.

From `Outside` on the code is one, so the two paths only differ in what they refuse. Nothing raises but `read_typed`.
"""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from tidegate.broker.bodies import ODD, Wrapping, open_body, parse_json
from tidegate.facts.message import Undecodable
from tidegate.facts.unknown import Maybe, Unknown

# What the lenient path opens. Its worst case, `[[],[],…`, takes about 20 bytes of memory per byte.
LENIENT_LIMIT_BYTES = 4 << 20

Count = Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)]
Stamp = str | float | None


class Headers(msgspec.Struct, gc=False, rename={"sentry_enqueued": "sentry-task-enqueued-time"}):
    """The headers of a message, those that somebody here asks for; None where one is absent or odd."""

    task: str | None = None
    id: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    origin: str | None = None
    eta: Stamp = None
    expires: Stamp = None
    retries: Count | None = None
    compression: str | None = None
    enqueued_at: Stamp = None
    sentry_enqueued: Stamp = None
    periodic_task_name: str | None = None
    celery_beat_task: bool | None = None
    redelivered: bool | None = None


class _DeliveryInfo(msgspec.Struct, gc=False):
    redelivered: bool | None = None


class Properties(msgspec.Struct, gc=False):
    """The properties of a message, as kombu keeps them."""

    delivery_tag: str | None = None
    priority: Count | None = None
    body_encoding: str | None = None
    published_at: Stamp = None
    delivery_info: _DeliveryInfo | None = None


class Outside(
    msgspec.Struct, gc=False, rename={"content_type": "content-type", "content_encoding": "content-encoding"}
):
    """A message with its body still packed."""

    headers: Headers
    properties: Properties
    body: str
    content_type: str | None = None
    content_encoding: str | None = None


_Part = TypeVar("_Part", Headers, Properties)

read_typed = msgspec.json.Decoder(Outside).decode
read_typed_unacked = msgspec.json.Decoder(tuple[Outside, str, str]).decode


def read(element: bytes) -> Outside | Undecodable:
    """The outside of an element, by the typed decoder where it can; never raises. 1.4 µs for what kombu writes."""
    try:
        return read_typed(element)
    except ODD:
        return read_lenient(element)


def read_lenient(element: bytes) -> Outside | Undecodable:
    """The outside of an element whose fields may be odd: those count as absent."""
    parsed = parse(element)
    if isinstance(parsed, Undecodable):
        return parsed
    outside = outside_of(parsed)
    return Undecodable(outside, len(element)) if isinstance(outside, str) else outside


def parse(data: bytes) -> object | Undecodable:
    """The JSON in it, read leniently, or why there is none."""
    if len(data) > LENIENT_LIMIT_BYTES:
        return Undecodable(f"odd, and with {len(data):,} bytes too large to look closer", len(data))
    try:
        return parse_json(data)
    except RecursionError:
        return Undecodable("JSON nested too deeply", len(data))
    except ValueError:
        return Undecodable("not JSON", len(data))


def outside_of(parsed: object) -> Outside | str:
    """The outside of a parsed message, with the fields that fit; or why it is no message."""
    if not isinstance(parsed, dict) or "body" not in parsed:
        return f"JSON ({kind_of(parsed)}), but no message"
    headers = {} if parsed.get("headers") is None else parsed["headers"]
    properties, body = parsed.get("properties"), parsed["body"]
    if not isinstance(body, str | None):
        return f"the body is {kind_of(body)}, not text"
    if not isinstance(headers, dict):
        return f"the headers are {kind_of(headers)}, not an object"
    odd_name = _odd_task_name(headers)
    return odd_name or Outside(
        headers=_fitting(Headers, headers),
        # Odd properties cost the priority, odd headers would cost the task.
        properties=_fitting(Properties, properties if isinstance(properties, dict) else {}),
        body=body or "",
        content_type=text_or_none(parsed.get("content-type")),
        content_encoding=text_or_none(parsed.get("content-encoding")),
    )


def _odd_task_name(parsed: Mapping[str, object]) -> str | None:
    task = parsed.get("task")
    return None if isinstance(task, str | None) else f"the task's name is {kind_of(task)}, not text"


def _fitting(kind: type[_Part], parsed: Mapping[str, object]) -> _Part:
    """The struct with every field that has the type it should have; the others count as absent."""
    own = _own(kind, parsed)
    try:
        return msgspec.convert(own, kind)
    except ODD:
        pass
    fitting: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        try:
            fitting[field.name] = msgspec.convert(own.get(field.encode_name), field.type)
        except ODD:
            continue
    return kind(**fitting)


def _own(kind: type[msgspec.Struct], parsed: Mapping[str, object]) -> dict[str, object]:
    """Only the fields that the struct knows: msgspec chokes on a foreign key that is not valid UTF-8."""
    own = {name: parsed[name] for name in kind.__struct_encode_fields__ if name in parsed}
    if isinstance(info := own.get("delivery_info"), dict):
        own["delivery_info"] = _own(_DeliveryInfo, info)
    return own


def text_or_none(value: object) -> str | None:
    """The value where it is text."""
    return value if isinstance(value, str) else None


def kind_of(value: object) -> str:
    """What JSON calls such a value."""
    return _JSON_KINDS.get(type(value), "absent")


_JSON_KINDS = {
    dict: "an object",
    list: "an array",
    str: "a text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
}


def wrapping_of(outside: Outside) -> Wrapping:
    """How the body is packed."""
    return Wrapping(
        content_type=outside.content_type,
        content_encoding=outside.content_encoding,
        compression=outside.headers.compression,
        body_encoding=outside.properties.body_encoding,
    )


def open_outside(element: bytes) -> Outside | Undecodable:
    """The outside with the headers where they belong, also those of protocol 1, which stand in the body; never raises."""
    outside = read(element)
    if isinstance(outside, Undecodable):
        return outside
    headers = headers_of(outside)
    if isinstance(headers, str):
        return Undecodable(headers, len(element))
    outside.headers = headers
    return outside


def headers_of(outside: Outside) -> Headers | str:
    """The message's headers, of protocol 1 with those that stand in the body; or why they can't be had."""
    if outside.headers.task is not None:
        return outside.headers
    body = open_body(outside.body, wrapping_of(outside))
    if isinstance(body, Unknown):
        return f"no task in the headers, and the body stays closed: {body.why}"
    return headers_inside(outside.headers, body)


def headers_inside(headers: Headers, body: Maybe[object]) -> Headers | str:
    """The headers of task protocol 1, whose fields stand in the body; those of the message itself go first.

    Unchanged where the body is no task, and a reason where its task is no text.
    """
    if not isinstance(body, dict) or "task" not in body:
        return headers
    odd_name = _odd_task_name(body)
    if odd_name:
        return odd_name
    inside = _fitting(Headers, body)
    for name in Headers.__struct_fields__:
        outer = getattr(headers, name)
        if outer is not None:
            setattr(inside, name, outer)
    return inside
