"""How often entries may fire: the largest rates at which every set of queues still fits the slots it can reach.

All loads are slots (slot-seconds per second). With a target utilisation u every slot counts as u of one; u = 1 is the edge
of stability. One unknown rate is found by Newton's method over cuts: the tightest set of queues at the present rate gives
a linear bound, the bound the next rate, until everything fits; each cut comes up at most once, so the end is exact.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tidegate.model.plan.reach import TINY, Cut, Supply, reachable_slots, tightest

Loads = Mapping[str, float]
_MOST_CUTS = 200


@dataclass(frozen=True, slots=True)
class Bound:
    """The largest factor that fits, and the queues with the slots they reach that stand in the way of more.

    `factor` 0: the rest alone is too much. `share`: how much of the cut's load per unit of the factor is ours.
    """

    factor: float
    cut: Cut
    share: float
    rest: float


def largest(moving: Loads, rest: Loads, supplies: Sequence[Supply]) -> Bound | None:
    """The largest factor f with rest + f·moving within the supplies; None where nothing moves.

    Queues that are too much without it, and the slots that these keep busy, are set aside first: that somebody else's
    queue can't be served is no limit for ours. Where one of ours is among them, or no slot is left, the factor is 0.
    """
    ours = frozenset(queue for queue, load in moving.items() if load > TINY)
    if not ours:
        return None
    while (hopeless := tightest(rest, supplies)) is not None:
        left = [supply for supply in supplies if not supply.queues & hopeless.queues]
        if hopeless.queues & ours or (reachable_slots(ours, supplies) > 0 and not reachable_slots(ours, left)):
            return Bound(0.0, hopeless, hopeless.of(moving), hopeless.of(rest))
        supplies, rest = left, {queue: load for queue, load in rest.items() if queue not in hopeless.queues}
    return _newton(moving, rest, supplies, ours)


def _newton(moving: Loads, rest: Loads, supplies: Sequence[Supply], ours: frozenset[str]) -> Bound:
    bound = _by(Cut(ours, reachable_slots(ours, supplies)), moving, rest)
    for _ in range(_MOST_CUTS):
        found = tightest(_sum(rest, moving, bound.factor), supplies)
        if found is None or found.queues == bound.cut.queues:
            break
        tighter = _by(found, moving, rest)
        if tighter.factor > bound.factor - TINY:
            break
        bound = tighter
    return bound


def _by(cut: Cut, moving: Loads, rest: Loads) -> Bound:
    share, occupied = cut.of(moving), cut.of(rest)
    if share <= TINY:
        return Bound(0.0, cut, share, occupied)
    return Bound(max(0.0, (cut.slots - occupied) / share), cut, share, occupied)


def _sum(rest: Loads, moving: Loads, factor: float) -> Loads:
    return {queue: rest.get(queue, 0.0) + factor * moving.get(queue, 0.0) for queue in {*rest, *moving}}


def scaled(supplies: Sequence[Supply], utilisation: float) -> tuple[Supply, ...]:
    """The supplies with every slot counting for so much of one."""
    return tuple(replace(supply, slots=supply.slots * utilisation) for supply in supplies)


def added(*loads: Loads) -> Loads:
    """The sum, queue by queue."""
    return {queue: sum(load.get(queue, 0.0) for load in loads) for queue in set().union(*loads)}


def times(load: Loads, factor: float) -> Loads:
    """The load so many times."""
    return {queue: slots * factor for queue, slots in load.items()}


@dataclass(frozen=True, slots=True)
class Overload:
    """Queues that do not fit: what they want and what they can get, in slots."""

    cut: Cut
    wanted: float

    @property
    def surplus_share(self) -> float:
        """The share of what comes that stays behind; 1 where nobody consumes."""
        return max(0.0, 1 - self.cut.slots / self.wanted)


def overload(loads: Loads, supplies: Sequence[Supply]) -> Overload | None:
    """The queues that lack most slots; None where all fits."""
    cut = tightest(loads, supplies)
    return None if cut is None else Overload(cut, cut.of(loads))


def utilisations(loads: Loads, supplies: Sequence[Supply]) -> Mapping[str, float]:
    """The busy share each supply would need, the worst set of queues first, then the rest without it.

    Above 1 for supplies that can't do what is asked; infinite where there is load and no slot.
    """
    left, open_loads, result = list(supplies), dict(loads), {supply.name: 0.0 for supply in supplies}
    while left and (bound := largest(open_loads, {}, left)) is not None:
        share = 1 / bound.factor if bound.factor > 0 else math.inf
        hit = [supply for supply in left if supply.queues & bound.cut.queues]
        result |= {supply.name: share for supply in hit}
        left = [supply for supply in left if supply not in hit]
        open_loads = {queue: load for queue, load in open_loads.items() if queue not in bound.cut.queues}
    return result


def split(works: Mapping[str, float], weights: Mapping[str, float], room: float) -> Mapping[str, float]:
    """The intervals that keep Σ W/T within the room and make Σ w·T smallest: T ∝ √(W/w).

    By Lagrange: T_i = √(W_i/w_i)·Σ√(W_k·w_k)/room. Seconds, where works are slot-seconds and the room is slots.
    """
    total = sum(math.sqrt(work * weights.get(name, 1.0)) for name, work in works.items())
    return {name: math.sqrt(work / weights.get(name, 1.0)) * total / room for name, work in works.items() if room > 0}
