"""From what an application says of its entries and what beats left in Redis to one row an entry; pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tidegate.facts.beat import AUTO, BeatOutcome, EntryPolicy, Order, Paced
from tidegate.facts.overlap import Overlap
from tidegate.facts.scheduled import BeatSeen, EntryRow, Rules
from tidegate.facts.seen import EntrySeen, Look
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.crontab import next_due_s

Value = TypeVar("Value")
#: Outcomes that nobody wants: what the entry should do was not done.
UNWANTED = {
    BeatOutcome.FAILED: "could not be published",
    BeatOutcome.QUEUE_FULL: "was refused at the queue's bound",
    BeatOutcome.MEMORY_FULL: "was refused at the memory ceiling",
    BeatOutcome.MISSED: "was missed",
    BeatOutcome.EXPIRED: "came too late to be sent",
}
_NO_POLICY = EntryPolicy()


def rows_of(entries: Iterable[EntrySeen], rules: Rules, beat: BeatSeen) -> tuple[EntryRow, ...]:
    """One row an entry: those in trouble first, then the paused ones, then the others by name."""
    rows = [_row(entry, rules, beat) for entry in entries]
    return tuple(sorted(rows, key=lambda row: (not row.trouble, row.paused is not True, row.entry)))


def schedule_rows(look: Look) -> Maybe[tuple[EntryRow, ...]]:
    """The same of what a look saw; none where no scheduler of ours runs."""
    if look.app is None or not known(look.rules):
        return look.rules if not known(look.rules) else Unknown("no application was named (-A)")
    if not known(look.app.entries):
        return look.app.entries
    if not known(look.beat):
        return look.beat
    return rows_of(look.app.entries, look.rules, look.beat) if look.beat is not None else ()


@dataclass(frozen=True, slots=True)
class Interval:
    """The interval in force, and why it is what it is; None for an entry that has none."""

    s: Maybe[float | None]
    why: str
    auto: bool = False
    basis: str = ""


def interval_of(
    entry: EntrySeen, policy: EntryPolicy, order: Maybe[Order | None], paced: Maybe[Paced | None]
) -> Interval:
    """An order holds before the settings, these before the schedule."""
    if entry.interval_s is None:
        return Interval(None, "")
    if not known(order):
        return Interval(order, "what is ordered can't be seen")
    every = order.every if order is not None else None
    if every == AUTO or (every is None and policy.auto):
        return _following(entry.interval_s, order, paced)
    if isinstance(every, float) and order is not None:
        return Interval(every, f"ordered by {order.who or 'somebody'}")
    if policy.every_s is not None:
        return Interval(policy.every_s, "set in tidegate_entries")
    return Interval(entry.interval_s, "as declared")


def as_in_force(entries: Iterable[EntrySeen], rules: Rules, beat: BeatSeen) -> tuple[EntrySeen, ...]:
    """The entries with the intervals that the beats go by now; as they are where that can't be seen."""
    return tuple(_as_in_force(entry, rules, beat) for entry in entries)


def _as_in_force(entry: EntrySeen, rules: Rules, beat: BeatSeen) -> EntrySeen:
    policy = rules.policies.get(entry.name, _NO_POLICY)
    now_s = interval_of(entry, policy, _of(beat.orders, entry), _of(beat.paced, entry)).s
    return replace(entry, interval_s=now_s, mean_interval_s=now_s) if known(now_s) and now_s else entry


def _following(declared_s: float, order: Order | None, paced: Maybe[Paced | None]) -> Interval:
    whose = f"auto, ordered by {order.who or 'somebody'}" if order is not None and order.every == AUTO else AUTO
    if not known(paced):
        return Interval(paced, whose, auto=True)
    if paced is None:
        return Interval(declared_s, f"{whose}: no beat follows the workers yet", auto=True, basis="declared")
    return Interval(paced.interval_s, f"{whose}: {paced.why}", auto=True, basis=paced.basis)


