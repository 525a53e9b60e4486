"""Messages that outlive their use: no `expires`, one that is far too long, one at a fixed time; and results without end."""

import math
from collections.abc import Iterable, Sequence

from tidegate.facts.diagnosis import Finding, Level
from tidegate.facts.seen import AppSeen, EntrySeen
from tidegate.facts.unknown import Unknown, known
from tidegate.model.lint.case import LintCase, mean_interval_s
from tidegate.model.lint.saying import blind, concluded, entries, named, rounded_up
from tidegate.model.rules.saying import could_not_look, fine, quoted
from tidegate.units import duration, significant

#: So many runs of one entry may wait before its `expires` does anything.
MOST_WAITING = 10
#: Results of what comes less often than this do not fill a server.
FREQUENT_S = 3600.0
_ROUNDING = 1e-9


def lasting(case: LintCase) -> Iterable[Finding]:
    """TG204: when workers fall behind, every late run of the entry still waits for its turn."""
    judged = [entry for entry in case.judged("TG204") if entry.trouble == "" and not _comes_once(entry)]
    endless = [entry for entry in judged if lasts(case.app, entry)]
    fixed = [entry for entry in judged if _is_fixed(entry)]
    long = [entry for entry in judged if not _is_fixed(entry) and _waiting(entry) > MOST_WAITING + _ROUNDING]
    noticed = [
        *([_endless(endless, len(judged))] if endless else []),
        *([_long(long)] if long else []),
        *([_fixed(fixed)] if fixed else []),
    ]
    unseen = {entry.name: entry.expires_s for entry in judged if isinstance(entry.expires_s, Unknown)}
    if unseen:
        return [*noticed, *blind("TG204", "when messages expire", unseen)]
    return concluded("TG204", case, noticed, "Every periodic message expires before many of its kind can wait.")


def lasts(app: AppSeen, entry: EntrySeen) -> bool:
    """Whether its messages never expire: a scheduler of ours gives them an `expires` unless it is 0."""
    return entry.expires_s == 0 if app.ours is True else entry.expires_s is None


def _comes_once(entry: EntrySeen) -> bool:
    return known(entry.mean_interval_s) and entry.mean_interval_s is None and entry.interval_s is None


def _is_fixed(entry: EntrySeen) -> bool:
    """django-celery-beat sends nothing after the time that its table gives, so there it does no harm."""
    return entry.expires_at is not None and entry.source != "django-celery-beat"


def _waiting(entry: EntrySeen) -> float:
    """How many runs of the entry may wait before the first one expires."""
    every = mean_interval_s(entry)
    return entry.expires_s / every if known(entry.expires_s) and entry.expires_s and every and every > 0 else 0.0


def _endless(kept: Sequence[EntrySeen], judged: int) -> Finding:
    dropped = [entry for entry in kept if "expires" in entry.dropped]
    lost = f" Of {named(dropped)} django-celery-beat drops `expires`: it takes `expire_seconds`." if dropped else ""
    first = next((entry for entry in kept if mean_interval_s(entry)), kept[0])
    return Finding(
        rule="TG204",
        level=Level.WARNING,
        sentence=f"{len(kept)} of {entries(judged)} never expire ({named(kept)}): when workers fall behind, every late "
        f"run still waits for its turn.{lost}",
        evidence={"entries": [entry.name for entry in kept], "dropped": [entry.name for entry in dropped]},
        remedy=_expire(first),
    )


def _expire(entry: EntrySeen) -> str:
    every = mean_interval_s(entry) or 60.0
    late = "a run that is due again need not run late."
    if entry.source == "django-celery-beat" or "expires" in entry.dropped:
        # A column of whole seconds.
        return f'"expire_seconds": {math.ceil(every)} for the entry {quoted(entry.name)}: {late}'
    return f'"options": {{"expires": {rounded_up(every)}}} in the entry {quoted(entry.name)}: {late}'


def _long(late: Sequence[EntrySeen]) -> Finding:
    worst = max(late, key=_waiting)
    expires_s = worst.expires_s if known(worst.expires_s) and worst.expires_s else 0.0
    return Finding(
        rule="TG204",
        level=Level.WARNING,
        sentence=f"Messages of {entries(len(late))} expire only after many intervals ({named(late)}): of {worst.name} "
        f"{significant(_waiting(worst), 3)} runs may wait before one is dropped.",
        evidence={
            "entries": [entry.name for entry in late],
            "expires_s": expires_s,
            "interval_s": mean_interval_s(worst),
        },
        remedy=_expire(worst),
    )


def _fixed(fixed: Sequence[EntrySeen]) -> Finding:
    first = fixed[0]
    left_s = first.expires_s if known(first.expires_s) and first.expires_s is not None else 0.0
    when = f"in {duration(left_s)}" if left_s > 0 else f"{duration(-left_s)} ago"
    return Finding(
        rule="TG204",
        level=Level.CRITICAL if left_s <= 0 else Level.WARNING,
        sentence=f"Messages of {entries(len(fixed))} expire at one fixed time ({named(fixed)}; of {first.name} {when}): after it "
        "every one is dropped before it runs.",
        evidence={"entries": [entry.name for entry in fixed], "expires_at": first.expires_at},
        remedy=_expire(first),
    )


def lasting_results(case: LintCase) -> Iterable[Finding]:
    """TG214: results that never expire, of entries that come often."""
    expires = case.app.result_expires_s
    if not known(expires):
        if expires.why == "no result backend":
            return [fine("TG214", "No results are kept: there is no result backend.")]
        return [could_not_look("TG214", "how long results are kept", {"result_expires_s": expires})]
    if expires is not None:
        return concluded("TG214", case, [], f"Results expire after {duration(expires)}.")
    frequent = [entry for entry in case.judged("TG214") if _is_frequent(entry)]
    keeping = [entry for entry in frequent if entry.keeps_result is True]
    if keeping:
        return [_lasting_results(keeping)]
    unseen = {entry.name: entry.keeps_result for entry in frequent if isinstance(entry.keeps_result, Unknown)}
    if unseen:
        return blind("TG214", "which entries keep results", unseen)
    return concluded("TG214", case, [], "No entry that comes often keeps a result.")


def _is_frequent(entry: EntrySeen) -> bool:
    every = mean_interval_s(entry)
    return every is not None and every < FREQUENT_S


def _lasting_results(keeping: Sequence[EntrySeen]) -> Finding:
    per_day = sum(86400.0 / every for entry in keeping if (every := mean_interval_s(entry)) and every > 0)
    return Finding(
        rule="TG214",
        level=Level.WARNING,
        sentence=f"result_expires is off, and {entries(len(keeping))} that come often keep their results "
        f"({named(keeping)}): {significant(per_day, 3)} more keys a day, for good.",
        evidence={"entries": [entry.name for entry in keeping], "results_per_day": per_day},
        remedy="app.conf.result_expires = 86400, or ignore_result=True for these tasks.",
    )
