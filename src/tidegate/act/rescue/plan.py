"""Whether a server can be rescued, and what that would take: looks only."""

from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.broker import rescue as hand
from tidegate.broker.client import Broker
from tidegate.errors import NothingFound, Refused
from tidegate.facts.seen import KeyFamily, QueueSeen
from tidegate.facts.unknown import known
from tidegate.observe.keyspace import Discovery, discover
from tidegate.observe.snapshot import see_queues
from tidegate.units import count, percent, size

#: Kept free unless told otherwise: this share of the limit, or so many bytes, whichever is less.
SHARE, MOST_FREE = 0.10, 32 << 20
#: Less than this does not carry a worker: its connection, its bindings, what it takes unacknowledged.
LEAST_FREE = 2 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: `messages` of the newest of `queue`, about so many `bytes`, until `enough` bytes are free."""

    queue: str
    lists: Sequence[str]
    depth: int
    mean_bytes: float
    memory: hand.Memory
    enough: int
    messages: int
    bytes: int


def enough_of(limit: int, asked: float | int | None) -> int:
    """Bytes to keep free below the limit: `asked` as bytes, or as a share of the limit where it is less than 1."""
    if asked is None:
        return min(max(LEAST_FREE, min(int(limit * SHARE), MOST_FREE)), limit // 2)
    return min(int(asked * limit) if asked < 1 else int(asked), limit // 2)


def plan_rescue(broker: Broker, queue: str | None, asked: float | int | None, *, going_on: bool = False) -> Plan:
    """What a rescue would do; a few hundred reads. Raises Refused where there is nothing to rescue, or not in that way.

    `going_on`: messages are on disk already, so that there is something to do whatever the server's state.
    """
    memory = hand.memory_of(broker.one("INFO", "memory"))
    enough = enough_of(memory.limit, asked)
    if not going_on:
        _must_be_full(broker, memory, enough)
    found = discover(broker)
    queues = see_queues(broker, [queue] if going_on and queue else _names(found, queue))
    chosen = max(queues, key=_weight)
    short = max(0, enough - memory.free)
    if not going_on:
        _must_fill_it(chosen, short, found)
    depth = chosen.depth if known(chosen.depth) else 0
    mean = _weight(chosen) / depth if depth else 1000.0
    messages = min(depth, round(short / mean))
    lists = [broker.layout.list_of(chosen.name, step) for step in sorted({0, 3, 6, 9, *chosen.by_priority})]
    return Plan(chosen.name, lists, depth, mean, memory, enough, messages, round(messages * mean))


def _must_be_full(broker: Broker, memory: hand.Memory, enough: int) -> None:
    where = broker.address.shown
    if memory.limit == 0:
        raise Refused(f"{where} has no memory limit (maxmemory 0), so it refuses nothing: look with tidegate doctor")
    if memory.policy.startswith("allkeys"):
        message = (
            f"{where} has the policy {memory.policy}, and deletes whole queues at its limit instead of refusing writes: "
            "CONFIG SET maxmemory-policy noeviction first"
        )
        raise Refused(message)
    if memory.free >= enough:
        message = (
            f"{where} uses {size(memory.used)} of {size(memory.limit)} ({percent(memory.used / memory.limit)}): "
            f"{size(memory.free)} are free, and workers can start; a rescue makes {size(enough)} free"
        )
        raise Refused(message)


def _names(found: Discovery, queue: str | None) -> list[str]:
    if queue is None:
        if not found.queues:
            raise NothingFound("no queue was found there: name one with --queue")
        return list(found.queues)
    if queue not in found.queues:
        raise NothingFound(f"no queue {queue!r}: {found.hint(queue)}")
    return [queue]


def _weight(queue: QueueSeen) -> int:
    return queue.bytes if known(queue.bytes) else 0


def _must_fill_it(queue: QueueSeen, short: int, found: Discovery) -> None:
    """Raises Refused where the queue does not hold what has to be made free."""
    if _weight(queue) >= short and known(queue.depth) and queue.depth:
        return
    families = found.keyspace.families if known(found.keyspace) else ()
    most = max(families, key=lambda family: family.bytes, default=None)
    depth = queue.depth if known(queue.depth) else 0
    message = (
        f"the queue {queue.name!r} holds {count(depth)} messages, {size(_weight(queue))}, and {size(short)} must become free"
        f"{_instead(most)}"
    )
    raise Refused(message)


def _instead(family: KeyFamily | None) -> str:
    if family is None:
        return ": something else fills the server, look with tidegate doctor"
    return (
        f": {family.name} fill the server ({count(family.count)} keys, {size(family.bytes)}, such as {family.example!r}); "
        "look with tidegate doctor, and name a larger limit or remove those"
    )
