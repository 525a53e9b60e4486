"""What a plan says of one periodic entry: the intervals that its workers can take, today and with hosts lost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from tidegate.facts.planned import EntryPlan, HostsLost, Range
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.plan.bounds import Bound, largest, scaled
from tidegate.model.plan.capacity import Capacity, capacity_of
from tidegate.model.plan.demand import Entry
from tidegate.model.plan.draining import clears_in_s
from tidegate.model.plan.freshness import age_read_at_run_s, freshest_captured_at_publish_s
from tidegate.model.plan.growth import full_in_s
from tidegate.model.plan.pools import Fleet
from tidegate.model.plan.situation import Scene, Situation
from tidegate.model.plan.spent import Account
from tidegate.units import percent, plural

#: A stretch that was worked out and not seen may be off by so much.
_WORKED_OUT = 0.08
#: The capacity depends on the mix of tasks, and the mix on the interval that is looked for: so often in turns.
_ROUNDS = 3
#: Where so many entries are planned the mix is taken as it is: one entry hardly changes it.
_MANY = 50


@dataclass(frozen=True, slots=True)
class Found:
    """The interval at the edge or at the target utilisation: with its range, its bound, and the capacity it rests on."""

    interval_s: Maybe[Range]
    bound: Bound | None
    capacity: Capacity

    @property
    def estimate_s(self) -> Maybe[float]:
        """The interval without its range."""
        return self.interval_s.estimate if known(self.interval_s) else self.interval_s


def entry_plan(entry: Entry, now: Situation) -> EntryPlan:
    """The whole answer for one entry."""
    edge = shortest(entry, now, now.scenes[0], 1.0)
    safe = shortest(entry, now, now.scenes[0], now.question.target_utilisation)
    firing = entry.firing
    range_s = edge.interval_s
    left = now.scenes[0].left
    return EntryPlan(
        entry=entry.name,
        task=entry.task,
        interval_s=entry.interval_s,
        work_s=firing.run_s if known(firing) else firing,
        work_s_error=finite(firing.error_s) if known(firing) else firing,
        min_safe_interval_s=safe.interval_s,
        edge_interval_s=edge.estimate_s,
        edge_interval_low_s=range_s.low if known(range_s) else range_s,
        edge_interval_high_s=finite(range_s.high) if known(range_s) else range_s,
        freshest_interval_s=edge.estimate_s,
        safe=_is_safe(entry, safe),
        with_hosts_lost=tuple(_lost(entry, now, lost) for lost in range(1, now.question.hosts_lost + 1)),
        binding=_binding(safe, now.fleet),
        basis=_basis(entry, now, edge.capacity),
        runs_per_firing=firing.runs_per_firing if known(firing) else firing,
        growth_per_s=_growth(entry, left) if known(firing) else firing,
        full_in_s=full_in_s(_of(entry, left), now.question.queues, now.question.server) if known(firing) else firing,
        age_s=mean_age_s(entry, edge, now.account),
        freshest_interval_at_publish_s=_freshest_at_publish(entry, edge),
        firings=firing.firings if known(firing) else 0,
    )


def finite(value: float) -> Maybe[float]:
    """The value, Unknown where it is infinite."""
    return value if math.isfinite(value) else Unknown("too little was measured for an error")


def shortest(entry: Entry, now: Situation, scene: Scene, utilisation: float) -> Found:
    """The shortest interval of the entry with everything else as it is."""
    capacity = scene.capacity
    if not known(entry.firing):
        return Found(entry.firing, None, capacity)
    if not scene.fleet.workers:
        return Found(Unknown("no worker is left that could run it"), None, capacity)
    rest = now.demand.load_without(entry)
    bound = largest(entry.per_firing, rest, scaled(capacity.supplies, utilisation))
    turns = _ROUNDS if scene.mix_matters and len(now.demand.entries) <= _MANY else 0
    for _ in range(turns):
        if bound is None or bound.factor <= 0:
            break
        capacity = capacity_of(scene.fleet, now.demand.mix_with(entry, bound.factor), now.account)
        bound = largest(entry.per_firing, rest, scaled(capacity.supplies, utilisation))
    if bound is None:
        return Found(Unknown("its runs take no time that could be measured"), None, capacity)
    return Found(_range(entry, now, bound, capacity), bound, capacity)


def _range(entry: Entry, now: Situation, bound: Bound, capacity: Capacity) -> Maybe[Range]:
    """The interval with its 95 % range: the work of a firing and all else that comes are off in the worse direction at once."""
    if bound.factor <= 0:
        return Unknown(f"no interval is safe: {_too_much(bound)}")
    error = entry.error + (_WORKED_OUT if capacity.worked_out else 0.0)
    doubt = now.demand.error_without(entry)
    room = bound.cut.slots - bound.rest
    return Range(
        estimate=1 / bound.factor,
        low=bound.share * max(0.0, 1 - error) / (room + doubt),
        high=bound.share * (1 + error) / (room - doubt) if room > doubt else math.inf,
    )


def _too_much(bound: Bound) -> str:
    queues = ", ".join(sorted(bound.cut.queues))
    if bound.cut.slots <= 0:
        return f"no worker with the probe consumes {queues}"
    return f"the rest alone keeps more slots of {queues} busy than it may ({bound.rest:.3g} of {bound.cut.slots:.3g})"


def _is_safe(entry: Entry, safe: Found) -> Maybe[bool]:
    if not known(entry.interval_s):
        return entry.interval_s
    if safe.bound is not None and safe.bound.factor <= 0:
        return False
    if not known(safe.interval_s):
        return safe.interval_s
    return entry.interval_s >= safe.interval_s.estimate * (1 - 1e-9)


def _lost(entry: Entry, now: Situation, lost: int) -> HostsLost:
    scene = now.scenes[lost]
    edge, safe = shortest(entry, now, scene, 1.0), shortest(entry, now, scene, now.question.target_utilisation)
    whole = full_in_s(_of(entry, scene.left), now.question.queues, now.question.server)
    return HostsLost(
        lost=lost,
        slots=sum(worker.slots for worker in scene.fleet.workers),
        min_safe_interval_s=safe.interval_s,
        edge_interval_s=edge.estimate_s,
        safe=_is_safe(entry, safe) if scene.fleet.workers else False,
        growth_per_s=_growth(entry, scene.left) if known(entry.firing) else entry.firing,
        full_in_s=whole if known(entry.firing) else entry.firing,
        drain_s=clears_in_s(frozenset(entry.per_firing), scene, now) if known(entry.firing) else entry.firing,
    )


def _of(entry: Entry, left: Mapping[str, float]) -> Mapping[str, float]:
    """What stays behind, where the entry has a part in it; a firing is held up by any of its queues."""
    return left if set(left) & set(entry.per_firing) else {}


def _growth(entry: Entry, left: Mapping[str, float]) -> float:
    return sum(_of(entry, left).values())


def _binding(found: Found, fleet: Fleet) -> str:
    """Which workers or queues are the limit."""
    if found.bound is None:
        return ""
    queues = found.bound.cut.queues
    pools = [pool for pool in fleet.pools if set(pool.queues) & queues]
    names = ", ".join(sorted(queues))
    if not pools:
        return f"nobody consumes {names}"
    slots = sum(pool.slots for pool in pools)
    hosts = len(fleet.host_names(worker for pool in pools for worker in pool.workers))
    return f"{plural(slots, 'slot')} on {plural(hosts, 'host')} for {names}"


def _basis(entry: Entry, now: Situation, capacity: Capacity) -> str:
    """What the numbers rest on."""
    if not known(entry.firing):
        return "nothing yet"
    parts = [f"{plural(entry.firing.firings, 'firing')}, {plural(entry.firing.seen_runs, 'run')}"]
    if not entry.scheduled:
        parts.append("its interval as measured")
    mine = [now.demand.overheads[key.queue] for key in entry.firing.runs]
    if mine and not all(overhead.measured for overhead in mine):
        parts.append("what a worker adds to a run is assumed")
    stretch = max((each.factor for each in capacity.stretch.values()), default=1.0)
    if stretch > 1.02:
        how = "worked out from its cores" if capacity.worked_out else "as seen"
        parts.append(f"runs take {percent(stretch - 1)} longer on a full worker, {how}")
    return "; ".join(parts)


def mean_age_s(entry: Entry, edge: Found, account: Account, interval_s: Maybe[float] | None = None) -> Maybe[float]:
    """The mean age of what the entry's heaviest task refreshes, read when it runs; at another interval where one is given."""
    interval = entry.interval_s if interval_s is None else interval_s
    if not known(interval):
        return interval
    firing = entry.firing
    if not known(firing):
        return firing
    if not known(edge.interval_s):
        return edge.interval_s
    means = {key: account.ran[key].mean_s for key in firing.runs if key in account.ran}
    heaviest = max(means, key=lambda key: firing.runs[key] * means[key])
    return age_read_at_run_s(interval, edge.interval_s.estimate, means[heaviest])


def _freshest_at_publish(entry: Entry, edge: Found) -> Maybe[float]:
    if not known(entry.firing):
        return entry.firing
    if not known(edge.interval_s):
        return edge.interval_s
    return freshest_captured_at_publish_s(edge.interval_s.estimate, entry.firing.scatter)
