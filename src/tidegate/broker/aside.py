"""What acts of relief have set aside, read: bounded, and one command where no act has a queue. The keys: `relief`."""

from collections.abc import Iterable, Mapping, Sequence

from tidegate.broker.client import Broker, Refusal, as_text
from tidegate.broker.keys import PRIORITY_STEPS
from tidegate.broker.reads import batched, lengths, refused
from tidegate.broker.relief import HIDDEN, hidden_list, key_of
from tidegate.facts.unknown import Maybe, known


def holders(broker: Broker, queues: Sequence[str]) -> Maybe[dict[str, str]]:
    """The id of the act that has each queue, where one has it; one MGET."""
    if not queues:
        return {}
    reply = broker.one("MGET", *[key_of(broker.layout.prefix, f"queue:{queue}") for queue in queues])
    if isinstance(reply, Refusal):
        return refused(broker, "MGET", reply)
    return {queue: as_text(act) for queue, act in zip(queues, reply, strict=True) if act is not None}


def hidden_depths(broker: Broker, queue: str) -> dict[str, Maybe[int]]:
    """The length of every list of the queue that is set aside, those that hold something, oldest first; thirty LLEN."""
    keys = [key for step in PRIORITY_STEPS for key in _hidden(broker, queue, step)]
    return {key: depth for key, depth in zip(keys, lengths(broker, keys), strict=True) if not known(depth) or depth}


def hidden_by_step(broker: Broker, queue: str) -> dict[int, Maybe[int]]:
    """How many messages of each priority step are set aside, those that are any; thirty LLEN."""
    depths = hidden_depths(broker, queue)
    return {
        step: total
        for step in PRIORITY_STEPS
        if (total := _sum([depths[key] for key in _hidden(broker, queue, step) if key in depths]))
    }


def _hidden(broker: Broker, queue: str, step: int) -> list[str]:
    layout = broker.layout
    return [hidden_list(layout.prefix, kind, layout.list_of(queue, step)) for kind in HIDDEN]


def _sum(depths: Iterable[Maybe[int]]) -> Maybe[int]:
    total = 0
    for depth in depths:
        if not known(depth):
            return depth
        total += depth
    return total


def records(broker: Broker, acts: Sequence[str], fields: Sequence[str]) -> dict[str, Mapping[str, str]]:
    """Those fields of each act that are there; one HMGET an act."""
    prefix = broker.layout.prefix
    replies = batched(broker, [("HMGET", key_of(prefix, f"act:{act}"), *fields) for act in acts])
    return {act: _fields(fields, reply) for act, reply in zip(acts, replies, strict=True)}


def _fields(names: Sequence[str], reply: object) -> Mapping[str, str]:
    if not isinstance(reply, list):
        return {}
    return {name: as_text(value) for name, value in zip(names, reply, strict=True) if value is not None}
