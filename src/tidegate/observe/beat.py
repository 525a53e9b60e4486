"""The schedule as it shows in Redis: who leads, what was decided last of every entry, what is ordered and asked for.

Read only and bounded: of `MOST_ENTRIES` entries, some sixty HMGET, in seven round trips.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from tidegate.broker.beat import key_of
from tidegate.broker.client import Broker, Refusal, as_text
from tidegate.broker.orders import decode_ask, decode_order, decode_paced
from tidegate.broker.reads import refused
from tidegate.facts.beat import BeatOutcome
from tidegate.facts.scheduled import BeatSeen, LastSeen, Leader, Rules
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.observe.measured import broker_time

Read = TypeVar("Read")
#: Of more entries nothing is read.
MOST_ENTRIES = 2000
_CHUNK = 500
_LONGEST_WHY = 500
_LATEST_S = 1e10


def see_beat(broker: Broker, name: str, entries: Sequence[str]) -> BeatSeen:
    """What the beats of that schedule left of these entries, the first `MOST_ENTRIES`; see the module for the cost."""
    asked = entries[:MOST_ENTRIES]
    at_s = broker_time(broker)
    lease, edition, seen = _said(broker, name)
    reader = _Reader(broker, name, asked)
    return BeatSeen(
        name=name,
        at_s=at_s,
        leader=_leader(lease) if known(lease) else lease,
        edition=(_whole(edition) or 0) if known(edition) else edition,
        edition_in_force=_whole(seen) if known(seen) else seen,
        cursors=reader.fields("cursors", _due),
        last=reader.fields("last", _last),
        counts=reader.counts(),
        orders=reader.fields("orders", decode_order),
        asks=reader.fields("asks", decode_ask),
        paced=reader.fields("paced", decode_paced),
        strange=reader.strange,
    )


def see_ours(broker: Broker, rules: Rules, entries: Sequence[str]) -> Maybe[BeatSeen | None]:
    """The same where a beat of ours runs the schedule, or should; None where neither is so, for one MGET."""
    if rules.ours is not True:
        leader, _ = in_force(broker, rules.name)
        if not known(leader):
            return leader
        if leader is None:
            return rules.ours if not known(rules.ours) else None
    return see_beat(broker, rules.name, entries)


def in_force(broker: Broker, name: str) -> tuple[Maybe[Leader | None], Maybe[int | None]]:
    """Who leads, and the edition of orders that it goes by; one MGET."""
    lease, _, seen = _said(broker, name)
    return _leader(lease) if known(lease) else lease, _whole(seen) if known(seen) else seen


def _said(broker: Broker, name: str) -> tuple[Maybe[bytes | None], Maybe[bytes | None], Maybe[bytes | None]]:
    reply = broker.one("MGET", *[key_of(broker.layout.prefix, name, what) for what in ("lease", "edition", "seen")])
    if isinstance(reply, Refusal):
        why = refused(broker, "MGET", reply)
        return why, why, why
    lease, edition, seen = reply
    return lease, edition, seen


class _Reader:
    """The hashes of one schedule, of these entries; `strange` counts fields that say nothing we know."""

    def __init__(self, broker: Broker, name: str, entries: Sequence[str]) -> None:
        self._broker, self._name, self._entries = broker, name, entries
        self.strange = 0

    def fields(self, what: str, read: Callable[[bytes], Read | None]) -> Maybe[dict[str, Read]]:
        """What a hash holds of each entry that it has."""
        values = self._values(what, self._entries)
        if not known(values):
            return values
        found = {entry: read(value) for entry, value in values.items()}
        self.strange += sum(value is None for value in found.values())
        return {entry: value for entry, value in found.items() if value is not None}

    def counts(self) -> Maybe[dict[str, dict[str, int]]]:
        """By entry and outcome; an entry that was never counted has none."""
        values = self._values("counts", [f"{outcome}|{entry}" for entry in self._entries for outcome in BeatOutcome])
        if not known(values):
            return values
        found: dict[str, dict[str, int]] = {}
        for field, value in values.items():
            outcome, _, entry = field.partition("|")
            if (many := _whole(value)) is not None:
                found.setdefault(entry, {})[outcome] = many
        return found

    def _values(self, what: str, names: Sequence[str]) -> Maybe[dict[str, bytes]]:
        key = key_of(self._broker.layout.prefix, self._name, what)
        parts = [names[at : at + _CHUNK] for at in range(0, len(names), _CHUNK)]
        replies = self._broker.ask(*[("HMGET", key, *part) for part in parts])
        refusal = next((reply for reply in replies if isinstance(reply, Refusal)), None)
        if refusal is not None:
            return self._refused(key, refusal)
        pairs = ((name, value) for part, reply in zip(parts, replies, strict=True) for name, value in _zip(part, reply))
        return {name: value for name, value in pairs if isinstance(value, bytes)}

    def _refused(self, key: str, refusal: Refusal) -> Unknown:
        if "WRONGTYPE" in refusal.why:
            return Unknown(f"{key} is no hash: something else writes there")
        return refused(self._broker, "HMGET", refusal)


def _zip(names: Sequence[str], reply: object) -> Iterable[tuple[str, object]]:
    return zip(names, reply, strict=False) if isinstance(reply, list) else ()


def _leader(lease: bytes | None) -> Leader | None:
    """None where nobody leads. Whoever holds the lease leads, also where it says nothing of itself that we know."""
    if lease is None:
        return None
    said = _object(lease)
    since_s = _moment(said.get("since"))
    return Leader(
        who=str(said.get("who") or "somebody")[:_LONGEST_WHY],
        since_s=Unknown("its lease does not say") if since_s is None else since_s,
    )


def _object(value: bytes) -> Mapping[str, Any]:
    try:
        decoded = json.loads(value)
    except (ValueError, RecursionError):
        return {}
    return decoded if isinstance(decoded, dict) else {}


def _due(value: bytes) -> float | None:
    micros = _whole(value)
    return None if micros is None else _moment(micros / 1e6)


def _last(value: bytes) -> LastSeen | None:
    outcome, _, rest = as_text(value).partition("|")
    at_ms, _, why = rest.partition("|")
    at_s = _moment(int(at_ms) / 1000) if at_ms.isdecimal() and len(at_ms) < 16 else None
    if outcome not in list(BeatOutcome) or at_s is None:
        return None
    return LastSeen(outcome=outcome, at_s=at_s, why=why[:_LONGEST_WHY])


def _whole(value: bytes | None) -> int | None:
    text = as_text(value) if value is not None else ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


def _moment(value: object) -> float | None:
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if fits and 0 <= value < _LATEST_S else None  # type: ignore[operator, arg-type]
