"""A bounded walk over the keys: which queues there are, which applications, and what kinds of key fill the memory.

SCAN passes keys in an order that has nothing to do with their names, so a part of the walk is a fair sample.
"""

import difflib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidegate.broker import keys as names
from tidegate.broker.client import Broker
from tidegate.broker.envelope import open_label
from tidegate.broker.reads import Walk, bytes_of, elements, expiries, members, types, walk_keys
from tidegate.broker.relief import key_of
from tidegate.facts.message import Label
from tidegate.facts.seen import KeyFamily, KeyspaceSeen
from tidegate.facts.unknown import Maybe, Unknown, known

#: Keys looked at without being asked for more: about 10 ms of server time.
DEFAULT_KEYS = 50_000
#: Keys of each kind that are weighed, and asked for their expiry.
_WEIGHED = 60
_TYPED = 400


@dataclass(frozen=True, slots=True)
class Binding:
    """Messages published to the exchange with the routing key go to the queue."""

    exchange: str
    routing_key: str
    queue: str


@dataclass(frozen=True, slots=True)
class Discovery:
    """What the walk found: queues (bound ones, and lists that hold tasks), bindings, and the key space itself."""

    queues: tuple[str, ...]
    bindings: tuple[Binding, ...]
    keyspace: Maybe[KeyspaceSeen]

    def hint(self, name: str) -> str:
        """What to say of a queue that was not found: the nearest name, or those there are."""
        near = difflib.get_close_matches(name, self.queues, 1)
        return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(self.queues)[:10]) or 'none'}"


def discover(broker: Broker, at_most_keys: int = DEFAULT_KEYS) -> Discovery:
    """The queues and the kinds of key, from at most so many keys; one SCAN a thousand keys, and a few hundred reads."""
    walk = walk_keys(broker, at_most_keys)
    bindings = _bindings(broker, walk)
    by_family = _by_family(broker, walk)
    lists = _queue_lists(broker, by_family, {binding.queue for binding in bindings})
    bound = (binding.queue for binding in bindings if not names.is_internal(binding.queue))
    queues = dict.fromkeys([*bound, *lists, *_set_aside(broker, by_family)])
    if walk.problem is not None and not walk.keys:
        return Discovery(tuple(queues), tuple(bindings), walk.problem)
    return Discovery(tuple(queues), tuple(bindings), _keyspace(broker, walk, by_family, tuple(queues)))


def _bindings(broker: Broker, walk: Walk) -> list[Binding]:
    prefix = broker.layout.prefix + names.BINDING
    # The default exchange's table is asked for by name: a walk that ends early may not have met it.
    tables = dict.fromkeys([broker.layout.binding("celery"), *(key for key in walk.keys if key.startswith(prefix))])
    found = []
    for table in tables:
        for member in _known_members(broker, table):
            parsed = broker.layout.queue_of_member(member)
            if parsed is not None and parsed[1]:
                found.append(Binding(table[len(prefix) :], *parsed))
    return found


def _known_members(broker: Broker, table: str) -> list[str]:
    rows = members(broker, table)
    return rows if known(rows) else []


def _by_family(broker: Broker, walk: Walk) -> dict[str, list[str]]:
    """The keys passed, by kind; what belongs to no application of this prefix is `other keys`."""
    prefix = broker.layout.prefix
    result: dict[str, list[str]] = defaultdict(list)
    for key in walk.keys:
        own = key.startswith(prefix)
        family = names.family_of(key[len(prefix) :]) if own else None
        result[family or "other keys"].append(key)
    return result


def _queue_lists(broker: Broker, by_family: dict[str, list[str]], bound: set[str]) -> list[str]:
    """Queues among the keys of no known kind: lists that are bound, or whose newest element is a task."""
    prefix = broker.layout.prefix
    others = by_family["other keys"]
    mine = [key for key in others if key.startswith(prefix)]
    named = {key for key in mine if broker.layout.without_step(key[len(prefix) :]) in bound}
    asked = [key for key in mine if key not in named][:_TYPED]
    lists = {
        key
        for key, kind in zip(asked, types(broker, asked), strict=True)
        if kind == "list" and _holds_task(broker, key)
    }
    by_family["queues"] = sorted(named | lists)
    by_family["other keys"] = [key for key in others if key not in named and key not in lists]
    return list(dict.fromkeys(broker.layout.without_step(key[len(prefix) :]) for key in sorted(lists)))


def _set_aside(broker: Broker, by_family: Mapping[str, Sequence[str]]) -> list[str]:
    """The queues that acts of relief have: their own lists may all be empty meanwhile."""
    start = key_of(broker.layout.prefix, "queue:")
    return [key[len(start) :] for key in by_family.get("tidegate", ()) if key.startswith(start)]


def _holds_task(broker: Broker, key: str) -> bool:
    newest = elements(broker, key, 0, 0)
    label = open_label(newest[0]) if known(newest) and newest else None
    return isinstance(label, Label) and label.task is not None


def _keyspace(
    broker: Broker, walk: Walk, by_family: Mapping[str, Sequence[str]], queues: Sequence[str]
) -> KeyspaceSeen:
    scale = walk.total / len(walk.keys) if walk.keys and not walk.complete else 1.0
    rows = [_family(broker, name, found, scale) for name, found in by_family.items() if found and name != "queues"]
    prefixes = {names.prefix_before_bindings(key) for key in walk.keys} - {None}
    return KeyspaceSeen(
        total=walk.total,
        scanned=len(walk.keys),
        complete=walk.complete,
        families=tuple(sorted(rows, key=lambda row: -row.bytes)),
        key_prefixes=tuple(sorted(prefix for prefix in prefixes if prefix is not None)),
        orphaned_replies=_orphans(broker, by_family.get("replies", ()), scale),
    )


def _family(broker: Broker, name: str, found: Sequence[str], scale: float) -> KeyFamily:
    sample = found[:_WEIGHED]
    weights = [weight for weight in bytes_of(broker, sample, samples=5) if known(weight)]
    left = expiries(broker, sample)
    mean = sum(weights) / len(weights) if weights else 0.0
    count = round(len(found) * scale)
    share = sum(seconds == -1 for seconds in left) / len(left)
    lasting: Maybe[int] = Unknown("TTL was refused") if None in left else round(share * count)
    return KeyFamily(name=name, count=count, bytes=round(mean * count), without_expiry=lasting, example=found[0])


def _orphans(broker: Broker, replies: Sequence[str], scale: float) -> Maybe[int]:
    """Reply lists that hold something and never expire: whoever asked is gone, and nobody will take the answers."""
    sample = replies[:_TYPED]
    left = expiries(broker, sample)
    if any(seconds is None for seconds in left):
        return Unknown("TTL was refused")
    share = sum(seconds == -1 for seconds in left) / len(sample) if sample else 0.0
    return round(share * len(replies) * scale)