def _row(entry: EntrySeen, rules: Rules, beat: BeatSeen) -> EntryRow:
    policy = rules.policies.get(entry.name, _NO_POLICY)
    order, asked, last = _of(beat.orders, entry), _of(beat.asks, entry), _of(beat.last, entry)
    interval = interval_of(entry, policy, order, _of(beat.paced, entry))
    cursor = _of(beat.cursors, entry)
    paused = order.paused if known(order) and order is not None else (False if known(order) else order)
    bounds = order if known(order) and order is not None else Order()
    least_s, most_s = _bounds(bounds, policy, entry.interval_s if interval.auto else None)
    counts = _of(beat.counts, entry)
    return EntryRow(
        entry=entry.name,
        task=entry.task,
        schedule=entry.schedule,
        declared_s=entry.interval_s,
        interval_s=interval.s,
        interval_why=interval.why,
        auto=interval.auto,
        basis=interval.basis,
        min_s=least_s,
        max_s=most_s,
        overlap=_overlap(entry, rules),
        overlap_held=_is_held(entry, rules),
        enabled=entry.enabled,
        paused=paused,
        ordered_by=_part(order, "who"),
        ordered_at_s=_part(order, "at_s"),
        asked_by=_part(asked, "who"),
        last_due_s=cursor,
        last_outcome=_part(last, "outcome"),
        last_at_s=_part(last, "at_s"),
        last_why=_part(last, "why"),
        next_due_s=_next(entry, cursor, interval, paused, beat.at_s),
        counts={} if counts is None else counts,
        trouble=_trouble(
            entry, rules, order, last.outcome if known(last) and last is not None else "", _part(last, "why")
        ),
    )


def _bounds(order: Order, policy: EntryPolicy, declared_s: float | None) -> tuple[float | None, float | None]:
    """What an interval that follows the workers stays between: as declared, and ten times that, where nothing is said."""
    least_s, most_s = order.min_s or policy.min_s, order.max_s or policy.max_s
    if declared_s is None:
        return least_s, most_s
    least_s = least_s or declared_s
    return least_s, max(least_s, most_s or 10 * declared_s)


def _of(found: Maybe[Mapping[str, Value]], entry: EntrySeen) -> Maybe[Value | None]:
    return found.get(entry.name) if known(found) else found


def _part(found: object, name: str) -> Any:
    """A field of what was found; unknown where that is, None where nothing was."""
    return found if isinstance(found, Unknown) else getattr(found, name, None)


def _next(
    entry: EntrySeen, cursor: Maybe[float | None], interval: Interval, paused: Maybe[bool], at_s: float
) -> Maybe[float | None]:
    if not entry.enabled or entry.never or paused is True:
        return None
    if not known(cursor):
        return cursor
    if entry.crontab is not None:
        return next_due_s(entry.crontab, at_s if cursor is None else cursor)
    if cursor is None:
        return Unknown("no beat of ours has decided on it yet")
    if not known(interval.s):
        return interval.s
    return Unknown("only its schedule itself knows") if interval.s is None else cursor + interval.s


def _trouble(entry: EntrySeen, rules: Rules, order: Maybe[Order | None], outcome: str, why: object) -> str:
    said = [rules.wrong.get(entry.name, ""), entry.trouble, entry.never]
    said += [f"no such task: {entry.task}"] if entry.registered is False and entry.task else []
    said += [_ordered_in_vain(entry, order), _unheld(entry, rules)]
    if outcome in UNWANTED:
        reason = f": {why}" if isinstance(why, str) and why else ""
        said.append(f"its last due time {UNWANTED[BeatOutcome(outcome)]}{reason}")
    return "; ".join(part for part in said if part)


def _ordered_in_vain(entry: EntrySeen, order: Maybe[Order | None]) -> str:
    vain = entry.interval_s is None and known(order) and order is not None and order.every is not None
    return "an interval is ordered, and it has none: reset it" if vain else ""


def _overlap(entry: EntrySeen, rules: Rules) -> str:
    """What the entry itself says, else its task."""
    policy = rules.policies.get(entry.name, _NO_POLICY)
    return str(policy.overlap or rules.overlaps.get(entry.name) or Overlap.ALLOW_ALL)


def _is_held(entry: EntrySeen, rules: Rules) -> bool:
    """By the gate; without it by the result of the last run, where one is kept."""
    return rules.gate_on or (rules.results and entry.keeps_result is not False)


def _unheld(entry: EntrySeen, rules: Rules) -> str:
    overlap = _overlap(entry, rules)
    if overlap == Overlap.ALLOW_ALL or _is_held(entry, rules):
        return ""
    return f"its overlap, {overlap}, is held by nobody: the gate is off, and its runs leave no result"
