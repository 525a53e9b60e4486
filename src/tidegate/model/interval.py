"""Per task: how much of a queue it makes, and the interval between its messages that the workers could sustain.

With capacity C (what leaves while messages wait), arrivals a_k of every task and the equal cost per message that an
outside look has to assume, task i may send at most u·C − Σ_{k≠i} a_k per second: u = 1 gives the edge, the target
utilisation the safe rate. Where a task fires others, its firing of 1 + n messages counts as one piece of work.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidegate.facts.diagnosis import TaskReport
from tidegate.facts.message import Label, Undecodable
from tidegate.facts.seen import CensusSeen, FlowSeen
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.firing import Firing
from tidegate.model.rates import Flow

TARGET_UTILISATION = 0.8
_MOST_TASKS = 50
_OVERLOADED = Unknown("the other tasks alone take all that the workers can do: no interval of this one is safe")


@dataclass(frozen=True, slots=True)
class Load:
    """What comes into one queue, by task, and what its workers can take; messages per second."""

    arrivals: Mapping[str, float]
    capacity: Maybe[float]
    firings: Mapping[str, Firing]

    @property
    def demand(self) -> float:
        """Messages per second the workers would have to take to keep up with every firing.

        Not the same as arrivals: where parents wait behind their children's backlog, they fire late, and the queue
        throttles its own arrivals.
        """
        fired = {task for firing in self.firings.values() for task in firing.by_task}
        direct = sum(rate for task, rate in self.arrivals.items() if task not in fired or task in self.firings)
        return direct + sum(self.arrivals.get(root, 0.0) * firing.children for root, firing in self.firings.items())

    def factor(self) -> Maybe[float]:
        """How many times today's workers the demand needs."""
        if not known(self.capacity):
            return self.capacity
        return self.demand / self.capacity if self.capacity > 0 else Unknown("nothing leaves the queue")

    def interval(self, task: str, utilisation: float) -> Maybe[float]:
        """Seconds between messages of the task at which the workers are used to that degree."""
        if not known(self.capacity):
            return self.capacity
        firing = self.firings.get(task)
        work = 1.0 + (firing.children if firing else 0.0)
        own = {task, *(firing.by_task if firing else ())}
        room = utilisation * self.capacity - sum(rate for name, rate in self.arrivals.items() if name not in own)
        return work / room if room > 0 else _OVERLOADED


def load(seen: FlowSeen, flow: Flow, firings: Sequence[Firing]) -> Load:
    """The load of one queue, from what arrived in the window; firings whose root arrived here."""
    shares = _shares(seen.arrived)
    rate = flow.arrival.per_s if known(flow.arrival) else 0.0
    here = {f.root: f for f in firings if f.root in shares and any(task in shares for task in f.by_task)}
    return Load(
        arrivals={task: share * rate for task, share in shares.items()},
        capacity=flow.capacity.per_s if known(flow.capacity) else flow.capacity,
        firings={root: firing for root, firing in here.items() if root is not None},
    )


def _shares(labels: Sequence[Label | Undecodable]) -> dict[str, float]:
    counts = Counter(label.task for label in labels if isinstance(label, Label) and label.task)
    return {task: count / len(labels) for task, count in counts.items()}


def task_reports(
    queue: str, seen: FlowSeen, flow: Flow, census: CensusSeen | None, queue_load: Load
) -> tuple[TaskReport, ...]:
    """One row for every task that waits in the queue, came or left; the one that makes most of it first."""
    left = _shares(seen.departed)
    waiting = {row.name: row.share for row in census.by_task} if census else {}
    weight = {
        name: (waiting.get(name, 0.0), queue_load.arrivals.get(name, 0.0))
        for name in {*waiting, *left, *queue_load.arrivals}
    }
    ordered = sorted(weight, key=lambda name: (*(-part for part in weight[name]), name))[:_MOST_TASKS]
    return tuple(_report(name, queue, flow, left, waiting if census else None, queue_load) for name in ordered)


def _report(
    name: str, queue: str, flow: Flow, left: Mapping[str, float], waiting: Mapping[str, float] | None, queue_load: Load
) -> TaskReport:
    firing = queue_load.firings.get(name)
    by = next((root for root, f in queue_load.firings.items() if name in f.by_task and root != name), None)
    arrives = known(flow.arrival)
    edge = queue_load.interval(name, 1.0) if arrives else Unknown("its arrivals could not be counted")
    return TaskReport(
        name=name,
        queue=queue,
        depth_share=waiting.get(name, 0.0) if waiting is not None else Unknown("no message waits"),
        arrival_per_s=queue_load.arrivals.get(name, 0.0) if known(flow.arrival) else flow.arrival,
        service_per_s=left.get(name, 0.0) * flow.service.per_s if known(flow.service) else flow.service,
        edge_interval_s=edge,
        min_safe_interval_s=queue_load.interval(name, TARGET_UTILISATION) if arrives else edge,
        capacity_factor=queue_load.factor() if arrives else edge,
        messages_per_firing=firing.children + 1 if firing else None,
        fires=max(firing.by_task, key=lambda task: firing.by_task[task]) if firing else None,
        fired_by=by,
    )
