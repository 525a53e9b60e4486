"""Does it grow, does it stand, does anybody take from it, how long does it take: the movement of every queue."""

from collections.abc import Iterable, Sequence

from tidegate.facts.diagnosis import Finding, Level, QueueReport, State, TaskReport
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.case import Case
from tidegate.model.interval import TARGET_UTILISATION
from tidegate.model.rules.saying import could_not_look, fine, interval_advice, quoted, shell, unseen, wait_s
from tidegate.units import count, duration, number, percent, plural, rate, significant

#: A message that waits longer than this is late for most purposes; an hour is late for any periodic refresh.
LATE_S, VERY_LATE_S = 60.0, 3600.0


def growth(case: Case) -> Iterable[Finding]:
    """TG101: a queue grows as long as more arrives than leaves; nothing but a change of one of the two ends that."""
    if not case.queues:
        return [could_not_look("TG101", "the growth", {"queues": Unknown("no queue was found")})]
    noticed = [finding for queue in case.queues for finding in _growth_of(case, queue)]
    return noticed or [fine("TG101", "No queue grows.", queues=len(case.queues))]


def _growth_of(case: Case, queue: QueueReport) -> Iterable[Finding]:
    if queue.state is State.GROWING:
        yield _growing(case, queue)
    elif queue.state is State.UNKNOWN:
        yield could_not_look("TG101", f"the growth of {queue.name}", {"growth_per_s": Unknown(queue.state_reason)})
    elif queue.state in (State.SURGE, State.DRAINING):
        yield _passing(queue)


def _growing(case: Case, queue: QueueReport) -> Finding:
    tasks = case.tasks_of(queue.name)
    blamed = max(tasks, key=lambda task: _brings(case, task), default=None)
    sentence = f"{queue.name} grows{_growth_text(case, queue)}. It never clears at this rate."
    return Finding(
        rule="TG101",
        level=Level.CRITICAL,
        sentence=" ".join(filter(None, [sentence, _blame(case, tasks, blamed)])),
        evidence={
            "queue": queue.name,
            "growth_per_s": queue.growth_per_s,
            "arrival_per_s": queue.arrival_per_s,
            "service_per_s": queue.service_per_s,
            "depth": queue.depth,
            "task": blamed.name if blamed else None,
            "fired_by": blamed.fired_by if blamed else None,
            "edge_interval_s": blamed.edge_interval_s if blamed else None,
            "capacity_factor": blamed.capacity_factor if blamed else None,
        },
        remedy=_growth_remedy(case, blamed),
    )


def _growth_text(case: Case, queue: QueueReport) -> str:
    fans_out = any(task.fired_by for task in case.tasks_of(queue.name))
    if fans_out and known(queue.demand_per_s) and known(queue.capacity_per_s):
        # Its depth swings with every firing that gets its turn, so the change within one window says little.
        return f": firings bring {rate(queue.demand_per_s)}, the workers do {rate(queue.capacity_per_s)}"
    if not known(queue.growth_per_s):
        return f": {_rates_text(queue)}"
    return f" by {rate(queue.growth_per_s)} ({count(queue.growth_per_s * 3600)} messages an hour): {_rates_text(queue)}"


def _rates_text(queue: QueueReport) -> str:
    if not known(queue.arrival_per_s) or not known(queue.service_per_s):
        return "its depth rose all the time"
    return f"{rate(queue.arrival_per_s)} arrive, {rate(queue.service_per_s)} leave"


def _brings(case: Case, task: TaskReport) -> float:
    """Messages per second of the task in the end: behind a backlog its parents may fire in waves, now none, now many."""
    root = _actor(case, task)
    firing = next((f for f in case.firings if f.root == root.name and task.name in f.by_task), None)
    if firing is not None and root is not task and known(root.arrival_per_s):
        return root.arrival_per_s * firing.by_task[task.name]
    return task.arrival_per_s if known(task.arrival_per_s) else 0.0


