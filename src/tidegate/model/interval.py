"""Per task: how much of a queue it makes, and the interval between its messages that the workers could sustain."""

from collections.abc import Mapping

from tidegate.facts.diagnosis import Rate, TaskReport
from tidegate.facts.seen import CensusSeen
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.load import Load
from tidegate.model.rates import Flow

TARGET_UTILISATION = 0.8
_MOST_TASKS = 50
_NONE = Rate(per_s=0.0, error_per_s=0.0)


def task_reports(
    queue: str, flow: Flow, census: CensusSeen | None, loads: Mapping[str, Load]
) -> tuple[TaskReport, ...]:
    """One row for every task that waits in the queue, came or left; the one that makes most of it first.

    What a root may do is decided by the queue that its firings fill.
    """
    load = loads[queue]
    waiting = {row.name: row.share for row in census.by_task} if census else {}
    names = {*waiting, *load.arrivals, *load.departures}
    ordered = sorted(names, key=lambda n: (-waiting.get(n, 0.0), -load.arrivals.get(n, _NONE).per_s, n))[:_MOST_TASKS]
    shares = waiting if census else None
    return tuple(_report(name, queue, flow, load, _filled_by(name, loads) or load, shares) for name in ordered)


def _filled_by(root: str, loads: Mapping[str, Load]) -> Load | None:
    """The load of the queue that the root's firings fill most; None where it fires nothing."""
    filled = [load for load in loads.values() if root in load.firings]
    return max(filled, key=lambda load: load.firings[root].children, default=None)


def _report(
    name: str, queue: str, flow: Flow, load: Load, binding: Load, shares: Mapping[str, float] | None
) -> TaskReport:
    firing = binding.firings.get(name)
    uncounted = Unknown("its arrivals could not be counted")
    counted = known(flow.arrival) or firing is not None
    return TaskReport(
        name=name,
        queue=queue,
        depth_share=shares.get(name, 0.0) if shares is not None else Unknown("no message waits"),
        arrival_per_s=_rate(flow.arrival, load.arrivals.get(name, _NONE)),
        service_per_s=_rate(flow.service, load.departures.get(name, _NONE)),
        edge_interval_s=binding.interval(name, 1.0) if counted else uncounted,
        min_safe_interval_s=binding.interval(name, TARGET_UTILISATION) if counted else uncounted,
        capacity_factor=binding.factor() if counted else uncounted,
        messages_per_firing=firing.children + 1 if firing else None,
        fires=max(firing.by_task, key=lambda task: firing.by_task[task]) if firing else None,
        fired_by=load.fired_by(name),
    )


def _rate(whole: Maybe[Rate], own: Rate) -> Maybe[float]:
    return own.per_s if known(whole) else whole
