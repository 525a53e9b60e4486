"""Intervals against what the workers can take: each alone, all together, and with hosts lost."""

from collections.abc import Callable, Iterable, Sequence

from tidegate.facts.diagnosis import Finding, Level
from tidegate.facts.planned import EntryPlan, HostsLost
from tidegate.facts.seen import EntrySeen
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.lint.blame import Crowd
from tidegate.model.lint.case import LintCase, is_consumed, mean_interval_s
from tidegate.model.lint.saying import blind, concluded, entries, listed, rounded_up
from tidegate.model.rules.saying import could_not_look, quoted
from tidegate.units import duration, plural, significant

Judged = tuple[EntrySeen, EntryPlan]


def below_the_edge(case: LintCase) -> Iterable[Finding]:
    """TG201: an entry comes more often than the workers can take, even if it were the only one."""
    if not known(case.plan):
        return [could_not_look("TG201", "safe intervals", {"plan": case.plan})]
    unsafe = [(entry, plan) for entry, plan in _planned(case, "TG201") if plan.safe is False]
    noticed = [_below(entry, plan) for entry, plan in unsafe if not case.blame.alone.get(entry.name, False)]
    unseen = blind("TG201", "every safe interval", _reasons(case, "TG201", lambda plan: plan.safe))
    if noticed or unseen:
        return [*noticed, *unseen]
    return concluded("TG201", case, noticed, "No entry is by itself more than is safe.")


def _planned(case: LintCase, rule: str) -> Sequence[Judged]:
    return [(entry, case.plans[entry.name]) for entry in case.judged(rule) if entry.name in case.plans]


def _reasons(case: LintCase, rule: str, asked: Callable[[EntryPlan], Maybe[object]]) -> dict[str, Unknown]:
    """Why the plan does not say it, by entry; those that come once or never need no answer, and TG206 has the one of those
    that nobody consumes.
    """
    reasons = {}
    for entry in (entry for entry in case.judged(rule) if is_consumed(entry, case.question.consumed)):
        plan = case.plans.get(entry.name)
        value = asked(plan) if plan is not None else Unknown("no run of it was measured")
        interval_s = mean_interval_s(entry)
        if isinstance(value, Unknown) and not (known(entry.mean_interval_s) and not interval_s):
            reasons[entry.name] = case.not_planned(entry, value)
    return reasons


def _below(entry: EntrySeen, plan: EntryPlan) -> Finding:
    edge, safe = plan.edge_interval_s, plan.min_safe_interval_s
    every = mean_interval_s(entry) or 0.0
    comes = f"{entry.name} sends {entry.task} every {duration(every)}{_on_average(entry)}"
    if not known(safe):
        return Finding(
            rule="TG201",
            level=Level.CRITICAL,
            sentence=f"{comes}, and {safe.why}.",
            evidence={"entry": entry.name, "interval_s": every},
            remedy=f"More workers for what {entry.name} sends, or less of what else they do.",
        )
    under = not known(edge) or every < edge
    limit = f"{duration(edge)} is the edge, " if known(edge) else ""
    return Finding(
        rule="TG201",
        level=Level.CRITICAL if under else Level.WARNING,
        sentence=f"{comes}, below {'the edge' if under else 'what is safe'}: {limit}"
        f"{duration(safe.estimate)} is safe ({plan.binding}).",
        evidence={
            "entry": entry.name,
            "interval_s": every,
            "work_s": plan.work_s,
            "edge_interval_s": edge,
            "min_safe_interval_s": safe.estimate,
        },
        remedy=_longer(entry, safe.estimate),
    )


def _longer(entry: EntrySeen, safe_s: float) -> str:
    if entry.interval_s is None:
        return f"Let {quoted(entry.name)} come at most every {duration(safe_s)} on average, or more workers."
    return f'"schedule": {rounded_up(safe_s)} in the entry {quoted(entry.name)}, or more workers.'


def _on_average(entry: EntrySeen) -> str:
    return "" if entry.interval_s is not None else " on average"


