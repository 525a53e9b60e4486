"""What a plan says of one periodic entry, in sentences."""

import math

from tidegate.facts.planned import EntryPlan, HostsLost, Plan, Range
from tidegate.facts.unknown import Maybe, known
from tidegate.units import count, duration, percent, plural, rate, size


def worst_first(entries: tuple[EntryPlan, ...]) -> list[EntryPlan]:
    """Unsafe ones, then those that one lost host makes unsafe, then what is unknown, then the rest; fastest growth first."""
    return sorted(entries, key=lambda entry: (_rank(entry), -_growth(entry)))


def _rank(entry: EntryPlan) -> int:
    if not known(entry.safe):
        return 2
    if not entry.safe:
        return 0
    return 1 if any(known(lost.safe) and not lost.safe for lost in entry.with_hosts_lost) else 3


def _growth(entry: EntryPlan) -> float:
    return entry.growth_per_s if known(entry.growth_per_s) else 0.0


def style_of(entry: EntryPlan) -> str:
    """The colour of an entry, by the same order."""
    return ("bold red", "yellow", "magenta", "green")[_rank(entry)]


def sentences_of(entry: EntryPlan, plan: Plan) -> str:
    """Whether its present interval is safe, which ones are, what becomes of them with hosts lost, and the freshest one."""
    parts = [_now(entry, plan), _intervals(entry), *_lost_hosts(entry, plan), _freshest(entry)]
    first, *rest = [part for part in parts if part]
    return " ".join([f"{first}.", *(f"{part[0].upper()}{part[1:]}." for part in rest)])


def _now(entry: EntryPlan, plan: Plan) -> str:
    """What holds at the present interval."""
    if not known(entry.interval_s):
        return ""
    every = f"every {duration(entry.interval_s)}"
    if not known(entry.safe):
        return f"{every}, and whether that is safe is unknown: {entry.safe.why}"
    if entry.safe:
        return f"{every} is safe"
    return f"{every} is not safe{_why_not(entry, plan)}"


def _why_not(entry: EntryPlan, plan: Plan) -> str:
    if not known(entry.growth_per_s):
        return ""
    if entry.growth_per_s > 0:
        return f": the queue grows by {rate(entry.growth_per_s)}{_full(entry.full_in_s)}"
    return (
        f": the workers keep up, busier than {percent(plan.target_utilisation)}" if known(entry.edge_interval_s) else ""
    )


def _full(full_in_s: Maybe[float | None]) -> str:
    return f", and memory is full in {duration(full_in_s)}" if known(full_in_s) and full_in_s is not None else ""


def _intervals(entry: EntryPlan) -> str:
    """The edge and the shortest safe interval, or why there is none."""
    edge = f"{duration(entry.edge_interval_s)} is the edge" if known(entry.edge_interval_s) else ""
    safe = entry.min_safe_interval_s
    if known(safe):
        return f"{edge}{', ' if edge else ''}{duration(safe.estimate)} is safe ({span(safe)})"
    if safe == entry.safe and known(entry.interval_s):
        return edge
    limit = f". The limit: {entry.binding}" if entry.binding else ""
    return f"{safe.why}{limit}{'. ' if edge else ''}{edge}"


def has_none(entry: EntryPlan | HostsLost) -> bool:
    """True where it is known that no interval is safe, which is more than not knowing one."""
    return known(entry.safe) and not entry.safe and not known(entry.min_safe_interval_s)


def span(interval: Range) -> str:
    """The 95 % range in one unit where both ends have the same: `1.46 to 1.55 s`."""
    low, high = duration(interval.low), duration(interval.high)
    if not math.isfinite(interval.high):
        return f"at least {low}"
    unit = low.partition(" ")[2]
    return f"{low.removesuffix(f' {unit}') if high.endswith(f' {unit}') else low} to {high}"


def _lost_hosts(entry: EntryPlan, plan: Plan) -> list[str]:
    """One sentence for every number of hosts that differs from what was said already."""
    said, sentences = entry.min_safe_interval_s, []
    for lost in entry.with_hosts_lost:
        if known(lost.min_safe_interval_s) or lost.min_safe_interval_s != said:
            sentences.append(f"with {hosts(lost.lost, plan)} lost {_then(entry, lost)}")
        said = lost.min_safe_interval_s
    return sentences


def hosts(lost: int, plan: Plan) -> str:
    """`1 host`, or `1 of 2 hosts` where there is one pool."""
    return f"{count(lost)} of {plural(plan.pools[0].hosts, 'host')}" if len(plan.pools) == 1 else plural(lost, "host")


def _then(entry: EntryPlan, lost: HostsLost) -> str:
    safe = lost.min_safe_interval_s
    if not known(safe):
        return safe.why
    takes = f"it takes {duration(safe.estimate)} ({span(safe)})"
    if known(entry.safe) and entry.safe and known(lost.growth_per_s) and lost.growth_per_s > 0:
        return (
            f"{takes}, and at the present interval the queue grows by {rate(lost.growth_per_s)}{_full(lost.full_in_s)}"
        )
    return takes


def _freshest(entry: EntryPlan) -> str:
    return f"freshest: {duration(entry.freshest_interval_s)}" if known(entry.freshest_interval_s) else ""


def basis_of(plan: Plan) -> str:
    """What the plan rests on, and what reading it cost."""
    probe, cost = plan.probe, plan.cost
    weight = f"; {size(probe.bytes)} in Redis" if known(probe.bytes) else ""
    return (
        f"{plural(probe.runs, 'run')} of {plural(probe.workers, 'worker')} over {duration(probe.covered_s)}{weight}. "
        f"Read with {plural(cost.commands, 'command')}; nothing was written."
    )
