"""Orders and asks as they stand in Redis: JSON without what is default; what nobody of ours wrote is read as None."""

import json
import math
from typing import Any

from tidegate.facts.beat import AUTO, LONGEST_S, SHORTEST_S, Ask, Order, Paced

_LONGEST_WHO = 200


def encode_order(order: Order) -> str:
    """The field of the hash `orders`; empty for an order that says nothing, which is not kept."""
    said: dict[str, Any] = {
        "every": order.every,
        "min": order.min_s,
        "max": order.max_s,
        "paused": order.paused or None,
    }
    kept = {name: value for name, value in said.items() if value is not None}
    return json.dumps({**kept, "who": order.who, "at": round(order.at_s, 3)}) if kept else ""


def decode_order(stored: bytes | str) -> Order | None:
    """None for what says no order: another form, or a number that no interval can be."""
    said = _object(stored)
    if said is None:
        return None
    every, least, most = said.get("every"), said.get("min"), said.get("max")
    fits = every in (None, AUTO) or _is_interval(every)
    if not fits or any(value is not None and not _is_interval(value) for value in (least, most)):
        return None
    if least is not None and most is not None and least > most:
        return None
    return Order(
        every=every if every == AUTO else seconds_of(every),
        min_s=seconds_of(least),
        max_s=seconds_of(most),
        paused=said.get("paused") is True,
        who=_text(said.get("who")),
        at_s=seconds_of(said.get("at")) or 0.0,
    )


def _is_interval(value: object) -> bool:
    seconds = seconds_of(value)
    return seconds is not None and SHORTEST_S <= seconds <= LONGEST_S


def encode_ask(ask: Ask) -> str:
    """The field of the hash `asks`."""
    return json.dumps({"id": ask.id, "who": ask.who, "at": round(ask.at_s, 3)})


def decode_ask(stored: bytes | str) -> Ask | None:
    """None for what names no run."""
    said = _object(stored)
    if said is None or not isinstance(said.get("id"), str) or not said["id"]:
        return None
    return Ask(id=said["id"], who=_text(said.get("who")), at_s=seconds_of(said.get("at")) or 0.0)


def encode_paced(paced: Paced) -> str:
    """The field of the hash `paced`."""
    return json.dumps({"interval_s": paced.interval_s, "why": paced.why, "basis": paced.basis})


def decode_paced(stored: bytes | str) -> Paced | None:
    """None for what gives no interval."""
    said = _object(stored) or {}
    interval_s = seconds_of(said.get("interval_s"))
    if interval_s is None:
        return None
    return Paced(interval_s=interval_s, why=_text(said.get("why")), basis=_text(said.get("basis")) or "declared")


def seconds_of(value: object) -> float | None:
    """A number above zero; None for anything else."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0
    return float(value) if fits else None  # type: ignore[arg-type]


def _object(stored: bytes | str) -> dict[str, Any] | None:
    try:
        decoded = json.loads(stored)
    except (ValueError, RecursionError):
        return None
    return decoded if isinstance(decoded, dict) else None


def _text(value: object) -> str:
    return value[:_LONGEST_WHO] if isinstance(value, str) else ""
