"""Messages of one queue, decoded where they lie."""

from tidegate.broker.client import Broker
from tidegate.broker.envelope import decode
from tidegate.broker.reads import elements, lengths
from tidegate.errors import CannotLook, NotAQueue, NothingFound
from tidegate.facts.message import Message
from tidegate.facts.unknown import known
from tidegate.observe.aside import lists_aside
from tidegate.observe.census import element_bytes
from tidegate.observe.keyspace import discover

#: What one peek may transfer at once; larger messages come in smaller portions.
_MOST_BYTES = 8 << 20


def lists_of(broker: Broker, queue: str) -> list[str]:
    """The lists of the queue that hold messages, most urgent first; raises NothingFound with the nearest name.

    A queue that is bound and empty has none.
    """
    keys = [key for _, key in broker.layout.lists(queue)]
    depths = lengths(broker, keys)
    for depth in depths:
        if not known(depth):
            raise NotAQueue(f"{queue!r} is no queue: {depth.why}") if "list" in depth.why else CannotLook(depth.why)
    held = [key for key, depth in zip(keys, depths, strict=True) if depth]
    if not held:
        _must_be_bound(broker, queue)
    return held


def places_of(broker: Broker, queue: str) -> list[str]:
    """The lists in which messages of the queue wait: its own, and those that an act has set aside of it."""
    aside = lists_aside(broker, queue)
    try:
        return lists_of(broker, queue) + aside
    except NothingFound:
        if not aside:
            raise
        return aside


def _must_be_bound(broker: Broker, queue: str) -> None:
    found = discover(broker)
    if queue not in found.queues:
        where = f"database {broker.address.db} of {broker.address.shown}"
        raise NothingFound(f"no queue {queue!r} in {where}: {found.hint(queue)}")


def peek_queue(broker: Broker, queue: str, number: int, *, newest: bool = False) -> list[Message]:
    """Up to `number` messages, the one that leaves next first, or the newest; ten LLEN and one LRANGE a portion."""
    messages: list[Message] = []
    for key in places_of(broker, queue):
        messages += _peek_list(broker, key, number - len(messages), newest=newest)
    return messages


def _peek_list(broker: Broker, key: str, number: int, *, newest: bool) -> list[Message]:
    depth = lengths(broker, [key])[0]
    if not known(depth) or number < 1:
        return []
    portion = max(1, min(number, int(_MOST_BYTES / max(1.0, element_bytes(broker, key, depth)))))
    messages: list[Message] = []
    for start in range(0, min(number, depth), portion):
        stop = min(start + portion, number) - 1
        rows = elements(broker, key, start, stop) if newest else elements(broker, key, -stop - 1, -start - 1)
        if not known(rows):
            raise CannotLook(rows.why)
        messages += [decode(row) for row in (rows if newest else reversed(rows))]
    return messages
