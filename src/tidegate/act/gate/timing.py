"""What somebody says of an entry's times (settings, an entry's own options, a row), read and checked in one place.

Numbers are seconds; text is a duration such as `1.2s` or `5m`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tidegate.errors import UsageError
from tidegate.facts.beat import AUTO, LONGEST_S, SHORTEST_S
from tidegate.units import parse_duration


def timing_in(where: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `EntryPolicy` that it gives, without those that it leaves out; raises UsageError for a wrong one."""
    found: dict[str, Any] = {}
    for name, read in _READERS.items():
        if fields.get(name) is not None:
            found.update(read(where, name, fields[name]))
    refuse_empty_range(where, found)
    return found


def refuse_empty_range(where: str, found: Mapping[str, Any]) -> None:
    """Raises UsageError where the least interval is above the longest."""
    low, high = found.get("min_s"), found.get("max_s")
    if low is not None and high is not None and low > high:
        raise UsageError(f"{where}: min {low:g} is above max {high:g}")


def _every(where: str, name: str, value: object) -> dict[str, Any]:
    if value == AUTO:
        return {"auto": True, "every_s": None}
    return {"auto": False, "every_s": _seconds(where, name, value, "'auto' or seconds above 0", least=SHORTEST_S)}


def _above_none(field: str) -> Callable[[str, str, object], dict[str, Any]]:
    return lambda where, name, value: {field: _seconds(where, name, value, "seconds above 0", least=SHORTEST_S)}


def _from_none(field: str) -> Callable[[str, str, object], dict[str, Any]]:
    return lambda where, name, value: {field: _seconds(where, name, value, "seconds from 0 on", least=0)}


def _expires(where: str, name: str, value: object) -> dict[str, Any]:
    if value is False:
        return {"expires_s": 0.0}
    return {"expires_s": _seconds(where, name, value, "seconds, or False for never", least=0)}


def _spread(where: str, name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, bool):
        raise UsageError(f"{where}: expected {name} to be True or False, got {value!r}")
    return {"spread": value}


def _seconds(where: str, name: str, value: object, expected: str, least: float) -> float:
    """A number, or a duration as text; a switch is neither."""
    try:
        seconds = parse_duration(value) if isinstance(value, str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        seconds = -1.0
    if isinstance(value, bool) or not least <= seconds < LONGEST_S:
        raise UsageError(
            f"{where}: expected {name} to be {expected}, got {value!r} (a duration such as '1.2s' will do, too)"
        )
    return seconds


_READERS: dict[str, Callable[[str, str, object], dict[str, Any]]] = {
    "every": _every,
    "min": _above_none("min_s"),
    "max": _above_none("max_s"),
    "catchup_s": _from_none("catchup_s"),
    "jitter_s": _from_none("jitter_s"),
    "expires": _expires,
    "spread": _spread,
}
#: What an entry may say of its times.
TIMING = tuple(_READERS)
