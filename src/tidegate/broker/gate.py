"""What the gate keeps in Redis, read: its keys behind the application's own `global_keyprefix`, each read bounded.

tidegate:gate:1:marks           hash    key → the mark: which message of it is pending or running
tidegate:gate:1:firings         hash    key of an entry → its open firings
tidegate:gate:1:nodes           hash    node name → id of its present worker process
tidegate:gate:1:worker:<id>     string  a living worker process; expires five seconds after its last word
tidegate:gate:1:counts          hash    `<outcome>|<queue>`, `open|<why>` → how often
tidegate:gate:1:spill:<list>    list    the side list of a list
"""

from collections.abc import Sequence

from tidegate.broker.client import Broker, Refusal, as_text
from tidegate.broker.keys import GATE, PRIORITY_STEPS, SPILL, Layout
from tidegate.broker.reads import lengths, refused
from tidegate.facts.unknown import Maybe, Unknown, known

MARKS, FIRINGS, NODES, COUNTS = "marks", "firings", "nodes", "counts"
_HASHES = (MARKS, FIRINGS, NODES, COUNTS)
#: Fields of one hash that are read; beyond it only their number is known.
MOST_FIELDS = 1000


def key_of(layout: Layout, name: str) -> str:
    """The key of the gate with that name."""
    return f"{layout.prefix}{GATE}{name}"


def side_lists(layout: Layout, queue: str) -> list[str]:
    """The side lists of a queue, in which spilled messages wait: one for each of its lists."""
    return [f"{layout.prefix}{SPILL}{layout.list_of(queue, step)[len(layout.prefix) :]}" for step in PRIORITY_STEPS]


def in_use(broker: Broker) -> Maybe[bool]:
    """Whether the gate has left anything there; four TYPE in one round trip."""
    replies = broker.ask(*[("TYPE", key_of(broker.layout, name)) for name in _HASHES])
    refusal = next((reply for reply in replies if isinstance(reply, Refusal)), None)
    if refusal is not None:
        return refused(broker, "TYPE", refusal)
    return any(as_text(reply) != "none" for reply in replies)


def fields_of(broker: Broker, name: str) -> Maybe[dict[str, bytes]]:
    """The fields of one of the gate's hashes, `MOST_FIELDS` or a few more; one HSCAN for each 200."""
    found: dict[str, bytes] = {}
    cursor: bytes | int = 0
    # A broken server may give the same cursor for ever.
    for _ in range(MOST_FIELDS // 10):
        reply = broker.one("HSCAN", key_of(broker.layout, name), cursor, "COUNT", 200)
        if isinstance(reply, Refusal):
            return _refused(broker, name, "HSCAN", reply)
        cursor, pairs = reply
        found.update((as_text(field), value) for field, value in zip(pairs[::2], pairs[1::2], strict=True))
        if int(cursor) == 0 or len(found) >= MOST_FIELDS:
            break
    return found


def size_of(broker: Broker, name: str) -> Maybe[int]:
    """The number of fields of one of the gate's hashes; one HLEN."""
    reply = broker.one("HLEN", key_of(broker.layout, name))
    return _refused(broker, name, "HLEN", reply) if isinstance(reply, Refusal) else int(reply)


def workers_said(broker: Broker, ids: Sequence[str]) -> Maybe[dict[str, bytes]]:
    """What each of these worker processes said of itself within five seconds; a dead one is left out. One MGET."""
    if not ids:
        return {}
    reply = broker.one("MGET", *[key_of(broker.layout, f"worker:{id_}") for id_ in ids])
    if isinstance(reply, Refusal):
        return refused(broker, "MGET", reply)
    return {id_: said for id_, said in zip(ids, reply, strict=True) if isinstance(said, bytes)}


def spilled(broker: Broker, queues: Sequence[str]) -> dict[str, Maybe[int]]:
    """How many messages wait beside each queue; ten LLEN a queue."""
    width = len(PRIORITY_STEPS)
    depths = lengths(broker, [key for queue in queues for key in side_lists(broker.layout, queue)])
    return {queue: _sum(depths[at * width : (at + 1) * width]) for at, queue in enumerate(queues)}


def depths_of(broker: Broker, queues: Sequence[str]) -> dict[str, Maybe[int]]:
    """How many messages wait in each queue; ten LLEN a queue."""
    width = len(PRIORITY_STEPS)
    depths = lengths(broker, [broker.layout.list_of(queue, step) for queue in queues for step in PRIORITY_STEPS])
    return {queue: _sum(depths[at * width : (at + 1) * width]) for at, queue in enumerate(queues)}


def _sum(depths: Sequence[Maybe[int]]) -> Maybe[int]:
    unknown = next((depth for depth in depths if not known(depth)), None)
    return unknown if unknown is not None else sum(depth for depth in depths if known(depth))


def _refused(broker: Broker, name: str, command: str, refusal: Refusal) -> Unknown:
    if "WRONGTYPE" in refusal.why:
        return Unknown(f"{key_of(broker.layout, name)} is no hash: something else writes there")
    return refused(broker, command, refusal)
