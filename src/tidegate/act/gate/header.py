"""The header `tidegate` of a message: what of its guard is not the default, as a mapping; read from others with suspicion."""

from typing import Any

from tidegate.facts.gate import HEADER, Guard
from tidegate.facts.overlap import Overlap, Payload, Scope

#: Longer keys, ids and names are nobody's; `keys.py` makes shorter ones.
LONGEST = 300

_WORDS = {"overlap": Overlap, "payload": Payload, "scope": Scope}
_TEXTS = ("key", "firing", "entry")


def written(guard: Guard, exempt: str = "") -> dict[str, str]:
    """The header's value: empty where there is nothing to say. `exempt` keeps it from being dropped later."""
    said = {name: text for name in _TEXTS if (text := getattr(guard, name))}
    if exempt:
        said["exempt"] = exempt
    if guard.key and guard.overlap is not Overlap.ALLOW_ALL:
        said["overlap"] = guard.overlap.value
        if guard.payload is not Payload.KEEP:
            said["payload"] = guard.payload.value
        if guard.scope is not Scope.MESSAGE:
            said["scope"] = guard.scope.value
    return said


def read(value: object) -> Guard | None:
    """The guard that a header's value says; None where it says none, or is not what `written` makes."""
    if type(value) is not dict:
        return None
    texts = {name: value.get(name, "") for name in _TEXTS}
    if not all(type(text) is str and len(text) <= LONGEST for text in texts.values()):
        return None
    try:
        words: dict[str, Any] = {name: kind(value[name]) for name, kind in _WORDS.items() if name in value}
    except (ValueError, TypeError):
        return None
    guard = Guard(**texts, **words)
    return guard if guard.key or (guard.firing and guard.entry) else None


def firing_in(value: object) -> tuple[str, str] | None:
    """(firing, entry) of the tree that a run belongs to, by the header of its message; 0.2 µs where there is none."""
    if type(value) is not dict:
        return None
    firing, entry = value.get("firing"), value.get("entry")
    if type(firing) is not str or type(entry) is not str or not firing or not entry:
        return None
    return (firing, entry) if len(firing) <= LONGEST and len(entry) <= LONGEST else None


def of(headers: object, name: str = HEADER) -> object:
    """One header among somebody's, whatever these are."""
    return headers.get(name) if isinstance(headers, dict) else None
