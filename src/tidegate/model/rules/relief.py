"""Relief: what acts have set aside of queues, and whether somebody still goes on with them."""

from collections.abc import Iterable

from tidegate.facts.diagnosis import Finding, Level
from tidegate.facts.seen import QueueSeen, SetAside
from tidegate.facts.unknown import known
from tidegate.model.case import Case
from tidegate.model.rules.saying import could_not_look, fine, shell, unseen
from tidegate.units import duration, plural


def set_aside(case: Case) -> Iterable[Finding]:
    """TG160: what an interrupted act has set aside waits for ever, for workers don't look there."""
    said = [finding for queue in case.look.queues for finding in _of_queue(queue, case.look.at)]
    # One refusal hides it of every queue alike.
    return list({finding.sentence: finding for finding in said}.values()) or [fine("TG160", "No queue is set aside.")]


def _of_queue(queue: QueueSeen, now: float) -> Iterable[Finding]:
    aside = queue.set_aside
    if not known(aside):
        return [could_not_look("TG160", "what is set aside", unseen(set_aside=aside))]
    return [] if aside is None else [_judged(queue.name, aside, now)]


def _judged(queue: str, aside: SetAside, now: float) -> Finding:
    act = aside.id if aside.act and aside.id.startswith(aside.act) else f"{aside.act or 'an act'} {aside.id}"
    if not known(aside.interrupted):
        unknown = {"interrupted": aside.interrupted}
        return could_not_look("TG160", f"whether {act}, which has set {queue} aside, goes on", unknown)
    messages = sum(aside.by_priority.values())
    since = "" if aside.started_at is None else f" for {duration(max(0.0, now - aside.started_at))}"
    evidence = {"queue": queue, "id": aside.id, "act": aside.act, "aside": messages, "started_by": aside.who}
    sentence = f"{queue} has been set aside by {act}{since}, with {plural(messages, 'message')}"
    if not aside.interrupted:
        return Finding(rule="TG160", level=Level.INFO, sentence=f"{sentence}: it is at work.", evidence=evidence)
    return Finding(
        rule="TG160",
        level=Level.CRITICAL if messages else Level.WARNING,
        sentence=f"{sentence}, and whoever did it is gone: no worker gets what is aside.",
        evidence=evidence,
        remedy=f"tidegate relief resume {shell(aside.id)}",
    )
