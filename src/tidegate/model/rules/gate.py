"""The gate: how full the bounds are, what it refused and dropped, whether it opened, and who publishes past it."""

import math
from collections.abc import Callable, Iterable, Mapping

from tidegate.facts.diagnosis import Finding, Level, QueueReport, State
from tidegate.facts.gate import Outcome, Overflow
from tidegate.facts.gated import GateReport, MarkSeen, MarkState, QueueGated
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.case import Case
from tidegate.model.gated import totals
from tidegate.model.rules.saying import could_not_look, fine, quoted, shell, unseen
from tidegate.units import count, duration, percent, plural, size

#: From this share of a bound on there is little air left; of the memory ceiling, where a burst is larger, later.
NEAR, NEAR_CEILING = 0.8, 0.9
#: A mark whose message is gone is set aside by the next run of its key; one that stays so long had none.
LOST_S, LONG_LOST_S = 60.0, 3600.0
#: What a bound should hold at least: so many seconds of what the workers do.
_AIR_S, _LEAST_BOUND = 300.0, 1000
_NAMED = 3

#: What each outcome means for the message, and for whom it is bad.
LOSSES = {
    Outcome.QUEUE_FULL: "refused at the bound",
    Outcome.MEMORY_FULL: "refused at the memory ceiling",
    Outcome.DEAD_LETTERED: "put into the dead-letter queue",
    Outcome.DROPPED_HEAD: "dropped to make room",
}
_AT_BOUND = {
    Overflow.REJECT_PUBLISH: "publishers are refused",
    Overflow.DROP_HEAD: "each new message drops the oldest",
    Overflow.REJECT_PUBLISH_DLX: "new messages go into the dead-letter queue",
    Overflow.BLOCK: "publishers wait",
    Overflow.SPILL: "new messages wait in the side list",
}


def where_in_use(rule: str, what: str, judge: Callable[[Case], Iterable[Finding]]) -> Callable[[Case], list[Finding]]:
    """Nothing to judge where the gate is not in use, and nothing that could be where that can't be seen."""

    def check(case: Case) -> list[Finding]:
        used = case.gate.in_use
        if not known(used):
            return [could_not_look(rule, what, {"in_use": used})]
        return list(judge(case)) if used else [fine(rule, "The gate is not in use.")]

    check.__doc__ = judge.__doc__
    return check


def _at_bound(case: Case) -> Iterable[Finding]:
    """TG140: a queue at its bound refuses or drops; before that there is time to do something."""
    noticed, fullest = [], 0.0
    for queue in case.gate.queues:
        if not known(queue.share):
            noticed.append(could_not_look("TG140", f"the bound of {queue.name}", unseen(share=queue.share)))
        elif queue.share is not None:
            fullest = max(fullest, queue.share)
            noticed += [_full(queue, queue.share)] if queue.share >= NEAR else []
    bounded = sum(known(queue.share) and queue.share is not None for queue in case.gate.queues)
    text = (
        f"{plural(bounded, 'queue')} bounded, the fullest at {percent(fullest)}." if bounded else "No queue is bounded."
    )
    return noticed or [fine("TG140", text, bounded=bounded, share=fullest)]


def _full(queue: QueueGated, share: float) -> Finding:
    full = share >= 1
    sentence = f"{queue.name} is at {percent(share)} of its bound ({_limits(queue)}): {_then(queue, full)}."
    if known(queue.depth) and known(queue.max_length) and queue.max_length and queue.depth > queue.max_length:
        sentence += (
            " What is beyond is exempt, was published past the gate or while it was open, or is older than the bound."
        )
    refuses = queue.overflow in (Overflow.REJECT_PUBLISH, Overflow.REJECT_PUBLISH_DLX, Overflow.BLOCK)
    return Finding(
        rule="TG140",
        level=Level.CRITICAL if full and refuses else Level.WARNING,
        sentence=sentence,
        evidence={"queue": queue.name, "share": share, "depth": queue.depth, "max_length": queue.max_length}
        | {"max_length_bytes": queue.max_length_bytes, "overflow": queue.overflow},
        remedy=f"Run more workers for {queue.name}, or send less: tidegate plan says which interval they can sustain.",
    )


