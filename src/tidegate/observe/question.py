"""Everything that a plan is made from, read from the broker."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.broker.client import Broker
from tidegate.broker.reads import info
from tidegate.document import iso
from tidegate.facts.measured import Measured
from tidegate.facts.planned import Question
from tidegate.facts.scheduled import Rules
from tidegate.facts.seen import AppSeen
from tidegate.facts.unknown import Maybe, Unknown
from tidegate.observe.cost import cost_between
from tidegate.observe.measured import read_measured
from tidegate.observe.snapshot import see_queues, see_server

#: What ran longer ago says little of today's code.
DEFAULT_SINCE_S = 3 * 3600.0

_NO_APP = Unknown("no application was named")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to plan for. `since_s` None: everything that is kept. `app` is what the application says of its schedule,
    `rules` what its settings say of it.
    """

    app: AppSeen | None = None
    rules: Maybe[Rules] = _NO_APP
    since_s: float | None = DEFAULT_SINCE_S
    target_utilisation: float = 0.8
    hosts_lost: int = 1
    wait_target_s: float | None = None
    weights: Mapping[str, float] = field(default_factory=dict)


def ask(broker: Broker, options: Options) -> Question:
    """The question; some twenty commands and one HGETALL per stretch of time that is kept."""
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
        entries=options.app.entries if options.app is not None else _NO_APP,
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
