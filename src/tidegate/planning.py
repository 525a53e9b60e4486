"""Read what the probe measured and plan in one call: what `tidegate plan` does, for programs."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from tidegate import __version__
from tidegate.broker.address import Address, parse_address
from tidegate.broker.client import Broker, connect
from tidegate.errors import UsageError
from tidegate.facts.planned import Plan, Question
from tidegate.facts.scheduled import Rules
from tidegate.facts.unknown import Maybe, known
from tidegate.model.plan.answer import make_plan
from tidegate.model.scheduled import as_in_force
from tidegate.observe.beat import see_ours
from tidegate.observe.question import DEFAULT_SINCE_S, Options, ask

__all__ = ["DEFAULT_SINCE_S", "Options", "ask", "plan", "plan_at"]


def plan(url: str, *, transport_options: Mapping[str, Any] | None = None, timeout_s: float = 5.0) -> Plan:
    """The plan from what probes left at that URL; writes nothing. Raises CannotLook where the broker can't be seen.

    Costs some twenty commands and one HGETALL per stretch of time that is kept.
    """
    return plan_at(parse_address(url, transport_options), Options(), timeout_s=timeout_s)


def plan_at(address: Address, options: Options, *, timeout_s: float = 5.0) -> Plan:
    """The same for an address already parsed, with every option; UsageError where a weight names no entry."""
    with connect(address, timeout_s) as broker:
        question = _as_in_force(broker, ask(broker, options), options.rules)
    _weights_must_exist(question)
    return make_plan(question, __version__)


def _as_in_force(broker: Broker, question: Question, rules: Maybe[Rules]) -> Question:
    """With the intervals that are ordered, or follow the workers, where a beat of ours runs the schedule."""
    if not known(rules) or not known(question.entries):
        return question
    beat = see_ours(broker, rules, [entry.name for entry in question.entries])
    if not known(beat) or beat is None:
        return question
    return replace(question, entries=as_in_force(question.entries, rules, beat))


def _weights_must_exist(question: Question) -> None:
    names = _entries(question)
    for name in question.weights:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(names)[:5]) or 'none'}"
            raise UsageError(f"no periodic entry {name!r} to give a weight: {hint}")


def _entries(question: Question) -> set[str]:
    scheduled: Iterable[str] = (entry.name for entry in question.entries) if known(question.entries) else ()
    return {key.entry for slice_ in question.measured.slices for key in slice_.runs if key.entry} | set(scheduled)