def _limits(queue: QueueGated) -> str:
    parts = []
    if known(queue.max_length) and queue.max_length:
        parts.append(f"{_counted(queue.depth)} of {count(queue.max_length)} messages")
    if known(queue.max_length_bytes) and queue.max_length_bytes:
        parts.append(f"{size(queue.bytes) if known(queue.bytes) else '?'} of {size(queue.max_length_bytes)}")
    return ", ".join(parts)


def _counted(value: Maybe[int]) -> str:
    return count(value) if known(value) else "?"


def _then(queue: QueueGated, full: bool) -> str:
    what = _AT_BOUND.get(Overflow(queue.overflow), "") if known(queue.overflow) and queue.overflow else ""
    return what if full else f"once there, {what}"


def _losing(case: Case) -> Iterable[Finding]:
    """TG141: what the gate refuses and drops is counted; while it goes on somebody does not get what he sent."""
    noticed = []
    for queue in case.gate.queues:
        if not known(queue.counted_now):
            return [could_not_look("TG141", "what the gate counted", unseen(counts=queue.counted_now))]
        lost = {outcome: queue.counted_now[outcome] for outcome in LOSSES if queue.counted_now.get(outcome)}
        noticed += [_loses(case, queue, lost)] if lost else []
    return noticed or [_lost_so_far(case.gate)]


def _loses(case: Case, queue: QueueGated, lost: Mapping[Outcome, int]) -> Finding:
    many = ", ".join(f"{count(number)} {LOSSES[outcome]}" for outcome, number in lost.items())
    return Finding(
        rule="TG141",
        level=Level.WARNING,
        sentence=f"Of the messages for {queue.name} in {duration(case.look.window_s)}: {many}.",
        evidence={"queue": queue.name, "window_s": case.look.window_s} | {str(k): n for k, n in lost.items()},
        remedy="tidegate gate journal names them. Only less coming, or more workers, ends it.",
    )


def _lost_so_far(gate: GateReport) -> Finding:
    total = totals(gate)
    lost = {str(outcome): total[outcome] for outcome in LOSSES if total[outcome]} if known(total) else {}
    so_far = f"; {count(sum(lost.values()))} so far" if lost else ""
    return fine("TG141", f"Nothing is refused or dropped{so_far}.", **lost)


def _opened(case: Case) -> Iterable[Finding]:
    """TG142: an open gate lets everything in; it opens by itself where it can't decide, and must not stay so."""
    now, ever = case.gate.opened_now, case.gate.opened
    if not known(now) or not known(ever):
        return [could_not_look("TG142", "how often the gate opened", unseen(opened=now))]
    if not ever:
        return [fine("TG142", "The gate never opened.")]
    times = now or ever
    when = f"in {duration(case.look.window_s)}" if now else "so far, not while watched"
    why = "; ".join(list(times)[:_NAMED])
    return [
        Finding(
            rule="TG142",
            level=Level.WARNING if now else Level.INFO,
            sentence=f"The gate opened {plural(sum(times.values()), 'time')} {when}: {why}.",
            evidence={"opened": dict(ever), "opened_now": dict(now)},
            remedy="Mend what it names: an ACL that misses a command, a read-only replica, keys of another version.",
        )
    ]


def _stuck(case: Case) -> Iterable[Finding]:
    """TG143: a mark whose message is gone; the next run of its key sets it aside, so one that stays has had none."""
    marks = case.gate.marks
    if not known(marks):
        return [could_not_look("TG143", "the marks", unseen(marks=marks))]
    unseen_ones = [mark for mark in marks if not known(mark.alive)]
    if unseen_ones:
        return [could_not_look("TG143", "who holds the marked messages", unseen(alive=unseen_ones[0].alive))]
    depths = {queue.name: _all_of(queue) for queue in case.gate.queues}
    lost = [mark for mark in marks if mark.since_s >= LOST_S and _is_lost(mark, depths.get(mark.queue))]
    return [_lost(lost)] if lost else [fine("TG143", f"{plural(len(marks), 'mark')}, none of a message that is gone.")]


