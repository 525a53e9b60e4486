"""Tells what the gate did to a message, to whoever listens; a listener that fails never reaches the publisher."""

import logging
from typing import Any

from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

from tidegate.act.gate.after import settle, tell
from tidegate.act.gate.letters import Letter
from tidegate.facts.gate import Outcome

log = logging.getLogger("tidegate.gate")


def of_message(letter: Letter, outcome: Outcome) -> None:
    """The message that came was not simply let in."""
    _safely(outcome, letter, letter.read().get("headers") or {}, _why(letter, outcome))


def of_dropped(letter: Letter, payload: bytes | str) -> None:
    """One that waited was dropped to make room."""
    try:
        headers = loads(bytes_to_str(payload)).get("headers") or {}
    except Exception:
        log.warning("a dropped message can't be read", exc_info=True)
        return
    _safely(Outcome.DROPPED_HEAD, letter, headers, "drop-head")


def of_result_given_out(letter: Letter, pending: str) -> None:
    """Another run stands in for a message whose result its caller has already: nobody must wait for that for ever."""
    headers = letter.read().get("headers") or {}
    id_ = headers.get("id")
    if not isinstance(id_, str) or id_ == pending or headers.get("ignore_result"):
        return
    try:
        settle(letter.terms.app, id_, f"not published, for {pending} is pending")
    except Exception:
        log.warning("could not set the result of a message that was skipped", exc_info=True)


def _why(letter: Letter, outcome: Outcome) -> str:
    if outcome in (Outcome.OVERLAP_SKIPPED, Outcome.REPLACED):
        return letter.guard.overlap.value
    if outcome is Outcome.MEMORY_FULL:
        return "memory"
    return letter.bound.overflow.value if letter.bound is not None else ""


def _safely(outcome: Outcome, letter: Letter, headers: dict[str, Any], why: str) -> None:
    try:
        tell(outcome, letter.queue, headers, why, letter.terms.app)
    except Exception:
        log.warning("could not tell of a message that was %s", outcome.value, exc_info=True)
