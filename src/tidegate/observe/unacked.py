"""What workers hold, message by message: since when, of which queue, and by whom, where that was recorded."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidegate.broker import unacked
from tidegate.broker.client import Broker
from tidegate.broker.envelope import open_unacked
from tidegate.broker.gate import workers_said
from tidegate.broker.unacked import Taken
from tidegate.document import iso
from tidegate.facts.message import Label
from tidegate.facts.unacked import HeldLook, HeldMessage
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.observe.keyspace import Binding, discover
from tidegate.observe.process import Process, node_in, process_in

NO_OWNER = Unknown("no worker with the gate says that it took it")
#: The year 5138; what is said to be later is no time that can be shown.
_LATEST_EPOCH = 1e11


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process that has, or had, the gate. `heard`: it said within five seconds that it lives."""

    id: str
    node: str
    process: Process | None
    heard: bool

    @property
    def lives(self) -> bool:
        """As far as it shows: it was heard, or its process is here and not gone."""
        if self.process is not None and self.process.is_here():
            return not self.process.is_gone()
        return self.heard


def see_workers(broker: Broker) -> list[Worker]:
    """Every worker that has the gate and lived within a day; one HGETALL and one MGET."""
    found = unacked.processes(broker)
    said = workers_said(broker, list(found))
    heard = said if known(said) else dict.fromkeys(found, b"")
    return [Worker(id_, node_in(value), process_in(value), id_ in heard) for id_, value in found.items()]


def owners_of(broker: Broker, workers: Sequence[Worker]) -> dict[tuple[str, float], tuple[Worker, str]]:
    """(tag, moment) of what each worker took last → that worker and the list it came from; one LRANGE a worker."""
    by_id = {worker.id: worker for worker in workers}
    rows = unacked.took(broker, list(by_id))
    return {(row.tag, row.score): (by_id[id_], row.list) for id_, taken in rows.items() for row in taken}


def see_held(broker: Broker, queue: str | None = None, most: int = 1000) -> HeldLook:
    """The oldest held messages, of one queue or of all; two commands for 200 messages, and those of `owners_of`."""
    owners, now_s = owners_of(broker, see_workers(broker)), time.time()
    bindings = routes(discover(broker).bindings)
    rows: list[HeldMessage] = []
    for portion in unacked.portions(broker):
        values = unacked.values(broker, [row.tag for row in portion])
        seen = [
            _seen(broker, row, value, owners.get((row.tag, row.score)), bindings, now_s)
            for row, value in zip(portion, values, strict=True)
            if value is not None
        ]
        rows += [row for row in seen if queue in (None, row.queue)]
        if len(rows) >= most:
            break
    return HeldLook(total=unacked.count(broker), messages=tuple(rows[:most]))


def _seen(
    broker: Broker,
    row: Taken,
    value: bytes,
    owner: tuple[Worker, str] | None,
    bindings: Mapping[tuple[str, str], Sequence[str]],
    now_s: float,
) -> HeldMessage:
    label, exchange, key = open_unacked(value)
    queue = queue_of(broker, owner[1]) if owner else ", ".join(queues_of(exchange, key, bindings))
    read = label if isinstance(label, Label) else Label(task=None)
    return HeldMessage(
        id=read.id,
        task=read.task,
        queue=queue,
        age_s=max(0.0, now_s - row.score),
        eta=_moment(read.eta_at),
        deferred=read.eta_at is not None and read.eta_at > now_s,
        redelivered=read.redelivered,
        worker=_name(owner),
        alive=owner[0].lives if owner else NO_OWNER,
        delivery_tag=row.tag,
        size_bytes=len(value),
    )


def _name(owner: tuple[Worker, str] | None) -> Maybe[str]:
    return owner[0].node or owner[0].id if owner else NO_OWNER


def _moment(at: float | None) -> str | None:
    return None if at is None or abs(at) > _LATEST_EPOCH else iso(at)


def queue_of(broker: Broker, list_: str) -> str:
    """The queue to which that list belongs."""
    return broker.layout.without_step(list_.removeprefix(broker.layout.prefix))


def queues_of(exchange: str, key: str, bindings: Mapping[tuple[str, str], Sequence[str]]) -> Sequence[str]:
    """Where a message to that exchange goes; the default exchange routes by the queue's own name."""
    return [key] if not exchange else bindings.get((exchange, key)) or [key or exchange]


def routes(bindings: Sequence[Binding]) -> dict[tuple[str, str], list[str]]:
    """(exchange, routing key) → queues."""
    found: dict[tuple[str, str], list[str]] = {}
    for binding in bindings:
        found.setdefault((binding.exchange, binding.routing_key), []).append(binding.queue)
    return found
