"""How old a cached value is on average, and the interval that keeps it freshest; beside stability, not instead of it.

Read when the task runs: a value is as old as the run that measured it, and grows older until the next one is done. The
shorter the interval the fresher, until the workers are saturated; beyond that edge nothing gets fresher.
Captured at publish: queueing makes it older again, so there is a best interval well before the edge (age of information:
Kaul, Yates, Gruteser 2012; the best utilisation is 0.515 for exponential runs at regular intervals).
"""

import math
from collections.abc import Callable

from tidegate.model.plan.waiting import mean_wait_s

_GOLDEN = (math.sqrt(5) - 1) / 2
_STEPS = 40
#: The best utilisation lies below this even for the most regular runs, and above the other even for the wildest.
_MOST, _LEAST = 0.999, 0.02


def age_read_at_run_s(interval_s: float, edge_s: float, run_s: float) -> float:
    """The mean age of a value measured when its task runs: half of the time between two runs, and the run itself.

    More firings than the workers can do only wait: the time between two runs is never below the edge.
    """
    return run_s + max(interval_s, edge_s) / 2


def age_captured_at_publish_s(interval_s: float, edge_s: float, scatter: float) -> float:
    """The mean age of a value captured when its message is published: half an interval, the wait and the firing's work.

    One firing occupies the workers for the edge interval; infinite from the edge on.
    """
    if interval_s <= edge_s:
        return math.inf
    return interval_s / 2 + edge_s + mean_wait_s(1, 1 / interval_s, edge_s, 0.0, scatter)


def freshest_captured_at_publish_s(edge_s: float, scatter: float) -> float:
    """The interval with the smallest such age, by golden section; the age has one minimum."""
    return _smallest(lambda interval_s: age_captured_at_publish_s(interval_s, edge_s, scatter), edge_s)


def _smallest(age: Callable[[float], float], edge_s: float) -> float:
    low, high = edge_s / _MOST, edge_s / _LEAST
    for _ in range(_STEPS):
        one, other = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if age(one) <= age(other):
            high = other
        else:
            low = one
    return (low + high) / 2
