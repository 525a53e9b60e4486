"""Queues to relieve: messages with a tag of their own, an operator's order on them, and where every message is."""

import base64
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import redis

from tidegate.act.relief.engine import Order, carry_out
from tidegate.broker.address import parse_address
from tidegate.facts.relief import Filter, Relieved

QUEUE = "celery"
OLD, FRESH = "screen.tasks.flush_cluster_status", "shop.tasks.charge"
_numbers = itertools.count()


def message(task: str, *args: object, queue: str = QUEUE, **headers: object) -> bytes:
    """One message of protocol 2, as Kombu writes it."""
    tag = f"tag-{next(_numbers)}"
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    body = base64.b64encode(json.dumps([args, {}, embed]).encode()).decode()
    said = {"lang": "py", "task": task, "id": tag, "root_id": tag, "parent_id": None, "eta": None, "expires": None}
    properties = {
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": tag,
    }
    outside = {"body": body, "content-encoding": "utf-8", "content-type": "application/json"}
    return json.dumps({**outside, "headers": {**said, **headers}, "properties": properties}).encode()


def push(client: redis.Redis, elements: Iterable[bytes], key: str = QUEUE) -> list[bytes]:
    """Published one after the other; what was published, oldest first."""
    pushed = list(elements)
    if pushed:
        client.lpush(key, *pushed)
    return pushed


def mixed(count: int) -> list[bytes]:
    """Old and fresh ones by turns."""
    return [message(FRESH if number % 3 else OLD, number) for number in range(count)]


def held(client: redis.Redis, key: str = QUEUE) -> list[bytes]:
    """What a list holds, in the order in which it will be taken."""
    return client.lrange(key, 0, -1)[::-1]  # type: ignore[index,return-value]


def task_of(element: bytes) -> str:
    """The task's name."""
    return str(json.loads(element)["headers"]["task"])


def tags(elements: Iterable[bytes]) -> list[str]:
    """What tells messages apart."""
    return [json.loads(element)["properties"]["delivery_tag"] for element in elements]


def of(elements: Iterable[bytes], task: str) -> list[bytes]:
    """Those of one task."""
    return [element for element in elements if task_of(element) == task]


def purge(url: str, path: Path | None, task: str = OLD, **more: Any) -> Relieved:
    """A purge of one task."""
    return carry_out(parse_address(url), Order(queue=QUEUE, wanted=Filter(tasks=(task,)), backup=path, **more))
