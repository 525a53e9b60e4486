"""What all parts of a plan are made from: the question, what was measured, what comes, and the workers that are left."""

from collections.abc import Mapping
from dataclasses import dataclass

from tidegate.facts.planned import Question
from tidegate.model.plan.bounds import utilisations
from tidegate.model.plan.capacity import Capacity, capacity_of
from tidegate.model.plan.demand import Demand
from tidegate.model.plan.growth import messages_left
from tidegate.model.plan.pools import Fleet
from tidegate.model.plan.spent import Account


@dataclass(frozen=True, slots=True)
class Scene:
    """The workers that are left, what they can do with the present mix, the busy share that each supply would need, and
    the messages per second left behind by queue.
    """

    fleet: Fleet
    capacity: Capacity
    shares: Mapping[str, float]
    left: Mapping[str, float]

    @property
    def mix_matters(self) -> bool:
        """True where runs disturb one another, so that what can be done depends on what is."""
        return any(abs(stretch.factor - 1) > 0.01 for stretch in self.capacity.stretch.values())


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that the plan of an entry is made from; `scenes` by number of hosts lost, the present one first."""

    question: Question
    account: Account
    demand: Demand
    scenes: tuple[Scene, ...]

    @property
    def fleet(self) -> Fleet:
        """All workers."""
        return self.scenes[0].fleet

    @property
    def capacity(self) -> Capacity:
        """What they can do with the present mix."""
        return self.scenes[0].capacity


def situation(question: Question, account: Account, fleet: Fleet, demand: Demand) -> Situation:
    """The present one, and those with hosts lost."""
    mix, loads, messages = demand.mix, demand.load, demand.messages
    scenes = []
    for lost in range(question.hosts_lost + 1):
        there = fleet.without_largest(lost)
        capacity = capacity_of(there, mix, account)
        shares = utilisations(loads, capacity.supplies)
        scenes.append(Scene(there, capacity, shares, messages_left(loads, messages, capacity.supplies)))
    return Situation(question, account, demand, tuple(scenes))
