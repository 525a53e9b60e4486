"""What beat itself makes of the entries: those that it can't use, that never end, or that it sends twice."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from tidegate.facts.diagnosis import Finding, Level
from tidegate.facts.seen import EntrySeen
from tidegate.facts.unknown import Unknown, known
from tidegate.model.lint.case import LintCase
from tidegate.model.lint.saying import blind, concluded, entries, listed, named, they
from tidegate.model.rules.saying import fine, quoted
from tidegate.units import duration, plural


def duplicates(case: LintCase) -> Iterable[Finding]:
    """TG209: two entries do the same thing: the same task with the same arguments."""
    judged = [entry for entry in case.judged("TG209") if entry.task and not entry.trouble]
    alike: dict[tuple[str, str], list[EntrySeen]] = defaultdict(list)
    for entry in judged:
        if known(entry.call):
            alike[entry.task, entry.call].append(entry)
    noticed = [finding for rows in alike.values() if len(rows) > 1 for finding in _alike(rows)]
    counts = Counter(entry.task for entry in judged)
    unseen = {e.name: e.call for e in judged if isinstance(e.call, Unknown) and counts[e.task] > 1}
    if noticed or unseen:
        return [*noticed, *blind("TG209", "whether entries of one task do the same", unseen)]
    return concluded("TG209", case, [], "No two entries do the same.")


def _alike(rows: Sequence[EntrySeen]) -> Iterable[Finding]:
    """Those that come at the same times do all of it twice; those with times of their own may be meant so."""
    at_once: dict[str, list[EntrySeen]] = defaultdict(list)
    for entry in rows:
        at_once[entry.schedule].append(entry)
    twice = [found for found in at_once.values() if len(found) > 1]
    return [_same(found, Level.WARNING) for found in twice] or [_same(rows, Level.INFO)]


def _same(rows: Sequence[EntrySeen], level: Level) -> Finding:
    task, sources = rows[0].task, sorted({entry.source for entry in rows})
    where = f" in {' and '.join(sources)}" if len(sources) > 1 else ""
    how = "at the same times" if level is Level.WARNING else "at times of their own"
    return Finding(
        rule="TG209",
        level=level,
        sentence=f"{entries(len(rows))}{where} send {task} with the same arguments, {how} ({named(rows)}): where they meet, "
        "the work is done twice.",
        evidence={"task": task, "entries": [entry.name for entry in rows], "sources": sources},
        remedy=f"Keep one of them, for instance {quoted(rows[0].name)}.",
    )


def without_interval(case: LintCase) -> Iterable[Finding]:
    """TG210: with an interval of zero or less, beat sends the entry as fast as it can."""
    endless = [e for e in case.judged("TG210") if e.interval_s is not None and e.interval_s <= 0]
    noticed = [_without_interval(endless)] if endless else []
    return concluded("TG210", case, noticed, "Every interval is longer than zero.")


def _without_interval(endless: Sequence[EntrySeen]) -> Finding:
    first = endless[0]
    return Finding(
        rule="TG210",
        level=Level.CRITICAL,
        sentence=f"{they(endless, 'has', 'have')} an interval of zero or less ({named(endless)}): beat sends them "
        "as fast as it can, and nothing else in time.",
        evidence={"entries": [entry.name for entry in endless], "interval_s": first.interval_s},
        remedy=f'"schedule": 60 in the entry {quoted(first.name)}: seconds, more than zero.',
    )


def never_due(case: LintCase) -> Iterable[Finding]:
    """TG211: an entry never comes due, because no time matches its schedule."""
    noticed = [_never(entry) for entry in case.judged("TG211") if entry.never]
    return concluded("TG211", case, noticed, "Every entry comes due.")


def _never(entry: EntrySeen) -> Finding:
    return Finding(
        rule="TG211",
        level=Level.WARNING,
        sentence=f"{entry.name} never comes due: {entry.never}.",
        evidence={"entry": entry.name, "schedule": entry.schedule, "source": entry.source},
        remedy=f"A day that exists, in the entry {quoted(entry.name)}; or take it out.",
    )


def unusable(case: LintCase) -> Iterable[Finding]:
    """TG212: an entry is written so that its scheduler can't use it."""
    # Other schedulers than Celery's own catch what a single entry raises.
    elsewhere = any(row.in_force is True and row.name != "beat_schedule" for row in case.app.schedulers)
    noticed = [_unusable(entry, elsewhere) for entry in case.judged("TG212") if entry.trouble]
    odd = {entry.name: entry.mean_interval_s for entry in case.judged("TG212") if not known(entry.mean_interval_s)}
    unseen = {name: why for name, why in odd.items() if isinstance(why, Unknown) and why.why != "not looked at"}
    if noticed or unseen:
        return [*noticed, *blind("TG212", "when every entry comes due", unseen)]
    return concluded("TG212", case, [], "Every entry can be used.")


