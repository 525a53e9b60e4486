"""Where the memory goes, how fast it fills, and when it is full; how long a backlog takes to clear."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from tidegate.facts.diagnosis import MemoryReport, QueueReport, State
from tidegate.facts.seen import NOT_LOOKED, CensusSeen, Look, ServerSeen
from tidegate.facts.unknown import Maybe, Unknown, known

#: Why a queue that does not grow steadily has no time to its end although its depth did not fall.
_NOT_YET = {
    State.OK: "it neither grows nor shrinks by more than the error",
    State.SURGE: "it rose in a burst, and how it goes on does not show yet",
    State.DRAINING: "it shrinks too slowly to tell",
}
LimitKind = Literal["maxmemory", "system memory", "unknown"]


def drain_s(
    depth: Maybe[int], growth_per_s: Maybe[float], state: State, service_per_s: Maybe[float] = NOT_LOOKED
) -> Maybe[float | None]:
    """Seconds until the queue is empty; None: never at this rate. Of a queue that is `ok`, until what waits is taken."""
    if not known(depth):
        return depth
    if depth == 0:
        return 0.0
    if not known(growth_per_s):
        return growth_per_s
    if state in (State.GROWING, State.STALLED):
        return None
    if state is State.OK and known(service_per_s) and service_per_s > 0:
        return depth / service_per_s
    if state is State.UNKNOWN:
        return Unknown("the trend could not be told")
    return depth / -growth_per_s if growth_per_s < 0 else Unknown(_NOT_YET[state])


def memory_report(look: Look, queues: Sequence[QueueReport]) -> MemoryReport:
    """The memory by family, and the time to the limit at the present growth of the queues."""
    limit, kind = limit_of(look.server)
    growth = growth_bytes_per_s(queues)
    return MemoryReport(
        used_bytes=look.server.used_memory_bytes,
        limit_bytes=limit,
        limit_is=kind,
        by_family=by_family(look, queues),
        by_task=by_task(look.censuses, queues),
        growth_bytes_per_s=growth,
        full_in_s=_full_in_s(look.server.used_memory_bytes, limit, growth),
    )


def limit_of(server: ServerSeen) -> tuple[Maybe[int], LimitKind]:
    """What the memory may grow to: `maxmemory`, or what the machine has where that is not set."""
    if known(server.maxmemory_bytes) and server.maxmemory_bytes > 0:
        return server.maxmemory_bytes, "maxmemory"
    if not known(server.maxmemory_bytes):
        return server.maxmemory_bytes, "unknown"
    return server.system_memory_bytes, "system memory"


def growth_bytes_per_s(queues: Iterable[QueueReport]) -> Maybe[float]:
    """Bytes per second that the growing and shrinking queues add; those that stay level add nothing."""
    total = 0.0
    for queue in queues:
        if queue.state in (State.OK, State.SURGE) or (known(queue.depth) and queue.depth == 0):
            continue
        growth = _lasting_growth(queue)
        if not known(growth) or not known(queue.bytes_per_message):
            return Unknown(f"the growth of queue {queue.name} could not be measured")
        total += growth * queue.bytes_per_message
    return total


def _lasting_growth(queue: QueueReport) -> Maybe[float]:
    """Messages per second that a queue gains in the long run.

    Of a growing queue it is what is demanded beyond the capacity: where tasks fire others its depth swings, and the
    change within one window says little.
    """
    if queue.state is not State.GROWING or not known(queue.demand_per_s) or not known(queue.capacity_per_s):
        return queue.growth_per_s
    surplus = queue.demand_per_s - queue.capacity_per_s
    return surplus if surplus > 0 else queue.growth_per_s


def _full_in_s(used: Maybe[int], limit: Maybe[int], growth: Maybe[float]) -> Maybe[float | None]:
    for value in (used, limit, growth):
        if isinstance(value, Unknown):
            return value
    assert known(used)
    assert known(limit)
    assert known(growth)
    if used >= limit:
        return 0.0
    return (limit - used) / growth if growth > 0 else None


def by_family(look: Look, queues: Sequence[QueueReport]) -> Maybe[Mapping[str, int]]:
    """Bytes by kind: queues, unacked, results and the rest of the keys, the server's own buffers, and what none explains."""
    used, overhead, space = look.server.used_memory_bytes, look.server.buffers_bytes, look.keyspace
    if not known(used):
        return used
    if not known(space):
        return space
    families: dict[str, int] = {"queues": sum(q.bytes for q in queues if known(q.bytes))}
    families |= {family.name: family.bytes for family in space.families}
    families["server"] = overhead if known(overhead) else 0
    families["unexplained"] = max(0, used - sum(families.values()))
    return families


def by_task(censuses: Mapping[str, CensusSeen], queues: Sequence[QueueReport]) -> Mapping[str, int]:
    """Bytes of the waiting messages by task, over all queues; the server's overhead spread evenly."""
    weights = {queue.name: queue.bytes for queue in queues}
    result: dict[str, int] = defaultdict(int)
    for name, census in censuses.items():
        weight, payload = weights.get(name), sum(row.bytes for row in census.by_task)
        if weight is None or not known(weight) or not payload:
            continue
        for row in census.by_task:
            result[row.name] += round(weight * row.bytes / payload)
    return dict(sorted(result.items(), key=lambda item: -item[1]))