def _all_of(queue: QueueGated) -> int | None:
    """Everything that waits in the queue and beside it; None where that could not be seen."""
    return queue.depth + queue.spilled if known(queue.depth) and known(queue.spilled) else None


def _is_lost(mark: MarkSeen, waiting: int | None) -> bool:
    return waiting == 0 if mark.state is MarkState.WAITING else mark.alive is False


def _lost(lost: list[MarkSeen]) -> Finding:
    oldest = max(lost, key=lambda mark: mark.since_s)
    several = f"{plural(len(lost), 'mark')} of messages that are gone, the oldest"
    many = several if len(lost) > 1 else "1 mark of a message that is gone"
    gone = "its queue is empty" if oldest.state is MarkState.WAITING else f"{oldest.worker}, which took it, is dead"
    return Finding(
        rule="TG143",
        level=Level.WARNING if oldest.since_s >= LONG_LOST_S else Level.INFO,
        sentence=f"{many}: {oldest.key}, for {duration(oldest.since_s)}; {gone}. The next run of a key sets its mark aside.",
        evidence={"marks": [mark.key for mark in lost[:_NAMED]], "count": len(lost), "since_s": oldest.since_s},
        remedy="Nothing where it is no longer sent. Where it should be: tidegate gate journal says what became of its runs.",
    )


def _spilling(case: Case) -> Iterable[Finding]:
    """TG144: what spills waits beside its queue, in memory; it has to get in some time."""
    noticed = []
    for queue in case.gate.queues:
        if not known(queue.spilled):
            noticed.append(could_not_look("TG144", f"the side list of {queue.name}", unseen(spilled=queue.spilled)))
        elif queue.spilled:
            noticed.append(_spills(queue, queue.spilled, case.look.gate.spilled_before.get(queue.name, 0)))
    return noticed or [fine("TG144", "No side list holds anything.")]


def _spills(queue: QueueGated, spilled: int, was: Maybe[int]) -> Finding:
    grows = known(was) and spilled > was
    return Finding(
        rule="TG144",
        level=Level.WARNING if grows else Level.INFO,
        sentence=f"{plural(spilled, 'message')} of {queue.name} wait beside it{', and more come than get in' if grows else ''}.",
        evidence={"queue": queue.name, "spilled": spilled, "spilled_before": was},
        remedy="They get in by themselves, in their order, as soon as the queue drains: run more workers, or send less."
        if grows
        else None,
    )


def _dead(case: Case) -> Iterable[Finding]:
    """TG145: dead letters wait for somebody who looks at them."""
    noticed = []
    for queue in case.gate.queues:
        if not known(queue.dead_letters):
            noticed.append(
                could_not_look("TG145", f"the dead letters of {queue.name}", unseen(depth=queue.dead_letters))
            )
        elif queue.dead_letters and known(queue.dead_letter) and queue.dead_letter:
            noticed.append(_dead_wait(queue.name, queue.dead_letter, queue.dead_letters))
    return noticed or [fine("TG145", "No dead letter waits.")]


def _dead_wait(queue: str, dead_letter: str, depth: int) -> Finding:
    return Finding(
        rule="TG145",
        level=Level.WARNING,
        sentence=f"{plural(depth, 'message')} that {queue} had no room for lie in {dead_letter}.",
        evidence={"queue": queue, "dead_letter": dead_letter, "depth": depth},
        remedy=f"tidegate peek {shell(dead_letter)}; then let a worker take them (-Q {shell(dead_letter)}), or drop them.",
    )


def _ceiling(case: Case) -> Iterable[Finding]:
    """TG146: at the ceiling every publish is refused, whatever queue it goes to; better than a server that is full."""
    memory = case.gate.memory
    if not known(memory.share) or not known(memory.ceiling_bytes) or not known(memory.used_bytes):
        return [could_not_look("TG146", "the memory ceiling", unseen(share=memory.share))]
    if memory.share is None or memory.ceiling_bytes is None:
        return [fine("TG146", "No memory ceiling is set.")]
    text = f"{size(memory.used_bytes)} of {size(memory.ceiling_bytes)}, the gate's memory ceiling, are used"
    evidence = {"used_bytes": memory.used_bytes, "ceiling_bytes": memory.ceiling_bytes, "share": memory.share}
    if memory.share < NEAR_CEILING:
        return [fine("TG146", f"{text}.", **evidence)]
    full = memory.share >= 1
    return [
        Finding(
            rule="TG146",
            level=Level.CRITICAL if full else Level.WARNING,
            sentence=f"{text}: {'every publish is refused' if full else 'once there, every publish is refused'}.",
            evidence=evidence,
            remedy="See where the memory goes: tidegate doctor -v, TG113 and TG115.",
        )
    ]


