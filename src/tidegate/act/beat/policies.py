"""What holds for an entry beside its schedule: by the settings, and by what the entry itself says.

Later wins, field by field: `tidegate_entries["*"]`, `tidegate_entries[name]`, `options["tidegate"]`,
`options["headers"]["tidegate"]` (a database row has headers, and no other options), the options themselves.
"""

from collections.abc import Mapping
from typing import Any

from tidegate.act.gate.bounds import ANY
from tidegate.act.gate.overlaps import NOTHING, Said, said_by_entry
from tidegate.act.gate.timing import TIMING, refuse_empty_range, timing_in
from tidegate.errors import UsageError
from tidegate.facts.beat import EntryPolicy
from tidegate.facts.gate import HEADER

_OURS = "tidegate"
#: Flat in the options; `expires` there is Celery's own.
_FLAT = frozenset({"overlap", "payload", "scope", "overlap_key", *TIMING} - {"expires"})
#: Where an entry may say something of ours, or what Celery would take otherwise than it is meant.
_SPEAKING = _FLAT | {_OURS, "headers", "expires"}
_PLAIN = EntryPolicy()
_PLACE = "_tidegate_entries"
_LONGEST_KEY = 300


def policy_of(app: Any, entry: Any) -> EntryPolicy:
    """What holds for the entry; raises UsageError where anything that speaks of it is wrong.

    0.5 µs for an entry of which nothing is said.
    """
    by_settings = _by_settings(app)
    said = _said(entry) if not _SPEAKING.isdisjoint(entry.options or ()) else ()
    if not by_settings and not said:
        return _PLAIN
    places = [_of_settings(by_settings, ANY), _of_settings(by_settings, str(entry.name)), *map(_read, said)]
    found: dict[str, Any] = {}
    overlap = NOTHING
    for timing, one in places:
        found.update(timing)
        overlap = overlap.under(one)
    refuse_empty_range(_named(entry), found)
    return EntryPolicy(**found, overlap=overlap.overlap)


def trouble_of(app: Any, entry: Any) -> str:
    """Why its policy does not hold, in a sentence; empty where it does."""
    try:
        policy_of(app, entry)
    except UsageError as error:
        return str(error)
    return ""


def options_of(entry: Any, *, gated: bool) -> Mapping[str, Any]:
    """Its options for `apply_async`: nothing of ours, but what the gate takes where it is on; never raises.

    0.2 µs for an entry that says nothing of ours. Where what it says is wrong it is left out altogether.
    """
    options: Mapping[str, Any] = entry.options or {}
    if _SPEAKING.isdisjoint(options):
        return options
    kept = {name: value for name, value in options.items() if name not in _FLAT and name != _OURS}
    headers = kept.get("headers")
    if isinstance(headers, Mapping) and HEADER in headers:
        kept["headers"] = {name: value for name, value in headers.items() if name != HEADER}
    if "expires" in kept and not kept["expires"]:
        # Celery's 0 would let it expire at once.
        del kept["expires"]
    return {**kept, **_for_the_gate(entry)} if gated else kept


def _for_the_gate(entry: Any) -> dict[str, Any]:
    """What the entry itself says of overlap, as options of a call; its runs are told apart by its name."""
    overlap = NOTHING
    try:
        for place in _said(entry):
            overlap = overlap.under(_read(place)[1])
    except UsageError:
        return {}
    given = {"overlap": overlap.overlap, "payload": overlap.payload, "scope": overlap.scope}
    said: dict[str, Any] = {name: word.value for name, word in given.items() if word is not None}
    if overlap.key is not None:
        said["overlap_key"] = overlap.key
    elif overlap.overlap is not None:
        said["overlap_key"] = f"entry {entry.name}"[:_LONGEST_KEY].replace("{", "(").replace("}", ")")
    return said


def _said(entry: Any) -> list[tuple[str, Any]]:
    """(where, what) the entry itself says, the least first."""
    options = entry.options
    where, places = _named(entry), []
    if options.get(_OURS) is not None:
        places.append((f"{where}, options['tidegate']", options[_OURS]))
    headers = options.get("headers")
    if isinstance(headers, Mapping) and headers.get(HEADER) is not None:
        places.append((f"{where}, headers['tidegate']", headers[HEADER]))
    flat = {"key" if name == "overlap_key" else name: options[name] for name in _FLAT if options.get(name) is not None}
    if flat:
        places.append((f"{where}, options", flat))
    return places


def _read(place: tuple[str, Any]) -> tuple[dict[str, Any], Said]:
    where, fields = place
    if isinstance(fields, Mapping) and "overlap_key" in fields:
        fields = {"key" if name == "overlap_key" else name: value for name, value in fields.items()}
    said = said_by_entry(where, fields)
    return timing_in(where, fields), said


def _named(entry: Any) -> str:
    return f"entry {entry.name!r}"


def _by_settings(app: Any) -> dict[str, Any]:
    """`tidegate_entries`, read once for as long as it is the same table: by name, with the error of a wrong one."""
    table = app.conf.get("tidegate_entries")
    if not table:
        return {}
    known = app.__dict__.get(_PLACE)
    if known is None or known[0] is not table:
        known = app.__dict__[_PLACE] = (table, _read_all(table))
    return known[1]  # type: ignore[no-any-return]


def _read_all(table: object) -> dict[str, Any]:
    if not isinstance(table, Mapping):
        return {ANY: UsageError(f"expected tidegate_entries to be a mapping of names to mappings, got {table!r}")}
    found: dict[str, Any] = {}
    for name, fields in table.items():
        try:
            found[str(name)] = _read((f"tidegate_entries[{name!r}]", fields))
        except UsageError as error:
            found[str(name)] = error
    return found


def _of_settings(known: Mapping[str, Any], name: str) -> tuple[dict[str, Any], Said]:
    found = known.get(name)
    if isinstance(found, UsageError):
        raise found
    return found if found is not None else ({}, NOTHING)
