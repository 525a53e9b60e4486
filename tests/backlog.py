"""Backlogs for tests of relief: messages as kombu writes them, and an oracle that opens every one completely."""

import base64
import json
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from tidegate.facts.relief import Filter

NOW_S = 1_790_000_000.0


def packed(args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None) -> str:
    body = [list(args), kwargs or {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    return base64.b64encode(json.dumps(body).encode()).decode()


def message(
    tag: str | None, task: str = "t", args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None, **headers: Any
) -> bytes:
    """An element of protocol 2; `...` takes a header out."""
    said = {"lang": "py", "task": task, "id": f"id-{tag}", "eta": None, "expires": None, "retries": 0, **headers}
    info = {"exchange": "", "routing_key": "celery"}
    properties = {"delivery_mode": 2, "delivery_info": info, "priority": 0, "body_encoding": "base64"}
    return json.dumps(
        {
            "body": packed(args, kwargs),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {name: value for name, value in said.items() if value is not ...},
            "properties": properties if tag is None else {**properties, "delivery_tag": tag},
        }
    ).encode()


def message_of_protocol_1(tag: str, task: str, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None) -> bytes:
    body = {"task": task, "id": f"id-{tag}", "args": list(args), "kwargs": kwargs or {}, "retries": 0, "eta": None}
    return json.dumps(
        {
            "body": base64.b64encode(json.dumps(body).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {},
            "properties": {"body_encoding": "base64", "delivery_info": {}, "delivery_tag": tag},
        }
    ).encode()


class Plain:
    """One message opened completely, in the slowest and plainest way; `task` is None where it can't be read."""

    def __init__(self, element: bytes) -> None:
        self.readable = True
        try:
            whole = json.loads(element)
            self.body = json.loads(base64.b64decode(whole["body"]))
        except ValueError:
            self.readable = False
            return
        self.headers = whole["headers"]
        if isinstance(self.body, dict):
            self.headers = {**self.body, **self.headers}
            self.args, self.kwargs = self.body["args"], self.body["kwargs"]
        else:
            self.args, self.kwargs = self.body[0], self.body[1]
        self.task = self.headers["task"]
        self.kind = (self.task, whole["body"])


def goes(wanted: Filter, newest_first: Sequence[bytes], arrival_per_s: float | None) -> list[bool]:
    """What a filter means of a whole list, newest first: every condition asked of every message by itself."""
    opened = [Plain(element) for element in newest_first]
    newer_of_kind, all_of_kind = Counter[Any](), Counter(plain.kind for plain in opened if plain.readable)
    result = []
    for newer, plain in enumerate(opened):
        if not plain.readable:
            result.append(wanted == Filter(undecodable=True))
            continue
        ahead = newer_of_kind[plain.kind]
        behind = all_of_kind[plain.kind] - ahead - 1
        newer_of_kind[plain.kind] += 1
        result.append(_all_hold(wanted, plain, newer, ahead, behind, arrival_per_s))
    return result


def _all_hold(wanted: Filter, plain: Plain, newer: int, ahead: int, behind: int, arrival_per_s: float | None) -> bool:
    if wanted == Filter() or wanted.undecodable:
        return False
    expires, stamp = plain.headers.get("expires"), plain.headers.get("enqueued_at")
    age = NOW_S - stamp if stamp is not None else newer / arrival_per_s if arrival_per_s else -1.0
    checks = [
        not wanted.tasks or any(fnmatchcase(plain.task, glob) for glob in wanted.tasks),
        not wanted.expired or (expires is not None and expires < NOW_S),
        wanted.origin is None or plain.headers.get("origin") == wanted.origin,
        wanted.root is None or plain.headers.get("root_id") == wanted.root,
        all(plain.headers.get(name) == value for name, value in wanted.headers.items()),
        wanted.args is None or plain.args == list(wanted.args),
        all(name in plain.kwargs and plain.kwargs[name] == value for name, value in wanted.kwargs.items()),
        wanted.older_than_s is None or age >= wanted.older_than_s,
        wanted.keep_newest is None or ahead >= wanted.keep_newest,
        wanted.keep_oldest is None or behind >= wanted.keep_oldest,
    ]
    return all(checks)
