"""How fast queues grow: as the workers saw it, and as it would be at another load."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tidegate.facts.measured import TICKS, Depth, Slice
from tidegate.facts.seen import QueueSeen, ServerSeen
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.forecast import limit_of
from tidegate.model.plan.bounds import Loads, overload
from tidegate.model.plan.reach import Supply

#: A queue that gained less is as deep as it was.
LEAST_GAIN = 10


def growth_by_queue(slices: Iterable[Slice]) -> Mapping[str, float]:
    """Messages per second that each queue gained between the first looks and the last; 0 is left out."""
    looks: dict[str, list[tuple[float, Depth]]] = defaultdict(list)
    for slice_ in sorted(slices, key=lambda each: each.start_s):
        for queue, ticks in slice_.depths.items():
            looks[queue] += [(slice_.start_s + tick * slice_.length_s / TICKS, ticks[tick]) for tick in sorted(ticks)]
    return {queue: rate for queue, seen in looks.items() if (rate := _growth(seen)) > 0}


def _growth(seen: Sequence[tuple[float, Depth]]) -> float:
    """From the mean of the first tenth of the looks to that of the last."""
    part = max(1, len(seen) // 10)
    (since, low), (until, high) = _mean_look(seen[:part]), _mean_look(seen[-part:])
    return (high - low) / (until - since) if until > since and high - low >= LEAST_GAIN else 0.0


def _mean_look(seen: Sequence[tuple[float, Depth]]) -> tuple[float, float]:
    at_s = sum(at for at, _ in seen) / len(seen)
    return at_s, sum(depth.messages / depth.looks for _, depth in seen) / len(seen)


def messages_left(loads: Loads, messages: Mapping[str, float], supplies: Sequence[Supply]) -> Mapping[str, float]:
    """Messages per second that stay behind by queue, where what comes does not fit the slots; loads in slots.

    Of queues that are too much together each keeps the same share back: workers take from them in turn.
    """
    short = overload(loads, supplies)
    if short is None:
        return {}
    return {queue: messages.get(queue, 0.0) * short.surplus_share for queue in short.cut.queues}


def full_in_s(left: Mapping[str, float], queues: Iterable[QueueSeen], server: ServerSeen | None) -> Maybe[float | None]:
    """Seconds until the server's memory is full while so many messages per second stay behind; None: never."""
    if not any(rate > 0 for rate in left.values()):
        return None
    if server is None:
        return Unknown("the server was not looked at")
    limit, used = limit_of(server)[0], server.used_memory_bytes
    if not known(limit):
        return limit
    if not known(used):
        return used
    per_s = _bytes_per_s(left, queues)
    return max(0.0, limit - used) / per_s if known(per_s) else per_s


def _bytes_per_s(left: Mapping[str, float], queues: Iterable[QueueSeen]) -> Maybe[float]:
    """A queue whose messages could not be weighed is taken for as heavy as the others: most of a message is its headers."""
    weights = {q.name: q.bytes_per_message for q in queues if known(q.bytes_per_message) and q.bytes_per_message > 0}
    if not weights:
        return Unknown("no message waits that could be weighed")
    usual = sum(weights.values()) / len(weights)
    return sum(rate * weights.get(queue, usual) for queue, rate in left.items())
