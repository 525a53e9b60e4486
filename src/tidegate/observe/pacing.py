"""What an interval that follows the workers is worked out from: who lives now, what waits, and what was measured."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from tidegate.broker import ledger
from tidegate.broker.aside import hidden_by_step, holders
from tidegate.broker.client import Broker, Refusal, as_text
from tidegate.broker.gate import NODES, key_of
from tidegate.broker.reads import lengths
from tidegate.broker.records import decode_worker
from tidegate.facts.measured import WorkerSeen
from tidegate.facts.unknown import known
from tidegate.observe.measured import broker_time

#: Where the gate is off: a worker whose probe is late by half a turn and a second, or by so long, is taken for gone.
_SILENT_TURNS = 1.5
_SILENT_MORE_S = 1.0
_LATE_S = 3.0
#: What its probe wrote so long after its last sign of life says that it lives, and that only the gate is silent.
_OUTLIVES_S = 6.0


class Living:
    """Who lives, looked at again and again; remembers when the gate last knew whom, for it speaks sooner than the probe."""

    def __init__(self) -> None:
        self._gated: dict[str, float] = {}

    def look(self, broker: Broker) -> tuple[WorkerSeen, ...]:
        """The newest record of every worker that ever wrote one, `gone` where it does not live; four commands.

        Raises CannotLook where the server can't be asked.
        """
        at_s = broker_time(broker)
        stored, nodes = broker.ask(
            ("HGETALL", ledger.workers_key(broker.layout)), ("HGETALL", key_of(broker.layout, NODES))
        )
        newest = _newest(stored)
        ids = {as_text(node): as_text(worker) for node, worker in _pairs(nodes)}
        ids = {node: worker for node, worker in ids.items() if node in newest}
        said = (
            broker.one("MGET", *(key_of(broker.layout, f"worker:{worker}") for worker in ids.values())) if ids else []
        )
        if isinstance(said, Refusal):
            # Nobody is dead because the gate can't be asked.
            self._gated.clear()
            said = []
        present = {node for node, value in zip(ids, said, strict=False) if value}
        self._gated |= dict.fromkeys(present, at_s)
        return tuple(replace(one, gone=self._is_gone(one, present, at_s)) for _, one in sorted(newest.items()))

    def _is_gone(self, worker: WorkerSeen, present: Collection[str], at_s: float) -> bool:
        if worker.node in present:
            return False
        if worker.at_s <= self._gated.get(worker.node, float("-inf")) + _OUTLIVES_S:
            return True
        most_s = min(_SILENT_TURNS * worker.every_s + _SILENT_MORE_S, worker.every_s + _LATE_S)
        return worker.gone or at_s - worker.at_s > most_s


def depths_of(broker: Broker, queues: Sequence[str]) -> dict[str, int]:
    """Messages that wait in each of these queues, of all priorities, those that an act has set aside among them.

    Ten LLEN a queue and one MGET, two round trips; forty LLEN for a queue that an act has.
    """
    keys = [(queue, key) for queue in queues for _, key in broker.layout.lists(queue)]
    depths = dict.fromkeys(queues, 0)
    for (queue, _), length in zip(keys, lengths(broker, [key for _, key in keys]), strict=True):
        depths[queue] += length if known(length) else 0
    held = holders(broker, queues)
    for queue in held if known(held) else ():
        depths[queue] += sum(depth for depth in hidden_by_step(broker, queue).values() if known(depth))
    return depths


def _newest(stored: object) -> Mapping[str, WorkerSeen]:
    found: dict[str, WorkerSeen] = {}
    for _, value in _pairs(stored):
        worker = decode_worker(value)
        if worker is not None and (worker.node not in found or found[worker.node].at_s < worker.at_s):
            found[worker.node] = worker
    return found


def _pairs(reply: object) -> Iterable[tuple[bytes, bytes]]:
    return zip(reply[::2], reply[1::2], strict=True) if isinstance(reply, list) else ()