def _blame(case: Case, tasks: Sequence[TaskReport], blamed: TaskReport | None) -> str:
    total = sum(_brings(case, task) for task in tasks)
    if blamed is None or not total:
        return ""
    text = f"{percent(_brings(case, blamed) / total)} of what arrives is {blamed.name}{_fan(case, blamed)}"
    if known(blamed.capacity_factor):
        text += f". Today's workers would have to do {significant(blamed.capacity_factor, 3)} times what they can"
    return f"{text}."


def _fan(case: Case, blamed: TaskReport) -> str:
    firing = next((f for f in case.firings if blamed.name in f.by_task and f.children >= 2), None)
    if firing is None:
        return ""
    return (
        f": each firing{f' of {firing.root}' if firing.root else ''} fans out into {plural(firing.children, 'message')}"
    )


def _actor(case: Case, blamed: TaskReport) -> TaskReport:
    """The task whose interval decides: the root of the firing where there is one, in whatever queue."""
    return next((task for task in case.tasks if task.name == blamed.fired_by), blamed)


def _growth_remedy(case: Case, blamed: TaskReport | None) -> str:
    if blamed is None:
        return "Run more workers, or send less."
    actor = _actor(case, blamed)
    advice, safe = interval_advice(actor), actor.min_safe_interval_s
    if advice is None or not known(safe):
        return f"Run more workers, or send {actor.name} less often."
    every = number(safe)
    more = (
        f", or run {significant(_slots(blamed), 2)} times as many worker slots" if known(blamed.capacity_factor) else ""
    )
    entry = f'{{"task": {quoted(actor.name)}, "schedule": {every}, "options": {{"expires": {every}}}}}'
    return f"Send {actor.name} {advice}{more}. In beat_schedule: {entry}"


def _slots(task: TaskReport) -> float:
    """Times as many slots for the demand to use them to the target utilisation."""
    return task.capacity_factor / TARGET_UTILISATION if known(task.capacity_factor) else 1.0


def _passing(queue: QueueReport) -> Finding:
    cleared = queue.drain_s
    when = f", and is empty in about {duration(cleared)}" if known(cleared) and cleared is not None else ""
    what = "drains" if queue.state is State.DRAINING else "rose in a burst"
    depth = plural(queue.depth, "message") if known(queue.depth) else "an unknown number of messages"
    return Finding(
        rule="TG101",
        level=Level.INFO,
        sentence=f"{queue.name} {what}: {depth} wait{when}.",
        evidence={"queue": queue.name, "state": queue.state, "depth": queue.depth, "growth_per_s": queue.growth_per_s},
        remedy=None if queue.state is State.DRAINING else "Look again in a minute, or longer: --window 60.",
    )


def stall(case: Case) -> Iterable[Finding]:
    """TG102: messages wait and none leaves."""
    noticed = [_stalled(queue) for queue in case.queues if queue.state is State.STALLED]
    noticed += [_perhaps_stalled(queue) for queue in case.queues if queue.state is State.UNKNOWN and not _leaves(queue)]
    return noticed or [fine("TG102", "No queue stands still with messages waiting.")]


def _leaves(queue: QueueReport) -> bool:
    return known(queue.service_per_s) and queue.service_per_s > 0


def _perhaps_stalled(queue: QueueReport) -> Finding:
    return could_not_look("TG102", f"whether {queue.name} stands still", {"state": Unknown(queue.state_reason)})


def _stalled(queue: QueueReport) -> Finding:
    depth = plural(queue.depth, "message") if known(queue.depth) else "messages"
    return Finding(
        rule="TG102",
        level=Level.CRITICAL,
        sentence=f"{queue.name} stands still: {depth} wait, {queue.state_reason.removeprefix('messages wait and ')}.",
        evidence={"queue": queue.name, "depth": queue.depth, "consumers": queue.consumers, "unacked": queue.unacked},
        remedy=f"Start or restart the workers of this queue: celery -A proj worker -Q {shell(queue.name)}",
    )


