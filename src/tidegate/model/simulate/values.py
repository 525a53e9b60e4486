"""The values of a scenario file: every key with the check that turns what stands there into what is meant.

Names of keys are those of the facts without their units, since values may carry them: `every = 1.2`, `every = "90s"`.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from enum import StrEnum
from itertools import pairwise
from math import inf, isfinite
from typing import Any

from tidegate.errors import UsageError
from tidegate.facts.laws import LAWS, Bimodal, Constant, Histogram, Law, Samples, Uniform
from tidegate.facts.scenario import Retry
from tidegate.units import parse_duration, parse_size

#: Turns a value into what is meant; the first argument says where it stands.
Check = Callable[[str, object], Any]
_SUFFIXES = ("_per_s", "_s", "_bytes")
#: Ten years: whatever lasts longer is a slip.
LONGEST_S = 3653 * 86400.0


def key_of(field_name: str) -> str:
    """How a field is called in a scenario file."""
    return next((field_name.removesuffix(end) for end in _SUFFIXES if field_name.endswith(end)), field_name)


def refuse(where: str, expected: str, came: object) -> UsageError:
    """The one line that says what is wrong."""
    shown = repr(came)
    return UsageError(f"{where}: expected {expected}, got {shown if len(shown) <= 60 else shown[:57] + '…'}")


def one_of(name: object, known: Iterable[str], what: str) -> UsageError:
    """An unknown name, with the nearest known one."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names[:12]) or 'none'}"
    return UsageError(f"{what} {str(name)[:60]!r} is not known: {hint}")


def duration(where: str, value: object) -> float:
    """Seconds, as a number or as text such as 90s."""
    seconds = _seconds(value)
    if seconds is None or not 0 <= seconds <= LONGEST_S:
        raise refuse(where, "a duration such as 1.2, 90s or 1m30s, at most ten years", value)
    return seconds


def _seconds(value: object) -> float | None:
    if isinstance(value, str):
        try:
            return parse_duration(value)
        except ValueError:
            return None
    return _number(value)


