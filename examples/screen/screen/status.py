"""A cluster's status: what is measured, where it is cached, and how fresh it is when somebody looks."""

from dataclasses import dataclass

#: A status is fresh for two intervals (one may be under way) and old after ten.
FRESH_INTERVALS = 2
OLD_INTERVALS = 10


def key(cluster_id):
    """The cache key of a cluster's status."""
    return f"status:{cluster_id}"


def measured(nodes, busy, now):
    """What a measurement found: nodes that are up, how busy they are (0 to 1), and when (seconds)."""
    up = nodes - 1 if busy > 0.8 else nodes
    return {"nodes_up": up, "nodes": nodes, "busy_percent": round(busy * 100), "measured_at": now}


@dataclass(frozen=True)
class Line:
    """One line of the screen; `status` is None where nothing was measured yet."""

    cluster: object
    status: dict | None
    age_s: float | None
    freshness: str


def line(cluster, status, now, interval_s):
    """The line for one cluster as it stands at `now`."""
    if status is None:
        return Line(cluster, None, None, "never")
    age_s = max(0.0, now - status["measured_at"])
    return Line(cluster, status, age_s, freshness(age_s, interval_s))


def freshness(age_s, interval_s):
    """`fresh`, `late` or `old`, measured in intervals."""
    if age_s <= FRESH_INTERVALS * interval_s:
        return "fresh"
    return "late" if age_s <= OLD_INTERVALS * interval_s else "old"
