"""What the intervals that follow the workers aim at: the shortest ones that those who live now can take together."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tidegate.facts.planned import Question
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.plan.bounds import Bound, Loads, added, largest, scaled, times
from tidegate.model.plan.demand import Entry, demand_of
from tidegate.model.plan.pools import fleet_of
from tidegate.model.plan.situation import Situation, situation
from tidegate.model.plan.spent import account_of
from tidegate.model.plan.waiting import mean_wait_s
from tidegate.units import plural

#: So finely the busy share is found that keeps a wait target.
_HALVINGS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How short and how long an interval may be, and the declared one, by which entries share what room there is."""

    declared_s: float
    min_s: float
    max_s: float

    def clipped(self, interval_s: float) -> float:
        """The nearest one that is allowed."""
        return min(max(interval_s, self.min_s), self.max_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What one entry should have by the plan; Unknown where measurements do not tell.

    `work` is the slot-seconds of a firing by queue, `per_message` those of a message that waits in one.
    """

    interval_s: Maybe[float]
    why: str
    work: Loads
    per_message: Loads


def aims_of(question: Question, bounds: Mapping[str, Bounds]) -> dict[str, Aim]:
    """By entry; costs what a plan does, a max-flow or two for every entry."""
    account, fleet = account_of(question.measured), fleet_of(question.measured.workers)
    demand = demand_of(question, account, fleet)
    now = situation(question, account, fleet, demand)
    ours = [entry for entry in demand.entries if entry.name in bounds]
    per_message = {queue: demand.load.get(queue, 0.0) / rate for queue, rate in demand.messages.items() if rate > 0}
    movable = [entry for entry in ours if known(entry.firing) and sum(entry.per_firing.values()) > 0]
    found = _together(movable, bounds, now) if fleet.workers else {}
    return {entry.name: _aim(entry, found, bounds[entry.name], now, per_message) for entry in ours}


def _aim(
    entry: Entry, found: Mapping[str, tuple[float, Bound]], bounds: Bounds, now: Situation, per_message: Loads
) -> Aim:
    interval_s: Maybe[float]
    if not known(entry.firing):
        interval_s, why = entry.firing, f"no measurements yet ({entry.firing.why}): declared interval"
    elif not now.fleet.workers:
        interval_s, why = bounds.max_s, "no worker lives: the longest interval"
    elif entry.name not in found:
        interval_s, why = (
            Unknown("its runs take no time"),
            "its runs take no time that could be measured: declared interval",
        )
    else:
        interval_s, bound = found[entry.name]
        why = _because(entry, bound, now)
    return Aim(interval_s=interval_s, why=why, work=entry.per_firing, per_message=per_message)


def _because(entry: Entry, bound: Bound, now: Situation) -> str:
    workers = [worker for worker in now.fleet.workers if set(worker.queues) & bound.cut.queues]
    slots, hosts = sum(worker.slots for worker in workers), len(now.fleet.host_names(workers))
    work_s = sum(entry.per_firing.values())
    share = bound.cut.slots / slots if slots else 0.0
    if bound.factor <= 0:
        return (
            f"{plural(hosts, 'host')}, {plural(slots, 'slot')}: others alone want {bound.rest:.2g} slots, and "
            f"{bound.cut.slots:.2g} may be busy, so there is no room for it: the longest interval"
        )
    return (
        f"{plural(hosts, 'host')}, {plural(slots, 'slot')}: a firing takes {work_s:.3g} s of work, "
        f"others keep {bound.rest:.2g} slots busy; {share:.2g} of the slots is the target"
    )


def _together(entries: Sequence[Entry], bounds: Mapping[str, Bounds], now: Situation) -> dict[str, tuple[float, Bound]]:
    """Room is shared in the ratio of the declared intervals; who meets a bound, or a limit of its own, is settled first."""
    supplies = scaled(now.capacity.supplies, _share(now))
    rest = added(now.demand.other_load, *(e.load for e in now.demand.entries if e not in entries))
    left, found = list(entries), dict[str, tuple[float, Bound]]()
    while left:
        moving = added({}, *(times(entry.per_firing, 1 / bounds[entry.name].declared_s) for entry in left))
        bound = largest(moving, rest, supplies)
        if bound is None:
            break
        settled = _settled(left, bounds, bound)
        for entry, interval_s in settled:
            found[entry.name] = interval_s, bound
            rest = added(rest, times(entry.per_firing, 1 / interval_s))
        names = {entry.name for entry, _ in settled}
        left = [entry for entry in left if entry.name not in names]
    return found


def _settled(left: Iterable[Entry], bounds: Mapping[str, Bounds], bound: Bound) -> list[tuple[Entry, float]]:
    """Those whose interval is now known: at a bound, or else all that share the queues that are the limit."""
    wanted = {e.name: _at(bounds[e.name], bound.factor) for e in left}
    too_long = [e for e in left if wanted[e.name] > bounds[e.name].max_s]
    clipped = too_long or [e for e in left if wanted[e.name] < bounds[e.name].min_s]
    if clipped:
        return [(e, bounds[e.name].clipped(wanted[e.name])) for e in clipped]
    return [(e, wanted[e.name]) for e in left if set(e.per_firing) & bound.cut.queues]


def _at(bounds: Bounds, factor: float) -> float:
    return bounds.declared_s / factor if factor > 0 else float("inf")


def _share(now: Situation) -> float:
    """The busy share to aim at: the target, or less where the wait target of the others asks for it."""
    target, wait_s = now.question.target_utilisation, now.question.wait_target_s
    if wait_s is None or _wait_s(now, target) <= wait_s:
        return target
    low, high = 0.0, target
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _wait_s(now, middle) <= wait_s else (low, middle)
    return max(low, 0.01)


def _wait_s(now: Situation, share: float) -> float:
    """The mean wait of a message at that busy share, in the pool where it is longest."""
    return max((_pool_wait_s(now, pool.slots, pool.queues, share) for pool in now.fleet.pools), default=0.0)


def _pool_wait_s(now: Situation, slots: int, queues: Collection[str], share: float) -> float:
    ran = [
        (rate, now.account.ran[key])
        for key, rate in now.demand.mix.items()
        if key.queue in queues and key in now.account.ran
    ]
    rate = sum(each for each, _ in ran)
    if rate <= 0:
        return 0.0
    mean_s = sum(each * one.mean_s for each, one in ran) / rate
    square = sum(each * (1 + one.scatter) * one.mean_s**2 for each, one in ran) / rate
    if mean_s <= 0:
        return 0.0
    return mean_wait_s(slots, share * slots / mean_s, mean_s, 1.0, max(0.0, square / mean_s**2 - 1))