def _unusable(entry: EntrySeen, kept_elsewhere: bool) -> Finding:
    then = "Beat leaves it out." if kept_elsewhere else "Beat ends when it reads it, or can't send it."
    return Finding(
        rule="TG212",
        level=Level.CRITICAL,
        sentence=f"{entry.name} can't be used: {entry.trouble}. {then}",
        evidence={"entry": entry.name, "source": entry.source},
        remedy=f'{quoted(entry.name)}: {{"task": "proj.tasks.add", "schedule": 30.0, "args": (16, 16)}}',
    )


def two_schedulers(case: LintCase) -> Iterable[Finding]:
    """TG215: more than one scheduler holds entries that are switched on: two beats, or entries that nobody sends."""
    rows = {row.name: [e for e in row.entries if e.enabled] for row in case.app.schedulers if known(row.entries)}
    holding = {name: found for name, found in rows.items() if found}
    doubtful = [row for row in case.app.schedulers if row.in_force is not True and row.name in holding]
    unread = {row.name: row.entries for row in case.app.schedulers if isinstance(row.entries, Unknown)}
    if unread:
        return blind("TG215", "every scheduler", unread)
    if len(holding) < 2 or not doubtful:
        return concluded("TG215", case, [], "One scheduler holds all entries.")
    return [_two(case, list(holding), [(row.name, holding[row.name]) for row in doubtful])]


def _two(case: LintCase, holding: Sequence[str], doubtful: Sequence[tuple[str, Sequence[EntrySeen]]]) -> Finding:
    name, found = doubtful[0]
    verb = "is" if len(found) == 1 else "are"
    sent = max((entry.last_run_at for entry in found if entry.last_run_at is not None), default=None)
    return Finding(
        rule="TG215",
        level=Level.WARNING,
        sentence=f"{len(holding)} schedulers hold entries that are switched on ({', '.join(holding)}), and beat_scheduler is "
        f"{case.app.scheduler}: {entries(len(found))} of {name} ({named(found)}) {verb} sent by another beat, or by none.",
        evidence={
            "schedulers": list(holding),
            "beat_scheduler": case.app.scheduler,
            "entries": [entry.name for entry in found],
            "last_sent_at": sent,
        },
        remedy="Name the one in force as app.conf.beat_scheduler, and take over or switch off the entries of the other.",
    )


def switched_off(case: LintCase) -> Iterable[Finding]:
    """TG216: entries that are switched off are not judged."""
    off = [entry for entry in case.every if entry.in_force and not entry.enabled]
    if not off:
        return concluded("TG216", case, [], "No entry is switched off.")
    return [
        Finding(
            rule="TG216",
            level=Level.INFO,
            sentence=f"Switched off, or at an end: {entries(len(off))} ({named(off)}), which no other rule judged.",
            evidence={"entries": [entry.name for entry in off]},
            remedy="Take out what is not needed any more.",
        )
    ]


def visibility(case: LintCase) -> Iterable[Finding]:
    """TG213: a task acknowledged late that runs longer than the visibility timeout is delivered again while it runs."""
    late, timeout = case.app.late_tasks, case.app.visibility_timeout_s or DEFAULT_VISIBILITY_S
    if not known(late):
        return blind("TG213", "which tasks are acknowledged late", {"late_tasks": late})
    if not late:
        return [fine("TG213", "No task is acknowledged late.")]
    if not known(case.plan):
        return blind("TG213", "how long tasks run", {"plan": case.plan})
    names = set(late)
    longest: dict[str, float] = {}
    for row in case.plan.tasks:
        if row.task in names:
            longest[row.task] = max(longest.get(row.task, 0.0), row.p99_s if known(row.p99_s) else 0.0)
    over = {task: run_s for task, run_s in longest.items() if run_s > timeout}
    if not over:
        return concluded("TG213", case, [], f"No task that is acknowledged late runs longer than {duration(timeout)}.")
    return [_redelivered(over, timeout)]


DEFAULT_VISIBILITY_S = 3600.0


def _redelivered(over: dict[str, float], timeout_s: float) -> Finding:
    longest = max(over.values())
    return Finding(
        rule="TG213",
        level=Level.WARNING,
        sentence=f"{plural(len(over), 'task')} acknowledged late may run longer than the visibility timeout of "
        f"{duration(timeout_s)} ({listed(sorted(over))}, up to {duration(longest)}): the message is delivered again "
        "meanwhile.",
        evidence={"run_s": over, "visibility_timeout_s": timeout_s},
        remedy=f'app.conf.broker_transport_options = {{"visibility_timeout": {round(longest * 2)}}}',
    )
