"""What the probes measured, read back from Redis: slices that do not overlap, and the workers; writes nothing."""

from dataclasses import replace

from tidegate.broker import ledger
from tidegate.broker.client import Broker, Refusal
from tidegate.broker.ledger import Record, Stretch
from tidegate.broker.records import decode_worker
from tidegate.facts.measured import Measured, Slice, WorkerSeen
from tidegate.facts.merging import coarsened
from tidegate.facts.unknown import Maybe, known

#: A worker that has not been heard for so many of its intervals is taken for gone.
_SILENT_TURNS = 3


def read_measured(broker: Broker, since_s: float | None = None) -> Measured:
    """All that probes left, or only the slices that reach into the last `since_s` seconds; oldest slice first.

    Slices never overlap: where a longer one covers a part of the time, shorter ones inside were merged into it. The
    last one may still be going on, so it covers the time up to `at_s` only. Some five commands and one HGETALL a
    stretch (30 to 60 of them for a day), then one MEMORY USAGE a key; raises CannotLook where the server can't be asked.
    """
    at_s = broker_time(broker)
    present = ledger.stretches(broker)
    asked = [stretch for stretch in present if since_s is None or stretch.end_s > at_s - since_s]
    found = ledger.records(broker, asked)
    workers, odd_workers = _workers(broker, at_s)
    return Measured(
        at_s=at_s,
        slices=disjoint(ledger.counting(found)),
        workers=workers,
        bytes=weight(broker, present),
        unreadable=odd_workers + sum(record.stored is None for record in found),
    )


def broker_time(broker: Broker) -> float:
    """The server's clock, in seconds; one TIME."""
    reply = broker.one("TIME")
    return int(reply[0]) + int(reply[1]) / 1e6 if isinstance(reply, list) else 0.0


def disjoint(counting: list[Record]) -> tuple[Slice, ...]:
    """The records as slices that do not overlap: each goes into the longest stretch that holds it and has a record."""
    present = {record.stretch for record in counting}
    places: dict[Stretch, list[Slice]] = {}
    for record in counting:
        if record.stored is not None:
            longest = [stretch for stretch in (record.stretch, *record.stretch.above()) if stretch in present][-1]
            places.setdefault(longest, []).append(record.stored.slice)
    merged = [coarsened(parts, stretch.start_s, stretch.length_s) for stretch, parts in places.items()]
    return tuple(sorted(merged, key=lambda slice_: slice_.start_s))


def weight(broker: Broker, present: list[Stretch]) -> Maybe[int]:
    """What all keys of the probe weigh together; unknown where the server does not say of one of them."""
    weights = ledger.weights(broker, present).values()
    unknown = next((one for one in weights if not known(one)), None)
    return unknown if unknown is not None else sum(one for one in weights if known(one))


def _workers(broker: Broker, at_s: float) -> tuple[tuple[WorkerSeen, ...], int]:
    reply = broker.one("HGETALL", ledger.workers_key(broker.layout))
    if isinstance(reply, Refusal) or not isinstance(reply, list):
        return (), 0
    decoded = [decode_worker(value) for value in reply[1::2]]
    seen = [_heard(worker, at_s) for worker in decoded if worker is not None]
    return tuple(sorted(seen, key=lambda worker: (worker.node, worker.started_at_s))), len(decoded) - len(seen)


def _heard(worker: WorkerSeen, at_s: float) -> WorkerSeen:
    silent = at_s - worker.at_s > _SILENT_TURNS * worker.every_s
    return replace(worker, gone=worker.gone or silent)