def with_hosts_lost(case: LintCase) -> Iterable[Finding]:
    """TG202: with a host lost the same intervals are no longer safe."""
    lost = max(1, case.question.hosts_lost)
    if not known(case.plan):
        return [could_not_look("TG202", "safe intervals with a host lost", {"plan": case.plan})]
    safe_now = [(entry, plan) for entry, plan in _planned(case, "TG202") if plan.safe is True]
    rows = [(entry, row) for entry, plan in safe_now if (row := _with(plan, lost)) is not None]
    unsafe = [(entry, row) for entry, row in rows if row.safe is False]
    if unsafe:
        return [_lost(case, unsafe, lost)]
    unseen = {entry.name: row.safe for entry, row in rows if isinstance(row.safe, Unknown)}
    if unseen:
        return blind("TG202", "safe intervals with a host lost", unseen)
    return concluded("TG202", case, [], f"What is safe stays safe with {plural(lost, 'host')} lost.")


def _with(plan: EntryPlan, lost: int) -> HostsLost | None:
    return next((row for row in plan.with_hosts_lost if row.lost == lost), None)


def _lost(case: LintCase, unsafe: Sequence[tuple[EntrySeen, HostsLost]], lost: int) -> Finding:
    names = [entry.name for entry, _ in unsafe]
    hosts, slots = plural(lost, "host"), unsafe[0][1].slots
    if slots == 0:
        what = f"With {hosts} lost no worker is left for {entries(len(names))} ({listed(names)})."
    else:
        too_short = plural(len(names), "interval")
        what = f"With {hosts} lost {too_short} would no longer be safe ({listed(names)}): {_needed(*unsafe[0])}."
    return Finding(
        rule="TG202",
        level=Level.WARNING if case.question.hosts_lost else Level.INFO,
        sentence=what,
        evidence={"entries": names, "hosts_lost": lost, "slots_left": slots},
        remedy="One more host, or longer intervals: `tidegate plan --hosts-lost` says which.",
    )


def _needed(entry: EntrySeen, row: HostsLost) -> str:
    safe = row.min_safe_interval_s
    if not known(safe):
        return f"{entry.name} would have none, for {safe.why}"
    return f"{entry.name} would need {duration(safe.estimate)} instead of {duration(mean_interval_s(entry) or 0.0)}"


def together(case: LintCase) -> Iterable[Finding]:
    """TG203: each entry alone is fine, all of them together are more than the workers can take."""
    if not known(case.plan):
        return [could_not_look("TG203", "what the entries bring together", {"plan": case.plan})]
    crowd = case.blame.crowd
    members = [entry.name for entry in case.judged("TG203") if crowd is not None and entry.name in crowd.entries]
    if crowd is not None and members:
        return [_together(members, crowd)]
    unseen = _reasons(case, "TG203", lambda plan: plan.work_s)
    if unseen:
        return blind("TG203", "the work of every entry", unseen)
    return concluded("TG203", case, [], "No entries are too much only together.")


def _together(names: Sequence[str], crowd: Crowd) -> Finding:
    over = crowd.wanted > crowd.slots
    by = f" by {rounded_up(crowd.stretch)}" if crowd.stretch is not None else ""
    return Finding(
        rule="TG203",
        level=Level.CRITICAL if over else Level.WARNING,
        sentence=f"{_who(names)} more than {'the workers can do' if over else 'is safe'}, though each alone would be fine "
        f"({listed(names)}): they want {significant(crowd.wanted, 3)} of the "
        f"{_slots(crowd.slots)} of {', '.join(crowd.queues)}.",
        evidence={
            "entries": list(names),
            "queues": list(crowd.queues),
            "wanted_slots": crowd.wanted,
            "slots": crowd.slots,
        },
        remedy=f"Multiply their intervals{by}, or as `tidegate plan` splits them; or more workers.",
    )


def _who(names: Sequence[str]) -> str:
    if len(names) == 1:
        return "1 entry and others that are not in this schedule bring"
    return f"{entries(len(names))} together bring"


def _slots(number: float) -> str:
    """`1 slot`, `3.5 slots`."""
    return f"{significant(number, 3)} slot{'' if number == 1 else 's'}"
