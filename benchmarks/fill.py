"""Queues like those of the incident: messages of thirty tasks as Celery writes them, fanned out, or each with its own body."""

import base64
import itertools
import json
import random
import uuid
from collections.abc import Iterable, Iterator

import redis

QUEUE, DISTINCT = "celery", "distinct"
FANNED_OUT = "screen.tasks.flush_cluster_status"
OTHERS = [f"app.tasks.t{number}" for number in range(29)]
#: A firing's children stand together, as a parent sends them.
CHILDREN = 21
_AT_ONCE = 500
_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def message(task: str, number: int, root: str) -> bytes:
    """One message of protocol 2, about 850 bytes."""
    own = str(uuid.UUID(int=random.getrandbits(128), version=4))
    body = base64.b64encode(json.dumps([[number], {}, _EMBED]).encode()).decode()
    headers = {
        "lang": "py", "task": task, "id": own, "shadow": None, "eta": None, "expires": None, "group": None,
        "group_index": None, "retries": 0, "timelimit": [None, None], "root_id": root, "parent_id": root,
        "argsrepr": f"({number},)", "kwargsrepr": "{}", "origin": "gen1@host", "ignore_result": False,
    }  # fmt: skip
    properties = {
        "correlation_id": own, "reply_to": root, "delivery_mode": 2, "delivery_info": {"exchange": "", "routing_key": QUEUE},
        "priority": 0, "body_encoding": "base64", "delivery_tag": own,
    }  # fmt: skip
    outside = {"body": body, "content-encoding": "utf-8", "content-type": "application/json"}
    return json.dumps({**outside, "headers": headers, "properties": properties}).encode()


def backlog(count: int) -> Iterator[bytes]:
    """Nearly half of it the children of one periodic task, the rest of other tasks, as they came."""
    random.seed(1)
    return itertools.islice(itertools.chain.from_iterable(_firing() for _ in itertools.count()), count)


def _firing() -> Iterator[bytes]:
    root = str(uuid.UUID(int=random.getrandbits(128), version=4))
    for number in range(CHILDREN):
        yield message(FANNED_OUT, 1070 + number, root)
    for _ in range(24):
        yield message(random.choice(OTHERS), random.randrange(1000), root)


def all_distinct(count: int) -> Iterator[bytes]:
    """The worst case of counting repeats: there are none."""
    random.seed(2)
    return (message(FANNED_OUT, number, "root") for number in range(count))


def push(client: redis.Redis, queue: str, messages: Iterable[bytes]) -> Iterator[int]:
    """Pushes as producers do, to the head; yields how many are there, now and then."""
    client.sadd(f"_kombu.binding.{queue}", f"{queue}\x06\x16\x06\x16{queue}")
    waiting = iter(messages)
    while batch := list(itertools.islice(waiting, _AT_ONCE)):
        yield int(client.lpush(queue, *batch))  # type: ignore[arg-type]


def other_keys(client: redis.Redis, count: int) -> Iterator[int]:
    """Keys of an application that shares the database with its broker."""
    for start in range(0, count, 10_000):
        with client.pipeline(transaction=False) as pipe:
            for number in range(start, min(start + 10_000, count)):
                pipe.set(f"cache:item:{number}", "x" * 32)
            pipe.execute()
        yield min(start + 10_000, count)
