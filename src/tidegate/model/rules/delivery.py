"""What workers hold, when it is delivered again, and what they report."""

from collections.abc import Iterable

from tidegate.facts.diagnosis import Finding, Level
from tidegate.facts.unknown import known
from tidegate.model.case import Case
from tidegate.model.rules.saying import could_not_look, fine, unseen
from tidegate.units import count, duration, plural, rate

#: Fewer unacknowledged messages than this come and go with prefetching.
NOTICEABLE = 10


def visibility(case: Case) -> Iterable[Finding]:
    """TG120: a message held longer than the visibility timeout is delivered again and runs twice."""
    unacked, timeout = case.look.unacked, _timeout(case)
    unknown = unseen(unacked=unacked.count, oldest_age_s=unacked.oldest_age_s)
    if unknown:
        return [could_not_look("TG120", "what workers hold", unknown)]
    eta, held = unacked.furthest_eta_s, unacked.oldest_running_age_s
    if known(eta) and eta is not None and eta > timeout:
        return [_redelivered(f"A message deferred for {duration(eta)} is held by a worker", eta, timeout)]
    if known(held) and held is not None and held > timeout:
        return [_redelivered(f"A message was taken {duration(held)} ago and not acknowledged", held, timeout)]
    unknown = unseen(furthest_eta_s=eta, oldest_running_age_s=held)
    if unknown and unacked.count != 0:
        return [could_not_look("TG120", "how long messages are held", unknown)]
    return [fine("TG120", f"Nothing is held longer than the visibility timeout of {duration(timeout)}.")]


def _timeout(case: Case) -> float:
    app = case.app
    return (app.visibility_timeout_s if app else None) or case.look.visibility_timeout_s


def _redelivered(what: str, held_s: float, timeout_s: float) -> Finding:
    return Finding(
        rule="TG120",
        level=Level.WARNING,
        sentence=f"{what}, longer than the visibility timeout of {duration(timeout_s)}: it is delivered again each time "
        "that has passed, and runs more than once.",
        evidence={"held_s": held_s, "visibility_timeout_s": timeout_s},
        remedy=f'app.conf.broker_transport_options = {{"visibility_timeout": {round(held_s * 2)}}}',
    )


def unacked_growing(case: Case) -> Iterable[Finding]:
    """TG121: more and more is taken and not acknowledged: workers die with it, or hold deferred messages."""
    unacked = case.look.unacked
    if not known(unacked.count):
        return [could_not_look("TG121", "what workers hold", {"unacked": unacked.count})]
    growth = unacked.growth_per_s
    if not known(growth):
        return [could_not_look("TG121", "the growth of what workers hold", {"growth_per_s": growth})]
    rise = growth * case.look.window_s
    if rise < max(NOTICEABLE, 0.1 * unacked.count):
        held = plural(unacked.count, "message")
        return [fine("TG121", f"Workers hold {held} unacknowledged, and it does not grow.", unacked=unacked.count)]
    deferred = f", {count(unacked.deferred)} of them deferred" if known(unacked.deferred) and unacked.deferred else ""
    return [
        Finding(
            rule="TG121",
            level=Level.WARNING,
            sentence=f"Unacknowledged messages grow by {rate(growth)}: {plural(unacked.count, 'message')} by now{deferred}.",
            evidence={"unacked": unacked.count, "growth_per_s": growth, "deferred": unacked.deferred},
            remedy="Deferred ones are held in the workers' memory until they are due: use shorter countdowns, or beat. "
            "Others come back after the visibility timeout when their worker has died: look at the workers' logs.",
        )
    ]


def task_events(case: Case) -> Iterable[Finding]:
    """TG122: an event for every task costs workers about 30 % of their throughput."""
    events = case.look.workers.task_events
    if not known(events):
        return [could_not_look("TG122", "the event channel", {"task_events": events})]
    if not events:
        return [fine("TG122", "Task events are off.")]
    per_s = events / case.look.workers.listened_s if case.look.workers.listened_s else 0.0
    return [
        Finding(
            rule="TG122",
            level=Level.INFO,
            sentence=f"Workers publish an event for every task ({rate(per_s)}), which costs about 30 % of their throughput. "
            "Flower switches that on when it is attached, and it stays on when Flower is gone.",
            evidence={"task_events": events, "per_s": per_s},
            remedy="celery -A proj control disable_events (if nothing listens), and start workers without -E",
        )
    ]
