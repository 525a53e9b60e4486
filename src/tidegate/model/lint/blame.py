"""Who is to blame for too much load: entries that are too much by themselves, or a crowd of which each one is fine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.facts.planned import Question
from tidegate.facts.unknown import known
from tidegate.model.plan.bounds import added, largest, scaled
from tidegate.model.plan.capacity import capacity_of
from tidegate.model.plan.demand import Demand, Entry, demand_of
from tidegate.model.plan.pools import fleet_of
from tidegate.model.plan.reach import Supply, tightest
from tidegate.model.plan.spent import account_of

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """Entries that are too much only together: they want `wanted` slots of `queues`, which have `slots` to use.

    `stretch` times their intervals would be safe; None where what comes beside them is too much already.
    """

    entries: frozenset[str]
    queues: tuple[str, ...]
    wanted: float
    slots: float
    stretch: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Blame:
    """`alone` says of every entry whose work is known whether its interval would be safe without the other entries."""

    alone: Mapping[str, bool] = field(default_factory=dict)
    crowd: Crowd | None = None


def blame(question: Question) -> Blame:
    """Tells culprits from crowds; costs a max-flow or two an entry."""
    account, fleet = account_of(question.measured), fleet_of(question.measured.workers)
    demand = demand_of(question, account, fleet)
    supplies = capacity_of(fleet, demand.mix, account).supplies
    safe = scaled(supplies, question.target_utilisation)
    alone = {entry.name: _fits(entry, demand, safe) for entry in demand.entries if known(entry.firing)}
    others = [entry for entry in demand.entries if alone.get(entry.name, True)]
    return Blame(alone=alone, crowd=_crowd(others, demand, supplies, safe))


def _fits(entry: Entry, demand: Demand, supplies: Sequence[Supply]) -> bool:
    bound = largest(entry.per_firing, demand.other_load, supplies)
    return bound is None or entry.per_s <= bound.factor * (1 + _ROUNDING)


def _crowd(
    entries: Sequence[Entry], demand: Demand, supplies: Sequence[Supply], safe: Sequence[Supply]
) -> Crowd | None:
    """The entries in the tightest set of queues, once all that is too much by itself is gone."""
    loads = added(demand.other_load, *(entry.load for entry in entries))
    cut = tightest(loads, safe)
    if cut is None:
        return None
    crowd = [entry for entry in entries if entry.load.keys() & cut.queues]
    rest = added(demand.other_load, *(entry.load for entry in entries if not entry.load.keys() & cut.queues))
    bound = largest(added({}, *(entry.load for entry in crowd)), rest, safe)
    return Crowd(
        entries=frozenset(entry.name for entry in crowd),
        queues=tuple(sorted(cut.queues)),
        wanted=cut.of(loads),
        slots=sum(supply.slots for supply in supplies if supply.queues & cut.queues),
        stretch=1 / bound.factor if bound is not None and bound.factor > 0 else None,
    )
