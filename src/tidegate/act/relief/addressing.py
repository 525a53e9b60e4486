"""A message that goes to another queue says so inside, or a worker that dies would send it back to the old one."""

import json
import re
from functools import lru_cache

import msgspec

from tidegate.broker.bodies import ODD


class _Properties(msgspec.Struct, gc=False):
    delivery_info: msgspec.Raw


class _Outside(msgspec.Struct, gc=False):
    properties: _Properties


_read = msgspec.json.Decoder(_Outside).decode
# Longer ones are not worth remembering.
_LONG_BYTES = 1000
_INFO = re.compile(rb'"delivery_info": ?\{[^{}]*\}')


def addressed(element: bytes, queue: str) -> bytes:
    """The element with `queue` as its routing key, through the anonymous exchange; everything else byte for byte the same.

    Unchanged where it can't be read as a message of Kombu. 2 µs.
    """
    try:
        said = bytes(_read(element).properties.delivery_info)
    except ODD:
        return _slowly(element, queue)
    other = _readdressed(said, queue) if len(said) < _LONG_BYTES else None
    # Where the same stands in it twice, only a close look tells which of them is meant.
    return element.replace(said, other) if other and element.count(said) == 1 else _slowly(element, queue)


@lru_cache(1024)
def _readdressed(said: bytes, queue: str) -> bytes | None:
    info = json.loads(said)
    return json.dumps({**info, "exchange": "", "routing_key": queue}).encode() if isinstance(info, dict) else None


def _slowly(element: bytes, queue: str) -> bytes:
    try:
        message = json.loads(element)
        info = message["properties"]["delivery_info"]
        info.update(exchange="", routing_key=queue)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return element
    return _edited(element, info, message) or json.dumps(message).encode()


def _edited(element: bytes, info: object, message: object) -> bytes | None:
    """The same by a change of a few bytes; None where that would change something else."""
    places = list(_INFO.finditer(element))
    if not places:
        return None
    first, last = places[-1].span()
    edited = element[:first] + b'"delivery_info": ' + json.dumps(info).encode() + element[last:]
    return edited if json.loads(edited) == message else None
