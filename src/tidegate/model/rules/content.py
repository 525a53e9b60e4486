"""What the queues are filled with: expired, repeated, fanned out, of one task, or unreadable."""

from collections.abc import Iterable, Sequence

from tidegate.facts.diagnosis import Finding, Level, QueueReport, State
from tidegate.facts.seen import CensusSeen, KeyspaceSeen, TaskCount
from tidegate.facts.unknown import Unknown
from tidegate.model.case import Case
from tidegate.model.firing import Firing
from tidegate.model.rules.saying import could_not_look, fine, quoted, shell, unread
from tidegate.units import count, percent, plural

#: Below this a queue is too short to speak of its composition.
LEAST_DEPTH = 20
_TAKEN = Unknown("messages are taken as they come, before they can be read")
DOMINATING, REPEATED, FANNED_OUT = 0.5, 0.1, 0.5


def _censuses(case: Case) -> list[tuple[QueueReport, CensusSeen]]:
    rows = [(queue, case.census(queue.name)) for queue in case.waiting]
    return [(queue, census) for queue, census in rows if census is not None and census.messages]


def _otherwise(case: Case, rule: str, healthy: str, noticed: Sequence[Finding]) -> list[Finding]:
    """The healthy sentence where nothing was noticed, unless there were queues that could not be looked into."""
    unknown = unread(case)
    if unknown:
        return [could_not_look(rule, "all that waits", unknown)]
    return [] if noticed else [fine(rule, healthy)]


def expired(case: Case) -> Iterable[Finding]:
    """TG105: messages past their `expires` still wait; a worker throws each away when it gets there."""
    noticed = []
    for queue, census in _censuses(case):
        dead = sum(row.expired for row in census.by_task)
        if dead:
            noticed.append(_expired(queue, census, dead))
    return noticed + _otherwise(case, "TG105", "No waiting message has expired.", noticed)


def _expired(queue: QueueReport, census: CensusSeen, dead: int) -> Finding:
    about = "" if census.exact else "about "
    return Finding(
        rule="TG105",
        level=Level.WARNING if dead / census.messages >= REPEATED else Level.INFO,
        sentence=(
            f"{about.capitalize()}{count(dead)} of the {count(census.messages)} messages in {queue.name} have expired: "
            "workers will throw them away, and until then they take memory and stand in the way."
        ),
        evidence={"queue": queue.name, "expired": dead, "messages": census.messages, "exact": census.exact},
        remedy="They clear as fast as workers can read them; if there are very many, run one more worker for a while.",
    )


def dominating(case: Case) -> Iterable[Finding]:
    """TG106: one task makes most of a queue."""
    noticed = []
    for queue, census in _censuses(case):
        if census.by_task and census.messages >= LEAST_DEPTH and census.by_task[0].share >= DOMINATING:
            noticed.append(_dominating(queue, census, census.by_task[0]))
    return noticed + _otherwise(case, "TG106", "No single task makes most of a queue.", noticed)


def _dominating(queue: QueueReport, census: CensusSeen, row: TaskCount) -> Finding:
    backed_up = queue.state in (State.GROWING, State.STALLED)
    alone = len(census.by_task) == 1
    return Finding(
        rule="TG106",
        level=Level.WARNING if backed_up else Level.INFO,
        sentence=f"{percent(row.share)} of {queue.name} is {row.name}: about {plural(row.count, 'message')}.",
        evidence={
            "queue": queue.name,
            "task": row.name,
            "share": row.share,
            "share_error": row.share_error,
            "looked_at": census.looked_at,
            "reach": census.reach,
        },
        remedy="It has the queue to itself: its own rate decides (TG101)."
        if alone
        else "Give it a queue and workers of its own, so that other tasks need not wait behind it: "
        f"task_routes = {{{quoted(row.name)}: {{{quoted('queue')}: {quoted(queue.name + '-slow')}}}}}",
    )


def duplicates(case: Case) -> Iterable[Finding]:
    """TG107: many messages ask for the same: same task, same arguments."""
    noticed = []
    for queue, census in _censuses(case):
        repeated = sum(row.duplicates for row in census.by_task)
        if census.messages >= LEAST_DEPTH and repeated / census.messages >= REPEATED:
            noticed.append(_repeated(queue, census, repeated))
    return noticed + _otherwise(case, "TG107", "Few messages repeat one another.", noticed)