def unbounded(case: Case) -> Iterable[Finding]:
    """TG147: a queue that grows without any bound fills the server; the gate can make that impossible."""
    bounds = {queue.name: queue for queue in case.gate.queues}
    noticed = []
    for queue in case.queues:
        bound = bounds[queue.name]
        unknown = unseen(max_length=bound.max_length, max_length_bytes=bound.max_length_bytes)
        boundless = not unknown and bound.max_length is None and bound.max_length_bytes is None
        if queue.state is State.GROWING and boundless:
            noticed.append(_unbounded(queue))
        elif queue.state is State.GROWING and unknown:
            noticed.append(could_not_look("TG147", f"the bound of {queue.name}", unknown))
        elif queue.state is State.UNKNOWN and (boundless or unknown):
            why = {"growth_per_s": Unknown(queue.state_reason)}
            noticed.append(could_not_look("TG147", f"whether {queue.name} grows without a bound", why))
    return noticed or [fine("TG147", "No queue grows without a bound.")]


def _unbounded(queue: QueueReport) -> Finding:
    bound = _advised(queue)
    settings = (
        f'app.conf.tidegate_queues = {{{quoted(queue.name)}: {{"max_length": {bound}, "x-overflow": "drop-head"}}}}'
    )
    return Finding(
        rule="TG147",
        level=Level.INFO,
        sentence=f"{queue.name} grows, and nothing bounds it.",
        evidence={"queue": queue.name, "depth": queue.depth, "advised_max_length": bound},
        remedy=f"tidegate.install(app); {settings}",
    )


def _advised(queue: QueueReport) -> int:
    """Some minutes of what the workers do, as a round number."""
    if not known(queue.service_per_s) or queue.service_per_s <= 0:
        return 10_000
    wanted = max(_LEAST_BOUND, queue.service_per_s * _AIR_S)
    step: int = 10 ** math.floor(math.log10(wanted))
    return math.ceil(wanted / step) * step


def _mixed(case: Case) -> Iterable[Finding]:
    """TG148: a worker without the gate clears no mark; what it took counts as pending until that shows otherwise."""
    fleet = case.gate.fleet
    if not known(fleet.mixed) or not known(fleet.without_gate) or not known(fleet.with_gate):
        return [could_not_look("TG148", "which workers have the gate", unseen(mixed=fleet.mixed))]
    if not fleet.mixed:
        return [fine("TG148", f"{plural(len(fleet.with_gate), 'worker')} with the gate, none heard without.")]
    some = ", ".join(fleet.without_gate[:_NAMED])
    return [
        Finding(
            rule="TG148",
            level=Level.WARNING,
            sentence=(
                f"{plural(len(fleet.without_gate), 'worker')} without the gate beside {len(fleet.with_gate)} with it: {some}."
            ),
            evidence={"with_gate": list(fleet.with_gate), "without_gate": list(fleet.without_gate)},
            remedy="Fine during a roll-out. Else restart them with the code that calls tidegate.install(app).",
        )
    ]


at_bound = where_in_use("TG140", "the bounds", _at_bound)
losing = where_in_use("TG141", "what the gate counted", _losing)
opened = where_in_use("TG142", "how often the gate opened", _opened)
stuck = where_in_use("TG143", "the marks", _stuck)
spilling = where_in_use("TG144", "the side lists", _spilling)
dead = where_in_use("TG145", "the dead letters", _dead)
ceiling = where_in_use("TG146", "the memory ceiling", _ceiling)
mixed = where_in_use("TG148", "which workers have the gate", _mixed)