def no_consumer(case: Case) -> Iterable[Finding]:
    """TG103: no worker was heard that could take from a queue in which messages wait."""
    heard = case.workers_alive()
    if not known(heard):
        return [could_not_look("TG103", "the workers", {"consumers": heard})]
    idle = [queue for queue in case.served if not _leaves(queue)]
    noticed = [finding for queue in idle if (finding := _unconsumed(queue)) is not None]
    if noticed:
        return noticed
    if heard == 0:
        blocked = case.look.workers.blocked_consumers
        return [_nobody(case)] if blocked == 0 else [_unheard(blocked)]
    return [fine("TG103", f"{plural(heard, 'worker')} heard.", workers=heard)]


def _unconsumed(queue: QueueReport) -> Finding | None:
    """What to say of a queue that was not seen to lose a message; None where somebody takes from it."""
    if known(queue.consumers) and queue.consumers:
        return None
    unknown = unseen(consumers=queue.consumers, service_per_s=queue.service_per_s)
    return could_not_look("TG103", f"who takes from {queue.name}", unknown) if unknown else _nobody_takes(queue)


def _nobody_takes(queue: QueueReport) -> Finding:
    return Finding(
        rule="TG103",
        level=Level.CRITICAL,
        sentence=f"Nobody takes from {queue.name}: no worker of it was heard while {plural(_depth(queue), 'message')} waited.",
        evidence={"queue": queue.name, "depth": queue.depth, "consumers": 0},
        remedy=f"Start a worker: celery -A proj worker -Q {shell(queue.name)}; if nothing needs the queue, stop sending to it.",
    )


def _nobody(case: Case) -> Finding:
    return Finding(
        rule="TG103",
        level=Level.WARNING,
        sentence=f"No worker was heard in {case.look.workers.listened_s:.0f} s, and no client waits for messages.",
        evidence={"workers": 0, "listened_s": case.look.workers.listened_s},
        remedy="Start the workers, or look at the broker URL that they use.",
    )


def _unheard(blocked: Maybe[int]) -> Finding:
    """No heartbeat, but clients may wait for messages: workers started with --without-heartbeat are silent."""
    if not known(blocked):
        return could_not_look("TG103", "who waits for messages (no worker was heard)", {"blocked_consumers": blocked})
    return fine("TG103", f"No worker was heard, but clients wait for messages: {blocked}.", blocked=blocked)


def _depth(queue: QueueReport) -> int:
    return queue.depth if known(queue.depth) else 0


def stale(case: Case) -> Iterable[Finding]:
    """TG104: a message that comes now waits so long that its result will be late."""
    unseen_ones = {queue.name: queue.depth for queue in case.queues if isinstance(queue.depth, Unknown)}
    unjudged = [queue.name for queue in case.served if _wait(queue) is None]
    late = [(queue, wait) for queue in case.served if (wait := _wait(queue)) is not None and wait > LATE_S]
    why = Unknown("none was seen to leave, and they carry no time of publication")
    unknown = unseen_ones | dict.fromkeys(unjudged, why)
    noticed = [_late(queue, wait) for queue, wait in late]
    noticed += [could_not_look("TG104", f"how long messages of {q} wait", {"wait_s": w}) for q, w in unknown.items()]
    return noticed or [fine("TG104", "Nothing waits long.")]


def _wait(queue: QueueReport) -> float | None:
    return queue.oldest_age_s if known(queue.oldest_age_s) and queue.oldest_age_s > 0 else wait_s(queue)


def _late(queue: QueueReport, wait: float) -> Finding:
    return Finding(
        rule="TG104",
        level=Level.WARNING if wait > VERY_LATE_S or queue.state is State.GROWING else Level.INFO,
        sentence=f"Messages of {queue.name} wait about {duration(wait)}; the backlog of {count(_depth(queue))} {_clears(queue)}.",
        evidence={"queue": queue.name, "wait_s": wait, "depth": queue.depth, "drain_s": queue.drain_s},
        remedy=(
            "Where a late run is worthless (a refresh is), give its entry `expires`; to drop everything that waits: "
            f"celery -A proj purge -Q {shell(queue.name)}"
        ),
    )


def _clears(queue: QueueReport) -> str:
    if not known(queue.drain_s):
        return "shows no trend"
    return "does not clear" if queue.drain_s is None else f"clears in about {duration(queue.drain_s)}"
