"""What comes into a queue, by task, against what its workers can do: the demand of whole firings, not of messages.

Where a task fires others, messages are the wrong unit. A parent that waits behind its children's backlog fires late, so
the queue throttles its own arrivals and its depth swings up and down while the work in it only grows. So a firing is
counted when its root arrives, with all the messages it will become; the root itself, which only publishes, counts as
free.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import hypot
from statistics import median

from tidegate.facts.diagnosis import Rate
from tidegate.facts.message import Label
from tidegate.facts.seen import FlowSeen, Sighting, Step
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.firing import Firing, together
from tidegate.model.rates import (
    LEAST_DEPARTURES,
    LEAST_SATURATED_S,
    Flow,
    Tally,
    event_rate,
    regular_rate,
    while_waiting,
)

OVERLOADED = Unknown("the other tasks alone take all that the workers can do: no interval of this one is safe")


@dataclass(frozen=True, slots=True)
class Load:
    """Arrivals by task and the capacity, in messages per second; roots whose firings fill this queue count in neither.

    `firings` holds, by root, the part of each firing that comes here; `fires` how often the root fires, wherever it is
    queued itself; `plain` what comes by itself, neither a root nor fired. `capacity` is unknown where the workers keep up.
    """

    arrivals: Mapping[str, Rate]
    departures: Mapping[str, Rate]
    capacity: Maybe[Rate]
    plain: Mapping[str, Rate] = field(default_factory=dict)
    firings: Mapping[str, Firing] = field(default_factory=dict)
    fires: Mapping[str, Rate] = field(default_factory=dict)
    #: When firings began in the window, in seconds of the look's clock.
    fired_at_s: Sequence[float] = ()

    def fired_by(self, task: str) -> str | None:
        """The task whose firings bring this one, where that was seen."""
        return next((root for root, firing in self.firings.items() if task in firing.by_task and root != task), None)

    def _demands(self) -> dict[str, Rate]:
        """Messages per second that each plain task and each root brings."""
        brought = {root: _times(self.fires[root], firing.children) for root, firing in self.firings.items()}
        return {**self.plain, **brought}

    @property
    def demand(self) -> Rate:
        """Messages per second that the workers would have to take to keep up with every firing."""
        parts = self._demands().values()
        return Rate(per_s=sum(p.per_s for p in parts), error_per_s=hypot(*(p.error_per_s for p in parts)))

    def factor(self) -> Maybe[float]:
        """How many times today's workers the demand needs."""
        if not known(self.capacity):
            return self.capacity
        return (
            self.demand.per_s / self.capacity.per_s if self.capacity.per_s > 0 else Unknown("nothing leaves the queue")
        )

    def interval(self, task: str, utilisation: float) -> Maybe[float]:
        """Seconds between messages of the task at which the workers are used to that degree.

        With capacity C and demand a_k of every other task: 1/(u·C − Σ a_k) for a plain message, n/(u·C − Σ a_k) for the
        root of a firing of n. From outside every message has to be taken to cost the same; the measured run times
        of the probe lift that.
        """
        if not known(self.capacity):
            return self.capacity
        firing, root = self.firings.get(task), self.fired_by(task)
        others = sum(rate.per_s for name, rate in self._demands().items() if name not in (task, root))
        room = utilisation * self.capacity.per_s - others
        return (firing.children if firing else 1.0) / room if room > 0 else OVERLOADED

    def surplus(self) -> Rate | None:
        """Demand beyond capacity in messages per second, with its error; None where either is unknown."""
        if not known(self.capacity):
            return None
        demand = self.demand
        error = hypot(demand.error_per_s, self.capacity.error_per_s)
        return Rate(per_s=demand.per_s - self.capacity.per_s, error_per_s=error)


def _times(rate: Rate, factor: float) -> Rate:
    return Rate(per_s=rate.per_s * factor, error_per_s=rate.error_per_s * factor)


def loads(flows: Mapping[str, tuple[FlowSeen, Flow]], parts: Mapping[str, Sequence[Firing]]) -> dict[str, Load]:
    """The load of every queue in the window; a firing's root may be queued elsewhere than its children.

    `parts` are the firings by queue, as far as they came there.
    """
    seen = [flow for flow, _ in flows.values()]
    firings = together(parts.values())
    resolution_s = max((median(s.until_s - s.since_s for s in flow.steps) for flow in seen if flow.steps), default=0.0)
    times = {firing.root: _fired_at(firing, seen, resolution_s) for firing in firings if firing.root is not None}
    return {name: _load(flow, rates, parts.get(name, ()), times) for name, (flow, rates) in flows.items()}