def _number(value: object) -> float | None:
    """The value where it is a finite number; true and false are none."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value) else None


def some_time(where: str, value: object) -> float:
    """More than 0 s."""
    seconds = duration(where, value)
    if seconds <= 0:
        raise refuse(where, "a duration above 0", value)
    return seconds


def number(low: float, high: float = inf, *, above: bool = False) -> Check:
    """A number between the two; `above`: not the lower one itself."""
    least = f"above {low:g}" if above else f"of at least {low:g}"
    expected = f"a number {least}" + (f" and at most {high:g}" if high < inf else "")

    def check(where: str, value: object) -> float:
        found = _number(value)
        if found is None or not low <= found <= high or (above and found == low):
            raise refuse(where, expected, value)
        return found

    return check


def whole(low: int, high: int = 10**9) -> Check:
    """A whole number between the two."""

    def check(where: str, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise refuse(where, f"a whole number from {low:,} to {high:,}", value)
        return value

    return check


def size(where: str, value: object) -> int:
    """Bytes, as a number or as text such as 8GB."""
    try:
        return parse_size(value) if isinstance(value, str) else int(whole(0, 10**18)(where, value))
    except ValueError:
        raise refuse(where, "a size such as 8589934592 or 8GB", value) from None


def flag(where: str, value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise refuse(where, "true or false", value)
    return value


def text(where: str, value: object) -> str:
    """A name."""
    if not isinstance(value, str) or not value:
        raise refuse(where, "a name in quotes", value)
    return value


def choice(kind: type[StrEnum] | Sequence[str]) -> Check:
    """One of a few words."""

    def check(where: str, value: object) -> str:
        words = [str(word) for word in kind]
        if value not in words:
            raise one_of(value, words, f"{where}:")
        return kind(value) if isinstance(kind, type) else str(value)

    return check


def several(check: Check, least: int = 1) -> Check:
    """A list, every item of which passes the check."""

    def check_all(where: str, value: object) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) < least:
            raise refuse(where, f"a list of {least} or more" if least else "a list", value)
        return tuple(check(where, item) for item in value)

    return check_all


def names(where: str, value: object) -> tuple[str, ...]:
    """A list of names, each once."""
    found: tuple[str, ...] = several(text)(where, value)
    if len(set(found)) < len(found):
        raise refuse(where, "every name once", value)
    return found


def points(first: Check, second: Check) -> Check:
    """A list of pairs whose first parts ascend."""

    def check(where: str, value: object) -> tuple[tuple[float, float], ...]:
        pairs: tuple[tuple[float, float], ...] = several(_pair(first, second))(where, value)
        if any(one[0] >= other[0] for one, other in pairwise(pairs)):
            raise refuse(where, "pairs in ascending order", value)
        return pairs

    return check


def _pair(first: Check, second: Check) -> Check:
    def check(where: str, value: object) -> tuple[Any, Any]:
        if not isinstance(value, list) or len(value) != 2:
            raise refuse(where, "pairs such as [0, 1.0]", value)
        return first(where, value[0]), second(where, value[1])

    return check


def by_name(check: Check) -> Check:
    """A table of names, every value of which passes the check."""

    def check_all(where: str, value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise refuse(where, 'a table such as { "proj.task" = 20 }', value)
        return {name: check(f"{where}.{name}", item) for name, item in value.items()}

    return check_all


def table(kind: type, checks: Mapping[str, Check], **given: object) -> Check:
    """A table with these keys, as an object of that kind."""

    def check(where: str, value: object) -> Any:
        if not isinstance(value, dict):
            raise refuse(where, "a table in braces", value)
        return filled(kind, checks, where, value, **given)

    return check


def filled(kind: type, checks: Mapping[str, Check], where: str, value: Mapping[str, object], **given: object) -> Any:
    """An object of that kind from a table; the one line where a key is unknown, missing, or does not fit."""
    names = {key_of(item.name): item.name for item in fields(kind) if key_of(item.name) in checks}
    for key in value:
        if key not in names:
            raise one_of(key, names, f"{where}: the key")
    checked = {names[key]: checks[key](f"{where}: {key}", item) for key, item in value.items()}
    try:
        return kind(**checked, **given)
    except TypeError:
        missing = [key for key, name in names.items() if name not in checked and _is_required(kind, name)]
        raise UsageError(f"{where}: {' and '.join(missing)} must be given") from None


def _is_required(kind: type, name: str) -> bool:
    field = next(item for item in fields(kind) if item.name == name)
    return field.default is MISSING and field.default_factory is MISSING


def _samples(where: str, value: object) -> tuple[float, ...]:
    values: tuple[float, ...] = several(duration)(where, value)
    return values


def _edges(where: str, value: object) -> tuple[float, ...]:
    edges: tuple[float, ...] = several(duration, 2)(where, value)
    if list(edges) != sorted(set(edges)):
        raise refuse(where, "edges in ascending order", value)
    return edges


#: The keys of every law.
LAW_KEYS: Mapping[str, Mapping[str, Check]] = {
    "constant": {"s": duration},
    "exponential": {"mean": some_time},
    "uniform": {"low": duration, "high": duration},
    "lognormal": {"mean": some_time, "cv": number(0, 100, above=True)},
    "pareto": {"mean": some_time, "shape": number(1, 100, above=True)},
    "bimodal": {"short": duration, "long": duration, "long_share": number(0, 1)},
    "samples": {"values": _samples, "replay": flag},
    "histogram": {"edges": _edges, "counts": several(whole(0)), "mean": duration},
}


def law(where: str, value: object) -> Law:
    """A duration that is always the same, or a table with the name of a law and its numbers."""
    if not isinstance(value, dict):
        return Constant(duration(where, value))
    name = value.get("law")
    if name not in LAWS:
        raise one_of(name, LAWS, f"{where}: the law")
    found: Law = filled(
        LAWS[str(name)], LAW_KEYS[str(name)], where, {key: item for key, item in value.items() if key != "law"}
    )
    _must_hang_together(where, found)
    return found


def _must_hang_together(where: str, found: Law) -> None:
    if isinstance(found, Uniform) and found.low_s > found.high_s:
        raise refuse(where, "low to be at most high", found.low_s)
    if isinstance(found, Histogram) and len(found.edges_s) != len(found.counts) + 1:
        raise refuse(where, f"one edge more than the {len(found.counts)} counts", len(found.edges_s))
    if isinstance(found, Histogram) and not sum(found.counts):
        raise refuse(where, "counts that are not all 0", 0)
    if isinstance(found, Histogram) and not found.edges_s[0] <= found.mean_s <= found.edges_s[-1]:
        raise refuse(where, "a mean between the first edge and the last", found.mean_s)


def some_gap(where: str, value: object) -> Law:
    """A law that does not always draw 0: endlessly many would come at once."""
    found = law(where, value)
    zero = found in (Constant(0.0), Uniform(0.0, 0.0)) or (isinstance(found, Samples) and not any(found.values_s))
    if zero or (isinstance(found, Bimodal) and not found.short_s + found.long_s):
        raise refuse(where, "gaps above 0", value)
    return found


retry = table(Retry, {"share": number(0, 1), "delay": duration, "most": whole(0, 10_000)})
