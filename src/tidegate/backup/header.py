"""What a backup says of itself: its header at the beginning, and the totals in its trailer."""

import json
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from tidegate.backup.frame import VERSION
from tidegate.backup.packing import NotUnpacked

_Kind = TypeVar("_Kind")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Where the messages came from and why they are here. `created_s` is by the server's clock, `url` without password.

    `id` and `act` name the act that wrote it (`backup` for a copy, where nothing was removed), `wanted` its filter as
    JSON. `newest_first`: the batches of a list run from the newest to the oldest; each batch is oldest first all the
    same. `depths` is how many messages each list held at the beginning, by priority step.
    """

    version: int = VERSION
    created_s: float = 0.0
    queue: str = ""
    act: str = ""
    id: str = ""
    server: str = ""
    url: str = ""
    prefix: str = ""
    wanted: str = ""
    newest_first: bool = False
    depths: dict[str, int] = field(default_factory=dict)
    written_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What a writer that took the file up again declares void in what stands before: a list's positions beyond `done`.

    Beyond is `done` and above, or below `done` where the file runs from the newest to the oldest.
    """

    queue: str
    step: int
    done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trailer:
    """The end of a finished file: totals, the SHA-256 of all digests before it, and what the act came to."""

    batches: int
    messages: int
    bytes: int
    sha256: str
    sealed_s: float = 0.0
    summary: dict[str, object] = field(default_factory=dict)


def to_json(value: object) -> bytes:
    """A header, cuts or a trailer as the payload of its frame, in ASCII: names that are no UTF-8 stay reversible."""
    return json.dumps(msgspec.to_builtins(value)).encode()


def header_from(payload: bytes) -> Header:
    """The header; what a later minor version added is passed over. Raises NotUnpacked."""
    return _read(payload, Header)


def cuts_from(payload: bytes) -> list[Cut]:
    """The cuts; raises NotUnpacked."""
    return _read(payload, list[Cut])


def trailer_from(payload: bytes) -> Trailer:
    """The trailer; raises NotUnpacked."""
    return _read(payload, Trailer)


def _read(payload: bytes, kind: type[_Kind]) -> _Kind:
    # Not by msgspec, which takes no half of a surrogate pair.
    try:
        return msgspec.convert(json.loads(payload), kind)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise NotUnpacked(str(error)) from error
