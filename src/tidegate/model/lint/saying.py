"""How rules about schedules conclude, and how they name entries."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from tidegate.facts.diagnosis import Finding
from tidegate.facts.seen import EntrySeen
from tidegate.facts.unknown import Unknown
from tidegate.model.lint.case import LintCase
from tidegate.model.rules.saying import could_not_look, fine
from tidegate.units import count, number

_MOST_NAMED = 5
_MOST_REASONS = 20


def concluded(rule: str, case: LintCase, noticed: Sequence[Finding], healthy: str) -> list[Finding]:
    """What was noticed; the healthy sentence only where nothing was and every scheduler in force could be read."""
    if case.unread:
        return [*noticed, could_not_look(rule, "every entry", case.unread)]
    return list(noticed) or [fine(rule, healthy if case.sent else "No periodic entries.")]


def blind(rule: str, what: str, reasons: Mapping[str, Unknown]) -> list[Finding]:
    """Could not look, with the reason of every entry; of many entries each reason once."""
    if not reasons:
        return []
    if len(reasons) > _MOST_REASONS:
        first: dict[str, str] = {}
        for name, why in reasons.items():
            first.setdefault(why.why, name)
        reasons = {f"{name} and others": Unknown(why) for why, name in list(first.items())[:_MOST_REASONS]}
    return [could_not_look(rule, what, reasons)]


def named(entries: Iterable[EntrySeen]) -> str:
    """The first names, for a sentence."""
    return listed([entry.name for entry in entries])


def listed(names: Sequence[str]) -> str:
    """`a, b, c`, and that there are more."""
    return ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")


def entries(number: int) -> str:
    """`1 entry`, `2 entries`."""
    return f"{count(number)} {'entry' if number == 1 else 'entries'}"


def they(rows: Collection[object], one: str, more: str) -> str:
    """`1 entry goes`, `2 entries go`."""
    return f"{entries(len(rows))} {one if len(rows) == 1 else more}"


def rounded_up(seconds: float) -> str:
    """Three significant digits as code wants them, never less than the value."""
    if seconds <= 0:
        return number(seconds)
    digit = 10.0 ** (math.floor(math.log10(seconds)) - 2)
    return number(math.ceil(seconds / digit - 1e-6) * digit)
