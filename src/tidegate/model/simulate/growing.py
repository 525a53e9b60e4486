"""What a depth did: its growth with its error, the state of the queue, and both in a sentence."""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

from tidegate.facts.diagnosis import State
from tidegate.facts.simulated import Mean, Spread
from tidegate.facts.unknown import known
from tidegate.model.plan.confidence import t_95
from tidegate.model.simulate.confidence import TOO_SHORT
from tidegate.units import count, duration, plural, rate, significant

#: The second half of the measured time is cut into so many parts: their scatter is the error of the growth.
_PARTS = 10
#: A rise by fewer messages than this in half the measured time is no growth that anybody would see.
LEAST_RISE = 5
#: Of a growth less certain than this share of what arrives nothing is said.
_VAGUE = 0.02


def growth_of(depths: Sequence[Sequence[float]], debts: Sequence[Sequence[float]], at_s: Sequence[float]) -> Mean:
    """Messages a second by which the depth rises, judged by the second half of the measured time.

    `depths` are those of every run at the moments `at_s`, `debts` what the waiting messages will have become in the end.
    A parent that waits behind its children's backlog publishes late, so the depth of such a queue swings while its debt
    only grows: the growth is that of the debt, times the mean share of it that is visible as depth. The error is from
    how the parts of that half differ, or the runs do.
    """
    first = len(at_s) // 2
    length = at_s[-1] - at_s[first] if len(at_s) > _PARTS else 0.0
    if length <= 0:
        return Mean(mean=TOO_SHORT, error=TOO_SHORT)
    owed = sum(map(sum, debts))
    visible = sum(map(sum, depths)) / owed if owed > 0 else 0.0
    rises = [points[-1] - points[first] for points in debts]
    mean = sum(rises) / len(rises) / length * visible
    if len(debts) > 1:
        return Mean(mean=mean, error=_error(rises) / sqrt(len(rises)) / length * visible)
    points = [debts[0][first + (len(at_s) - 1 - first) * step // _PARTS] for step in range(_PARTS + 1)]
    return Mean(mean=mean, error=_error([b - a for a, b in pairwise(points)]) * sqrt(_PARTS) / length * visible)


def _error(values: Sequence[float]) -> float:
    """Student's t times the standard deviation."""
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return t_95(len(values) - 1) * sqrt(variance)


def state_of(
    growth: Mean, half_s: float, end_depth: int, depth: Mean, arrival_per_s: float, *, consumed: bool
) -> State:
    """How the queue moves; `half_s` is the time over which its growth was seen, `consumed` whether a host lives for it."""
    if not consumed:
        return State.STALLED if end_depth else State.OK
    if not known(growth.mean) or not known(growth.error):
        return State.UNKNOWN
    if growth.mean - growth.error > 0 and growth.mean * half_s >= LEAST_RISE:
        return State.GROWING
    if growth.mean + growth.error < 0 and -growth.mean * half_s >= LEAST_RISE:
        return State.DRAINING
    usual = depth.mean if known(depth.mean) else 0.0
    steady = growth.error * half_s <= max(LEAST_RISE, usual) or growth.error <= _VAGUE * arrival_per_s
    return State.OK if steady or not end_depth else State.UNKNOWN


def drain_s_of(state: State, growth: Mean, end_depth: int) -> float | None:
    """When it is empty at that rate; None: never."""
    if state is State.OK:
        return 0.0
    return end_depth / -growth.mean if state is State.DRAINING and known(growth.mean) and growth.mean < 0 else None


def sentence_of(
    name: str, state: State, growth: Mean, end_depth: int, depth: Mean, wait: Spread, consumed: bool
) -> str:
    """What an operator wants to know first."""
    by = rate(growth.mean) if known(growth.mean) else "an unknown rate"
    if not consumed:
        return f"nobody consumes {name}: " + (f"it grows by {by}" if end_depth else "and nothing comes")
    if state is State.GROWING:
        return f"{name} never clears: it grows by {by}"
    if state is State.DRAINING:
        soon = drain_s_of(state, growth, end_depth)
        return f"{name} drains by {rate(-growth.mean if known(growth.mean) else 0.0)}: empty in {duration(soon or 0.0)}"
    if state is State.UNKNOWN:
        return f"{name} holds {plural(end_depth, 'message')} and it can't be told yet whether it grows: simulate longer"
    waits = f", for {duration(wait.mean)}" if known(wait.mean) else ""
    waiting = significant(depth.mean, 2) if known(depth.mean) else count(end_depth)
    return f"{name} keeps up: {waiting} waiting on average{waits}"