def _repeated(queue: QueueReport, census: CensusSeen, repeated: int) -> Finding:
    worst = max(census.by_task, key=lambda row: row.duplicates)
    at_least = "" if census.exact else "at least "
    return Finding(
        rule="TG107",
        level=Level.WARNING if queue.state in (State.GROWING, State.STALLED) else Level.INFO,
        sentence=(
            f"{at_least.capitalize()}{percent(repeated / census.messages)} of {queue.name} repeats another waiting "
            f"message, same task and same arguments; most of it {worst.name}."
        ),
        evidence={"queue": queue.name, "duplicates": repeated, "messages": census.messages, "task": worst.name},
        remedy="One run would do for all of them: give the task `expires`, so that a late repeat is thrown away.",
    )


def fan_out(case: Case) -> Iterable[Finding]:
    """TG108: a firing is more than its first message: what it spawns counts as well."""
    noticed = [_fires(case, firing) for firing in case.firings if firing.children >= 2]
    seen = {task for firing in case.firings for task in firing.by_task}
    for queue, census in _censuses(case):
        top = census.by_task[0].name if census.by_task else None
        if census.children_share >= FANNED_OUT and top not in seen:
            noticed.append(_children(queue, census))
    hidden = {name: _TAKEN for name, flow in case.look.flows.items() if flow.arrivals_sampled_from and not flow.arrived}
    if hidden and not noticed:
        return [could_not_look("TG108", "what fires what", hidden)]
    return noticed + _otherwise(case, "TG108", "No firing fans out into many messages.", noticed)


def _fires(case: Case, firing: Firing) -> Finding:
    task = max(firing.by_task, key=lambda name: firing.by_task[name])
    who = f"Each firing of {firing.root}" if firing.root else "Each firing (its first message was not seen)"
    grows = any(queue.state is State.GROWING for queue in case.queues)
    return Finding(
        rule="TG108",
        level=Level.WARNING if grows else Level.INFO,
        sentence=(
            f"{who} fans out into {plural(firing.children, 'message')}, mostly {task}: "
            "the interval has to leave time for all of them."
        ),
        evidence={"root": firing.root, "children": firing.children, "by_task": firing.by_task, "firings": firing.seen},
        remedy="Judge the interval by the work of the whole firing, not by the task that beat sends; a guard that only "
        "asks whether the last parent has finished does not see the children.",
    )


def _children(queue: QueueReport, census: CensusSeen) -> Finding:
    per_root = f", about {plural(census.children_per_root, 'message')} a firing" if census.children_per_root else ""
    return Finding(
        rule="TG108",
        level=Level.WARNING if queue.state in (State.GROWING, State.STALLED) else Level.INFO,
        sentence=(
            f"{percent(census.children_share)} of {queue.name} are children: another task published them "
            f"(their root_id is not their id){per_root}. A firing fans out, and the children pile up."
        ),
        evidence={
            "queue": queue.name,
            "children_share": census.children_share,
            "children_per_root": census.children_per_root,
        },
        remedy="Find the parent by its id (root_id: tidegate peek shows it) and judge its interval by the whole firing.",
    )


def unreadable(case: Case) -> Iterable[Finding]:
    """TG109: messages that can't be decoded, and queues that are no lists."""
    noticed = [could_not_look("TG109", f"the queue {name}", {"depth": why}) for name, why in unread(case).items()]
    noticed += [_undecodable(queue, census) for queue, census in _censuses(case) if census.undecodable]
    space = case.look.keyspace
    if isinstance(space, KeyspaceSeen) and not space.complete:
        noticed.append(_searched_in_part(space))
    return noticed or [fine("TG109", "Every message looked at could be read.")]


def _searched_in_part(space: KeyspaceSeen) -> Finding:
    why = f"{count(space.scanned)} of {count(space.total)} keys were passed: raise --max-keys, or name queues with --queue"
    return could_not_look("TG109", "further queues", {"queues": Unknown(why)})


def _undecodable(queue: QueueReport, census: CensusSeen) -> Finding:
    return Finding(
        rule="TG109",
        level=Level.WARNING,
        sentence=f"Undecodable: {count(census.undecodable)} of the {count(census.messages)} messages in {queue.name}.",
        evidence={"queue": queue.name, "undecodable": census.undecodable, "messages": census.messages},
        remedy=f"Look at one with `tidegate peek {shell(queue.name)}`: its producer does not write Celery's format. "
        "A worker that takes it logs an error and drops it.",
    )
