"""The schedule as Tidegate's beats run it: who leads, what is not sent, what follows the workers, what was forgotten."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tidegate.facts.beat import AUTO, BeatOutcome
from tidegate.facts.diagnosis import Finding, Level
from tidegate.facts.scheduled import BeatSeen, EntryRow, Rules
from tidegate.facts.unknown import known
from tidegate.model.case import Case
from tidegate.model.rules.saying import could_not_look, fine, shell, unseen
from tidegate.model.scheduled import UNWANTED
from tidegate.units import count, duration, number

#: A pause that lasts longer is one that somebody forgot.
LONG_PAUSED_S = 86_400.0
#: An interval that is so near its longest one is at it.
_AT_MAX = 0.999
_NAMED = 5

Judge = Callable[[Case, Rules, BeatSeen, Sequence[EntryRow]], Iterable[Finding]]


def _where_ours(rule: str, what: str, judge: Judge) -> Callable[[Case], list[Finding]]:
    """Nothing to judge where another scheduler runs, and nothing that could be where that can't be seen."""

    def check(case: Case) -> list[Finding]:
        rules, beat, rows = case.look.rules, case.look.beat, case.schedule
        if not known(rules) or not known(beat) or not known(rows):
            return [could_not_look(rule, what, unseen(application=rules, beat=beat, entries=rows))]
        if beat is None:
            return [fine(rule, "The scheduler is none of Tidegate's.")]
        return list(judge(case, rules, beat, [row for row in rows if row.enabled]))

    check.__doc__ = judge.__doc__
    return check


def _no_leader(case: Case, rules: Rules, beat: BeatSeen, rows: Sequence[EntryRow]) -> Iterable[Finding]:
    """TG150: nobody leads, so nothing of the schedule is sent."""
    if not known(beat.leader):
        return [could_not_look("TG150", "who leads the schedule", {"leader": beat.leader})]
    if beat.leader is not None:
        return [fine("TG150", f"{beat.leader.who} leads the schedule {beat.name}.", leader=beat.leader.who)]
    if not rows or not rules.lease:
        return [fine("TG150", "There is no entry to send." if rules.lease else "The lease is off, so nobody leads.")]
    app = case.app.name if case.app is not None else "proj"
    return [
        Finding(
            rule="TG150",
            level=Level.WARNING,
            sentence=f"No beat leads the schedule {beat.name}: nothing is sent of its {_entries(rows)}.",
            evidence={"name": beat.name, "entries": len(rows)},
            remedy=f"celery -A {shell(app)} beat; where one runs, its log says why it does not lead.",
        )
    ]


def _not_sent(case: Case, rules: Rules, beat: BeatSeen, rows: Sequence[EntryRow]) -> Iterable[Finding]:
    """TG151: what an entry should do was not done the last time."""
    if unknown := _unseen_in(rows, "last_outcome"):
        return [could_not_look("TG151", "what became of the due times", unknown)]
    failed = [row for row in rows if known(row.last_outcome) and row.last_outcome in UNWANTED]
    if not failed:
        return [fine("TG151", "The last due time of every entry was sent, or held back as it should be.")]
    first = failed[0]
    what = UNWANTED[BeatOutcome(str(first.last_outcome))]
    why = f": {first.last_why}" if known(first.last_why) and first.last_why else ""
    return [
        Finding(
            rule="TG151",
            level=Level.WARNING,
            sentence=f"The last due time of {_entries(failed)} was not sent ({_names(failed)}); "
            f"that of {first.entry} {what}{why}.",
            evidence={"entries": [row.entry for row in failed], "outcome": first.last_outcome, "counts": first.counts},
            remedy=f"tidegate schedule show {shell(first.entry)} -A {_app(case)} says how often, and what was ordered.",
        )
    ]


def _unmeasured(case: Case, rules: Rules, beat: BeatSeen, rows: Sequence[EntryRow]) -> Iterable[Finding]:
    """TG152: an interval can follow the workers only where their work is measured."""
    followed = [row for row in rows if row.auto]
    if unknown := _unseen_in(followed, "interval_s"):
        return [could_not_look("TG152", "the intervals that follow the workers", unknown)]
    still = [row for row in followed if row.basis != "plan"]
    if not still:
        text = f"{_entries(followed)} follow the workers." if followed else "No interval follows the workers."
        return [fine("TG152", text)]
    return [
        Finding(
            rule="TG152",
            level=Level.INFO,
            sentence=f"The interval of {_entries(still)} should follow the workers and stays as declared ({_names(still)}): "
            f"{still[0].interval_why.removeprefix(AUTO).lstrip(':, ')}.",
            evidence={"entries": [row.entry for row in still]},
            remedy="tidegate.install(app) where the workers' application is made: the probe measures what a firing costs.",
        )
    ]


