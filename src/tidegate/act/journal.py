"""The journal: what Tidegate did to messages, and why; a stream in Redis that keeps the newest 10,000 or a few more.

Key `tidegate:journal`, behind the `global_keyprefix`. An entry has the fields of `facts.journal.JournalEntry`, all of
them text; `at` is seconds by the server's clock. The gate's scripts write their entries in the round trip that decides
(broker/lua/words.lua), in the same form.
"""

from collections.abc import Iterable
from math import isfinite

from tidegate.broker.client import Broker, Command, Refusal, as_text
from tidegate.facts.journal import JournalEntry
from tidegate.facts.unknown import Maybe, Unknown

NAME = "tidegate:journal"
MOST_ENTRIES = 10_000

_FIELDS = ("act", "what", "queue", "task", "id", "key", "why", "who", "was", "now")
#: Of somebody else's entries no more is shown.
_LONGEST = 2000


def key_of(prefix: str) -> str:
    """The stream's key."""
    return prefix + NAME


def adding(prefix: str, entry: JournalEntry) -> Command:
    """The command that writes an entry; one command, O(1)."""
    return ("XADD", key_of(prefix), "MAXLEN", "~", MOST_ENTRIES, "*", *fields_of(entry))


def fields_of(entry: JournalEntry) -> list[str]:
    """Names and values as they are stored; what is empty is left out."""
    said = {name: getattr(entry, name) for name in _FIELDS}
    return ["at", f"{entry.at_s:.3f}", *(part for name, value in said.items() if value for part in (name, value))]


def entries_since(broker: Broker, since_s: float = 0.0, most: int = 1000) -> Maybe[tuple[JournalEntry, ...]]:
    """The newest entries that were written at `since_s` or later, oldest first; one command, `most` entries long.

    Unknown where the server refuses, or the key holds something else.
    """
    key = key_of(broker.layout.prefix)
    answer = broker.one("XREVRANGE", key, "+", f"{max(0, int(since_s * 1000))}-0", "COUNT", most)
    if isinstance(answer, Refusal):
        return Unknown(answer.why)
    return tuple(_entry(fields) for _, fields in reversed(answer or []) if fields)


def _entry(fields: Iterable[bytes]) -> JournalEntry:
    parts = [as_text(part)[:_LONGEST] for part in fields]
    said = dict(zip(parts[::2], parts[1::2], strict=False))
    try:
        at_s = float(said.get("at", ""))
    except ValueError:
        at_s = 0.0
    return JournalEntry(at_s=at_s if isfinite(at_s) else 0.0, **{name: said.get(name, "") for name in _FIELDS})
