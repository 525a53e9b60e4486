"""Elements as kombu writes them, to be bent by the tests."""

import json
from pathlib import Path
from typing import Any

from tidegate.broker.envelope import open_label
from tidegate.facts.message import Label, Undecodable

# `origin` is shortened to gen1@host and `reply_to` blanked; all else is what kombu 5.5.3 handed to Channel._put.
RECORDED = json.loads((Path(__file__).parent / "recorded" / "kombu-5.5.3.json").read_text())["elements"]


def message(**changes: Any) -> dict[str, Any]:
    """A task message of protocol 2 as kombu writes it, with some of its parts replaced; `...` takes one out."""
    parts = {**json.loads(RECORDED["plain"]), **{name.replace("_", "-"): part for name, part in changes.items()}}
    return {name: part for name, part in parts.items() if part is not ...}


def element(**changes: Any) -> bytes:
    return json.dumps(message(**changes)).encode()


def with_headers(**changes: Any) -> bytes:
    headers = {**message()["headers"], **{name.replace("__", "-"): value for name, value in changes.items()}}
    return element(headers={name: value for name, value in headers.items() if value is not ...})


def with_properties(**changes: Any) -> bytes:
    return element(properties={**message()["properties"], **changes})


def label(data: bytes) -> Label:
    opened = open_label(data)
    assert isinstance(opened, Label), opened
    return opened


def undecodable(data: bytes) -> str:
    opened = open_label(data)
    assert isinstance(opened, Undecodable), opened
    assert opened.size_bytes == len(data)
    return opened.why
