"""Intervals that all entries can have together: every one stretched alike, and the best split under weights."""

from collections.abc import Mapping
from dataclasses import replace

from tidegate.facts.planned import EntryPlan
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.plan.bounds import added, largest, scaled, split
from tidegate.model.plan.demand import Demand, Entry
from tidegate.model.plan.situation import Situation

_ALONE_TOO_MUCH = Unknown("what comes beside the entries is too much already")


def with_joint_intervals(plans: tuple[EntryPlan, ...], now: Situation) -> tuple[EntryPlan, ...]:
    """The plans with what each entry gets where all have to move: alike, and split under the weights."""
    movable = [entry for entry in now.demand.entries if known(entry.firing) and entry.per_s > 0]
    supplies = scaled(now.capacity.supplies, now.question.target_utilisation)
    moving = added({}, *(entry.load for entry in movable))
    bound = largest(moving, _rest(now.demand, movable), supplies)
    if bound is None:
        return plans
    joint: dict[str, Maybe[float]] = {
        entry.name: 1 / (entry.per_s * bound.factor) if bound.factor > 0 else _ALONE_TOO_MUCH for entry in movable
    }
    parts = _split(movable, now)
    return tuple(
        replace(
            plan,
            joint_interval_s=joint.get(plan.entry, plan.work_s),
            split_interval_s=parts.get(plan.entry, plan.work_s),
        )
        for plan in plans
    )


def _rest(demand: Demand, movable: list[Entry]) -> Mapping[str, float]:
    return added(demand.other_load, *(entry.load for entry in demand.entries if entry not in movable))


def _split(movable: list[Entry], now: Situation) -> Mapping[str, Maybe[float]]:
    """T ∝ √(W/w) within the room of all workers together; stretched where some queues have less than their part of it."""
    supplies = scaled(now.capacity.supplies, now.question.target_utilisation)
    rest = _rest(now.demand, movable)
    room = sum(supply.slots for supply in supplies) - sum(rest.values())
    works = {entry.name: sum(entry.per_firing.values()) for entry in movable}
    intervals = split(works, now.question.weights, room)
    if not intervals:
        return {entry.name: _ALONE_TOO_MUCH for entry in movable}
    loads = [{queue: work / intervals[entry.name] for queue, work in entry.per_firing.items()} for entry in movable]
    bound = largest(added({}, *loads), rest, supplies)
    if bound is None or bound.factor <= 0:
        return {entry.name: _ALONE_TOO_MUCH for entry in movable}
    return {name: interval_s / min(1.0, bound.factor) for name, interval_s in intervals.items()}
