"""A gate of its own for one test: the transport registered, policies made by hand, and a connection through it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import kombu
import kombu.pools
import redis

from tidegate.act.gate import transport
from tidegate.act.gate.known import known
from tidegate.act.gate.openings import openings
from tidegate.act.gate.publication import Publication, publishing
from tidegate.facts.gate import Bound, Outcome

STEPS = (0, 3, 6, 9)
SEP = "\x06\x16"
COUNTS = "tidegate:gate:1:counts"
PLAIN = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


@dataclass
class Given:
    """Policies as a test gives them; `"*"` is the bound of all queues."""

    bounds: dict[str, Bound] = field(default_factory=dict)
    ceiling: float = 0
    on: bool = True
    timeout_s: float = 5.0

    def bound_of(self, queue: str) -> Bound | None:
        return self.bounds.get(queue) or self.bounds.get("*")

    def is_named(self, queue: str) -> bool:
        return queue in self.bounds


class Gate:
    """One connection through the gate, and a client that looks at what came of it."""

    def __init__(self, url: str, policies: Given, prefix: str = "") -> None:
        self.url, self.policies, self.prefix = url, policies, prefix
        self.look = redis.Redis.from_url(url, decode_responses=True)
        self.connection = self.connect()
        self.producer = kombu.Producer(self.connection.channel())

    def connect(self, **options: Any) -> kombu.Connection:
        return kombu.Connection(self.url, transport_options={"global_keyprefix": self.prefix, **options})

    def publish(self, name: str | int = "", queue: str = "q", **message: Any) -> Publication:
        """One task message as Celery publishes it; the id is the name. What became of it is in what comes back."""
        return publish(self.producer, name, queue, **message)

    def waiting(self, queue: str = "q") -> list[str]:
        """The ids of what waits, in the order in which it will be taken."""
        return [name for step in STEPS for name in ids(self.look, list_of(queue, step, self.prefix))]

    def spilled(self, queue: str = "q", step: int = 0) -> list[str]:
        return ids(self.look, f"{self.prefix}tidegate:gate:1:spill:{list_of(queue, step)}")

    def counts(self) -> dict[str, int]:
        return {name: int(many) for name, many in self.look.hgetall(self.prefix + COUNTS).items()}

    def journal(self) -> list[dict[str, str]]:
        return [fields for _, fields in self.look.xrange(f"{self.prefix}tidegate:journal")]

    def commands(self) -> dict[str, int]:
        """How often each command was called since `CONFIG RESETSTAT`."""
        stats = self.look.info("commandstats")
        return {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}


def publish(
    producer: kombu.Producer,
    name: str | int = "",
    queue: str = "q",
    *,
    priority: int = 0,
    exempt: str = "",
    publication: Publication | None = None,
    embed: dict[str, Any] | None = None,
    size: int = 0,
    serializer: str = "json",
    **headers: Any,
) -> Publication:
    publication = publication or Publication(exempt=exempt)
    body = [[("x" * size)], {}, {**PLAIN, **(embed or {})}]
    all_headers = {"task": "t", "id": str(name), "retries": 0, "group": None, "root_id": str(name), **headers}
    with publishing(publication):
        producer.publish(
            body, routing_key=queue, exchange="", headers=all_headers, priority=priority, serializer=serializer
        )
    return publication


def list_of(queue: str, step: int, prefix: str = "") -> str:
    return f"{prefix}{queue}{SEP}{step}" if step else f"{prefix}{queue}"


def ids(client: redis.Redis, key: str) -> list[str]:
    """The ids of the messages in a list, oldest first."""
    return [json.loads(raw)["headers"].get("id") for raw in reversed(client.lrange(key, 0, -1))]


@contextmanager
def gated(url: str, prefix: str = "", policies: Given | None = None, **bounds: Bound) -> Iterator[Gate]:
    """`with gated(broker_url, q=Bound(max_length=3)) as gate:`; the process is as it was afterwards."""
    policies = policies or Given(bounds)
    kombu.pools.reset()
    transport.register()
    known.note("app", lambda: policies)
    openings.take()
    gate = Gate(url, policies, prefix)
    try:
        yield gate
    finally:
        gate.connection.release()
        gate.look.close()
        known.forget()
        transport.unregister()
        kombu.pools.reset()


def outcome(publication: Publication) -> Outcome | None:
    return publication.outcome