def _load(seen: FlowSeen, flow: Flow, firings: Sequence[Firing], times: Mapping[str, Sequence[float]]) -> Load:
    here, fires = {}, {}
    for firing in firings:
        rate = _firing_rate(times.get(firing.root or "", ()), seen.steps)
        if firing.root is not None and rate is not None:
            here[firing.root], fires[firing.root] = firing, rate
    fired = {task for firing in here.values() for task in firing.by_task}
    came = (seen.arrived, seen.arrivals_sampled_from, seen.steps, flow.arrival)
    return Load(
        arrivals=_by_task(*came),
        departures=_by_task(seen.departed, seen.departures_sampled_from, seen.steps, flow.service),
        capacity=_capacity(seen, flow, set(here)),
        plain={task: rate for task, rate in _by_task(*came, fired).items() if task not in here},
        firings=here,
        fires=fires,
        fired_at_s=sorted({at for root in here for at in times[root]}),
    )


def _fired_at(firing: Firing, flows: Sequence[FlowSeen], resolution_s: float) -> list[float]:
    """When the firing's root arrived; where most were taken too fast to be seen, when the first of its children did.

    Roots that keep an interval are believed even where some were missed: behind a backlog, children come late.
    """
    sightings = [sighting for flow in flows for sighting in flow.arrived]
    roots = sorted(sighting.at_s for sighting in sightings if _task(sighting) == firing.root)
    first: dict[str, float] = {}
    for sighting in sightings:
        label = sighting.label
        if isinstance(label, Label) and label.is_child and label.root_id and label.task in firing.by_task:
            first[label.root_id] = min(first.get(label.root_id, sighting.at_s), sighting.at_s)
    enough = len(roots) >= len(first) or regular_rate(roots, resolution_s) is not None
    return roots if enough else sorted(first.values())


def _firing_rate(times: Sequence[float], steps: Sequence[Step]) -> Rate | None:
    if not steps or not times:
        return None
    at = Counter(times)
    regular = regular_rate(times, median(step.until_s - step.since_s for step in steps))
    return regular or event_rate([Tally(step.since_s, step.until_s, at[step.until_s]) for step in steps])


def _by_task(
    sightings: Sequence[Sighting], counted: int, steps: Sequence[Step], whole: Maybe[Rate], fired: Collection[str] = ()
) -> dict[str, Rate]:
    """The rate of every task, children of `fired` tasks left out: counted where all was read, else its share of the whole."""
    chosen = [sighting for sighting in sightings if _task(sighting) and not _is_fired(sighting, fired)]
    names = Counter(map(_task, chosen))
    if len(sightings) == counted or not known(whole):
        return {name: event_rate(_tallies(chosen, steps, name)) for name in names if name}
    shares = {name: count / len(sightings) for name, count in names.items() if name}
    return {name: replace(_times(whole, share), basis="sampled") for name, share in shares.items()}


def _task(sighting: Sighting) -> str | None:
    return sighting.label.task if isinstance(sighting.label, Label) else None


def _is_fired(sighting: Sighting, fired: Collection[str]) -> bool:
    return isinstance(sighting.label, Label) and sighting.label.is_child and sighting.label.task in fired


def _tallies(sightings: Iterable[Sighting], steps: Sequence[Step], task: str) -> list[Tally]:
    at = Counter(sighting.at_s for sighting in sightings if _task(sighting) == task)
    return [Tally(step.since_s, step.until_s, at[step.until_s]) for step in steps]


def _capacity(seen: FlowSeen, flow: Flow, roots: set[str]) -> Maybe[Rate]:
    """The capacity in messages that are no roots: what a root costs is spent on its children's behalf."""
    waiting = sum(step.departures for step in seen.steps if step.exact and step.waiting)
    if not roots or not known(flow.capacity) or len(seen.departed) < waiting:
        return flow.capacity
    own = Counter(sighting.at_s for sighting in seen.departed if _task(sighting) not in roots)
    tallies = while_waiting(seen.steps, own)
    enough = sum(tally.count for tally in tallies) >= LEAST_DEPARTURES and tallies[-1].until_s >= LEAST_SATURATED_S
    return event_rate(tallies) if enough else flow.capacity
