"""What the gate's keys and settings mean: how full every bound is, what was counted, and who of the fleet has the gate."""

from collections import Counter
from collections.abc import Mapping

from tidegate.facts.gated import (
    CeilingReport,
    FleetReport,
    GateReport,
    GateSeen,
    QueueGated,
    SideSeen,
)
from tidegate.facts.seen import Look, QueueSeen
from tidegate.facts.unknown import Maybe, Unknown, known

_OPENED = "open"
_NOTHING = SideSeen(spilled=0)


def gate_report(look: Look) -> GateReport:
    """The gate as that look saw it."""
    gate = look.gate
    return GateReport(
        in_use=gate.in_use,
        queues=tuple(_queue(gate, queue) for queue in look.queues),
        memory=_ceiling(look),
        marks=gate.marks,
        marks_total=gate.marks_total,
        firings=gate.firings,
        opened=_by_reason(gate.counts),
        opened_now=_by_reason(counted_now(gate)),
        workers=gate.workers,
        fleet=_fleet(look),
        keeper=gate.keeper,
    )


def _queue(gate: GateSeen, queue: QueueSeen) -> QueueGated:
    side = gate.sides.get(queue.name, _NOTHING)
    length, size, overflow = _bound(gate, queue.name)
    named = side.dead_letter or None
    on_disk = side.on_disk if known(gate.in_use) else gate.in_use
    return QueueGated(
        name=queue.name,
        depth=queue.depth,
        bytes=queue.bytes,
        max_length=length,
        max_length_bytes=size,
        overflow=overflow,
        share=_fuller(_share(queue.depth, length), _share(queue.bytes, size)),
        spilled=side.spilled if known(gate.in_use) else gate.in_use,
        on_disk=on_disk,
        disk=side.where if known(on_disk) else on_disk,
        disk_full=side.disk_full if known(on_disk) else on_disk,
        dead_letter=named,
        dead_letters=side.dead_letters,
        counts=_of(gate.counts, queue.name),
        counted_now=_of(counted_now(gate), queue.name),
    )


def _bound(gate: GateSeen, queue: str) -> tuple[Maybe[int | None], Maybe[int | None], Maybe[str | None]]:
    """The two limits and what happens at them; None where there is none."""
    if not known(gate.settings):
        # What was never let in by anybody is bounded by nobody.
        return (None, None, None) if known(gate.in_use) and not gate.in_use else (gate.settings,) * 3
    bound = gate.settings.bound_of(queue) if gate.settings.on else None
    if bound is None:
        return None, None, None
    return bound.max_length, bound.max_length_bytes, bound.overflow.value


def _share(used: Maybe[int], limit: Maybe[int | None]) -> Maybe[float | None]:
    if not known(limit) or limit is None:
        return limit
    return used / limit if known(used) else used


def _fuller(one: Maybe[float | None], other: Maybe[float | None]) -> Maybe[float | None]:
    unknown = next((share for share in (one, other) if isinstance(share, Unknown)), None)
    shares = [share for share in (one, other) if known(share) and share is not None]
    return unknown if unknown is not None else max(shares, default=None)


def counted_now(gate: GateSeen) -> Maybe[Mapping[tuple[str, str], int]]:
    """What was counted within the window; what was counted anew since (somebody removed the counts) is all of it."""
    now, was = gate.counts, gate.counts_before
    if not known(now) or not known(was):
        return now if not known(now) else was
    grown = {key: count - was.get(key, 0) if count >= was.get(key, 0) else count for key, count in now.items()}
    return {key: count for key, count in grown.items() if count}


def _of(counts: Maybe[Mapping[tuple[str, str], int]], queue: str) -> Maybe[Mapping[str, int]]:
    return {what: n for (what, where), n in counts.items() if where == queue} if known(counts) else counts


def _by_reason(counts: Maybe[Mapping[tuple[str, str], int]]) -> Maybe[Mapping[str, int]]:
    return {why: count for (what, why), count in counts.items() if what == _OPENED} if known(counts) else counts


def totals(gate: GateReport) -> Maybe[Counter[str]]:
    """How often the gate decided what, all queues together."""
    total: Counter[str] = Counter()
    for queue in gate.queues:
        if not known(queue.counts):
            return queue.counts
        total.update(queue.counts)
    return total


def _ceiling(look: Look) -> CeilingReport:
    used, ceiling = look.server.used_memory_bytes, _ceiling_bytes(look)
    return CeilingReport(ceiling_bytes=ceiling, used_bytes=used, share=_share(used, ceiling))


def _ceiling_bytes(look: Look) -> Maybe[int | None]:
    """The ceiling in bytes; a share of a server without a limit is none."""
    settings = look.gate.settings
    if not known(settings):
        return None if known(look.gate.in_use) and not look.gate.in_use else settings
    if not settings.on or not settings.ceiling:
        return None
    if settings.ceiling > 1:
        return int(settings.ceiling)
    limit = look.server.maxmemory_bytes
    return limit if not known(limit) else int(settings.ceiling * limit) or None


def _fleet(look: Look) -> FleetReport:
    """By node name. Workers without the gate are those that were heard and did not say that they have it."""
    workers, beats = look.gate.workers, look.workers.heartbeats
    if not known(workers):
        # Where the gate is not in use at all nobody has it, and nobody has to.
        return FleetReport(with_gate=workers, without_gate=workers, mixed=workers)
    having = {worker.node for worker in workers if worker.alive}
    if not known(beats):
        return FleetReport(with_gate=tuple(sorted(having)), without_gate=beats, mixed=beats)
    lacking = {beat.hostname for beat in beats} - having
    marks = look.gate.marks_total
    needed = bool(having) or (known(marks) and marks > 0)
    return FleetReport(
        with_gate=tuple(sorted(having)), without_gate=tuple(sorted(lacking)), mixed=bool(lacking) and needed
    )
