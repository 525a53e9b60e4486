"""Spilled messages: whether somebody brings back what waits on disk, and what takes memory that a disk could hold."""

from collections.abc import Iterable

from tidegate.facts.diagnosis import Finding, Level
from tidegate.facts.gated import QueueGated, SideSeen
from tidegate.facts.unknown import known
from tidegate.model.case import Case
from tidegate.model.rules.gate import where_in_use
from tidegate.model.rules.saying import could_not_look, fine, shell, unseen
from tidegate.units import plural

#: Fewer in the side lists are no reason for a keeper.
_MANY = 10_000


def _kept(case: Case) -> Iterable[Finding]:
    """TG149: messages on a disk come back only while its keeper runs; without any, a long side list takes memory."""
    gate = case.gate
    if not known(gate.keeper):
        return [could_not_look("TG149", "who keeps spilled messages", unseen(keeper=gate.keeper))]
    sides = case.look.gate.sides
    noticed = [finding for queue in gate.queues for finding in _of(queue, sides.get(queue.name), gate.keeper)]
    return noticed or [fine("TG149", "No spilled message waits for a keeper.")]


def _of(queue: QueueGated, side: SideSeen | None, keeper: str | None) -> Iterable[Finding]:
    if side is None:
        return []
    if not known(queue.on_disk):
        return [could_not_look("TG149", f"what of {queue.name} is on disk", unseen(on_disk=queue.on_disk))]
    if queue.on_disk and keeper is None:
        return [_abandoned(queue.name, queue.on_disk, side.where)]
    if side.elsewhere and keeper is not None:
        return [_elsewhere(queue.name, side, keeper)]
    if side.disk_full and keeper is not None:
        return [_full(queue.name, keeper)]
    in_memory = queue.spilled - queue.on_disk if known(queue.spilled) else 0
    return [_unkept(queue.name, in_memory)] if keeper is None and in_memory > _MANY else []


def _abandoned(queue: str, on_disk: int, where: str) -> Finding:
    node, _, directory = where.partition(":")
    waiting = f"{plural(on_disk, 'message')} of {queue} wait on the disk of {node or 'some machine'}"
    return Finding(
        rule="TG149",
        level=Level.CRITICAL,
        sentence=f"{waiting}, and nobody brings them back.",
        evidence={"queue": queue, "on_disk": on_disk, "where": where},
        remedy=f"On {node or 'that machine'}: tidegate keep --dir {shell(directory or 'DIRECTORY')}",
    )


def _elsewhere(queue: str, side: SideSeen, keeper: str) -> Finding:
    node, _, directory = side.elsewhere_at.partition(":")
    waiting = f"{plural(side.elsewhere, 'message')} of {queue} wait on the disk of {node or 'some machine'}"
    return Finding(
        rule="TG149",
        level=Level.CRITICAL,
        sentence=f"{waiting}, and the keeper that acts, {keeper}, has another one: nobody brings them back.",
        evidence={"queue": queue, "on_disk": side.elsewhere, "where": side.elsewhere_at, "keeper": keeper},
        remedy=(
            f"End that keeper, and on {node or 'the other machine'}: "
            f"tidegate keep --dir {shell(directory or 'DIRECTORY')} until all are back."
        ),
    )


def _full(queue: str, keeper: str) -> Finding:
    return Finding(
        rule="TG149",
        level=Level.WARNING,
        sentence=f"The disk of {keeper} takes no more of {queue}: what spills now stays in the memory of the server.",
        evidence={"queue": queue, "keeper": keeper},
        remedy="Allow it more with --max-bytes, or make room on that disk; nothing is lost meanwhile.",
    )


def _unkept(queue: str, in_memory: int) -> Finding:
    return Finding(
        rule="TG149",
        level=Level.INFO,
        sentence=f"{plural(in_memory, 'spilled message')} of {queue} wait in the memory of the server.",
        evidence={"queue": queue, "in_memory": in_memory},
        remedy="tidegate keep --dir DIRECTORY puts them on disk, and brings them back in their order.",
    )


kept = where_in_use("TG149", "what waits on disk", _kept)
