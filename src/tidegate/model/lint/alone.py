"""Which entries the workers could take if each were the only one: what tells a crowd from a culprit."""

from collections.abc import Mapping

from tidegate.facts.planned import Question
from tidegate.facts.unknown import known
from tidegate.model.plan.bounds import largest, scaled
from tidegate.model.plan.capacity import capacity_of
from tidegate.model.plan.demand import demand_of
from tidegate.model.plan.pools import fleet_of
from tidegate.model.plan.spent import account_of

_ROUNDING = 1e-9


def safe_alone(question: Question) -> Mapping[str, bool]:
    """By entry whether its interval would be safe without the other entries, beside all that comes of none.

    Entries whose work is not known are left out. Costs a max-flow or two an entry.
    """
    account, fleet = account_of(question.measured), fleet_of(question.measured.workers)
    demand = demand_of(question, account, fleet)
    supplies = scaled(capacity_of(fleet, demand.mix(), account).supplies, question.target_utilisation)
    result = {}
    for entry in demand.entries:
        if known(entry.firing):
            bound = largest(entry.per_firing, demand.other_load, supplies)
            result[entry.name] = bound is None or entry.per_s <= bound.factor * (1 + _ROUNDING)
    return result