def _at_max(case: Case, rules: Rules, beat: BeatSeen, rows: Sequence[EntryRow]) -> Iterable[Finding]:
    """TG153: an interval that follows the workers can't get longer, so the queue grows."""
    followed = [row for row in rows if row.auto]
    if unknown := _unseen_in(followed, "interval_s"):
        return [could_not_look("TG153", "the intervals that follow the workers", unknown)]
    full = [row for row in followed if row.basis == "plan" and _is_at_max(row)]
    if not full:
        return [fine("TG153", "No interval that follows the workers is at its longest.")]
    first, most_s = full[0], full[0].max_s or 0.0
    return [
        Finding(
            rule="TG153",
            level=Level.WARNING,
            sentence=f"The interval of {_entries(full)} is at its longest ({_names(full)}; {first.entry}: {duration(most_s)}): "
            "the workers need a longer one, or there have to be more of them.",
            evidence={"entries": [row.entry for row in full], "max_s": most_s},
            remedy=f"tidegate schedule set {shell(first.entry)} --max {number(2 * most_s)} -A {_app(case)}, or more workers.",
        )
    ]


def _forgotten(case: Case, rules: Rules, beat: BeatSeen, rows: Sequence[EntryRow]) -> Iterable[Finding]:
    """TG154: a pause is for hours; after a day somebody has forgotten it."""
    if unknown := _unseen_in(rows, "paused"):
        return [could_not_look("TG154", "what is paused", unknown)]
    long = sorted(((_paused_s(row, beat), row) for row in rows), key=lambda pair: -pair[0])
    found = [row for paused_s, row in long if paused_s >= LONG_PAUSED_S]
    if not found:
        many = sum(row.paused is True for row in rows)
        return [fine("TG154", f"{count(many)} paused, none of them for longer than a day.", paused=many)]
    first, paused_s = found[0], long[0][0]
    return [
        Finding(
            rule="TG154",
            level=Level.WARNING,
            sentence=f"{_entries(found)} paused for longer than a day ({_names(found)}): {first.entry} for {duration(paused_s)}, "
            f"by {first.ordered_by}.",
            evidence={"entries": [row.entry for row in found], "paused_s": paused_s, "ordered_by": first.ordered_by},
            remedy=f"tidegate schedule resume {shell(first.entry)} -A {_app(case)}",
        )
    ]


def _unheld(case: Case, rules: Rules, beat: BeatSeen, rows: Sequence[EntryRow]) -> Iterable[Finding]:
    """TG155: an overlap is held by the gate, or by the results of runs; without either every due time is sent."""
    guarded = [row for row in rows if row.overlap != "allow_all"]
    unheld = [row for row in guarded if not row.overlap_held]
    if not unheld:
        how = "The gate holds" if rules.gate_on else "The results of runs hold"
        text = f"{how} the overlap of {_entries(guarded)}." if guarded else "No entry has an overlap to hold."
        return [fine("TG155", text)]
    return [
        Finding(
            rule="TG155",
            level=Level.WARNING,
            sentence=f"Nobody holds the overlap of {_entries(unheld)} ({_names(unheld)}), for the gate is off and no result is "
            "kept: every due time is sent.",
            evidence={"entries": [row.entry for row in unheld], "overlap": unheld[0].overlap},
            remedy="tidegate.install(app) where the application is made, without gate=False; tidegate_gate = True.",
        )
    ]


def _unseen_in(rows: Sequence[EntryRow], name: str) -> dict[str, Any]:
    """The first reason why a field of the rows could not be seen."""
    found = [value for row in rows if not known(value := getattr(row, name))]
    return {name: found[0]} if found else {}


def _is_at_max(row: EntryRow) -> bool:
    if not known(row.interval_s) or row.interval_s is None or row.max_s is None:
        return False
    return row.interval_s >= _AT_MAX * row.max_s


def _paused_s(row: EntryRow, beat: BeatSeen) -> float:
    if row.paused is not True or not known(row.ordered_at_s) or row.ordered_at_s is None:
        return 0.0
    return beat.at_s - row.ordered_at_s


def _entries(rows: Sequence[EntryRow]) -> str:
    return f"{count(len(rows))} {'entry' if len(rows) == 1 else 'entries'}"


def _names(rows: Sequence[EntryRow]) -> str:
    return ", ".join(row.entry for row in rows[:_NAMED]) + (", …" if len(rows) > _NAMED else "")


def _app(case: Case) -> str:
    return shell(case.app.name if case.app is not None else "proj")


no_leader = _where_ours("TG150", "who leads the schedule", _no_leader)
not_sent = _where_ours("TG151", "what became of the due times", _not_sent)
unmeasured = _where_ours("TG152", "the intervals that follow the workers", _unmeasured)
at_max = _where_ours("TG153", "the intervals that follow the workers", _at_max)
forgotten = _where_ours("TG154", "what is paused", _forgotten)
unheld = _where_ours("TG155", "the overlap of the entries", _unheld)
