"""Text and elements that somebody could put into a queue to harm whoever looks at it."""

import base64
import json
import os
import pickle
from pathlib import Path
from typing import Any

from broker.elements import element, message, with_headers

#: What would steer a terminal, be read as markup, break a line, or break an encoder.
TEXTS = (
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07",
    "\x1b]8;;http://example.org\x1b\\link\x1b]8;;\x1b\\",
    "\x1bP1$r0m\x1b\\",
    "\x9b31m\x9d0;title\x9c\x85",
    "\u202eright to left\u2066\u2069\u200f",
    "\u2028line\u2029paragraph\u200b\ufeff",
    "one\ntwo\r\nthree\tfour\x0b\x0c\x08\x7f\x00",
    "[bold red]markup[/bold red]",
    "[/closes nothing]",
    "[link=http://example.org]x[/link] :smile: \\[x]",
    "\ud800 half a pair",
    "\U000e0041\U000f0000 tags and private ones",
    "%s %n {0} {x.__class__} $(touch x) `touch x`",
    "wide 漢字 and é and 𝕏",
    "x" * 5000,
)
HEADERS = (
    "task",
    "id",
    "root_id",
    "parent_id",
    "argsrepr",
    "kwargsrepr",
    "origin",
    "eta",
    "expires",
    "periodic_task_name",
)
BOMB_TYPES = ("application/x-python-serialize", "application/data", "application/x-yaml", "application/json")


def texts_everywhere() -> list[bytes]:
    """Each text in each header, in the arguments, and in what stands beside the headers."""
    return [
        *(with_headers(**{name: text}) for text in TEXTS for name in HEADERS),
        *(element(content_type=text, content_encoding=text) for text in TEXTS),
        *(element(properties={"delivery_tag": text, "body_encoding": text, "priority": text}) for text in TEXTS),
        *(element(body=base64.b64encode(json.dumps([[text], {text: text}, {}]).encode()).decode()) for text in TEXTS),
        *(element(headers={}, body=text, properties={}) for text in TEXTS),
    ]


def not_messages() -> list[bytes]:
    """Elements that can't be read as messages, each for another reason."""
    whole = element()
    return [
        b"",
        b"plain text of another program",
        b"\x1b[2J\x07\x9b31m",
        bytes(range(256)),
        whole[: len(whole) // 2],
        whole[:-1],
        b"[" * 200_000,
        b'{"headers": ' * 50_000,
        b'{"body": "", "headers": {"task": 7}}',
        b'{"body": {"a": 1}}',
        b"[1, 2",
        b"null",
        b"9" * 10_000,
        pickle.dumps({"task": "t"}),
    ]


def invalid_names() -> list[bytes]:
    """Messages whose task's name is no UTF-8."""
    return [element().replace(b'"shop.tasks.bill"', b'"shop.\xff\xfe\xc3.\x9b31m.bill"', 1) for _ in range(3)]


class _Bomb:
    """Runs a command where it is unpickled."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> Any:
        return os.system, (self._command,)


def bombs(canary: Path) -> list[bytes]:
    """Elements that would make the file `canary`, if anything in them were executed."""
    command = f"touch {canary}"
    pickles = [pickle.dumps(_Bomb(command), protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    yamls = [f"!!python/object/apply:os.system ['{command}']", f"!!python/object/new:os.system ['{command}']"]
    bodies = [base64.b64encode(body).decode() for body in (*pickles, *(text.encode() for text in yamls))]
    packed = [element(body=body, content_type=kind) for body in bodies for kind in BOMB_TYPES]
    inside = [element(body=body, content_type=kind, headers={}) for body in bodies for kind in BOMB_TYPES]
    return [*packed, *inside, *pickles]


def of_bytes(size: int) -> bytes:
    """A message of about that many bytes, most of them in its body."""
    return json.dumps({**message(), "body": "A" * size}).encode()
