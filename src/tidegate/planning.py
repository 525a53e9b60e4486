"""Read what the probe measured and plan in one call: what `tidegate plan` does, for programs."""

import difflib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tidegate import __version__
from tidegate.broker.address import Address, parse_address
from tidegate.broker.client import Broker, connect
from tidegate.broker.reads import info
from tidegate.document import iso
from tidegate.errors import UsageError
from tidegate.facts.measured import Measured
from tidegate.facts.planned import Plan, Question
from tidegate.facts.seen import AppSeen
from tidegate.facts.unknown import Unknown, known
from tidegate.model.plan.answer import make_plan
from tidegate.observe.cost import cost_between
from tidegate.observe.measured import read_measured
from tidegate.observe.snapshot import see_queues, see_server

#: What ran longer ago says little of today's code.
DEFAULT_SINCE_S = 3 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to plan for. `since_s` None: everything that is kept. `app` is what the application says of its schedule."""

    app: AppSeen | None = None
    since_s: float | None = DEFAULT_SINCE_S
    target_utilisation: float = 0.8
    hosts_lost: int = 1
    wait_target_s: float | None = None
    weights: Mapping[str, float] = field(default_factory=dict)


def plan(url: str, *, transport_options: Mapping[str, Any] | None = None, timeout_s: float = 5.0) -> Plan:
    """The plan from what probes left at that URL; writes nothing. Raises CannotLook where the broker can't be seen.

    Costs some twenty commands and one HGETALL per stretch of time that is kept.
    """
    return plan_at(parse_address(url, transport_options), Options(), timeout_s=timeout_s)


def plan_at(address: Address, options: Options, *, timeout_s: float = 5.0) -> Plan:
    """The same for an address already parsed, with every option; UsageError where a weight names no entry."""
    with connect(address, timeout_s) as broker:
        question = ask(broker, options)
    _weights_must_exist(question)
    return make_plan(question, __version__)


def ask(broker: Broker, options: Options) -> Question:
    """Everything that a plan is made from, read from the broker."""
    began, at = time.monotonic(), time.time()
    first = info(broker)
    measured = read_measured(broker, options.since_s)
    queues = see_queues(broker, _queues(measured, options.app))
    end = info(broker)
    own = options.app.visibility_timeout_s if options.app is not None else None
    return Question(
        at=iso(at),
        url=broker.address.shown,
        measured=measured,
        entries=options.app.entries if options.app is not None else Unknown("no application was named"),
        queues=queues,
        server=see_server(broker, end),
        target_utilisation=options.target_utilisation,
        hosts_lost=options.hosts_lost,
        wait_target_s=options.wait_target_s,
        weights=options.weights,
        visibility_timeout_s=own or broker.address.visibility_timeout_s,
        cost=cost_between(broker, first, end, time.monotonic() - began),
    )


def _queues(measured: Measured, app: AppSeen | None) -> list[str]:
    """The queues that matter to a plan: those consumed, those measured, and those the application declares."""
    consumed = [queue for worker in measured.workers for queue in worker.queues]
    ran = [key.queue for slice_ in measured.slices for key in slice_.runs if key.queue]
    return list(dict.fromkeys([*consumed, *ran, *(app.queues if app is not None else ())]))


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
