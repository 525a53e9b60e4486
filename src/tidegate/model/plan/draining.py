"""How long what waits takes to be done, with all that comes meanwhile."""

from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.plan.situation import Scene, Situation


def clears_in_s(queues: frozenset[str], scene: Scene, now: Situation) -> Maybe[float | None]:
    """Seconds until these queues are empty with the workers of the scene; None: never, for more comes than they can do."""
    serving = [supply for supply in scene.capacity.supplies if supply.queues & queues]
    room = sum((1 - min(1.0, scene.shares[supply.name])) * supply.slots for supply in serving)
    if room <= 0:
        return None
    waiting = 0.0
    for queue in {queue for supply in serving for queue in supply.queues} | queues:
        work = _waiting_s(queue, now)
        if not known(work):
            return work
        waiting += work
    return waiting / room


def _waiting_s(queue: str, now: Situation) -> Maybe[float]:
    """Slot-seconds that wait in the queue, each message taken for a mean one."""
    depth = {seen.name: seen.depth for seen in now.question.queues}.get(queue)
    if depth is None:
        return Unknown(f"queue {queue} was not looked at")
    if not known(depth):
        return depth
    per_s = now.demand.messages.get(queue, 0.0)
    return depth * now.demand.load.get(queue, 0.0) / per_s if per_s > 0 else 0.0
