"""Pools of a fluid: how many slots live, what they can do together, and how many of them a given work keeps busy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.facts.scenario import HostGroup, Scenario
from tidegate.model.simulate.hosts import contends
from tidegate.model.simulate.pace import slowed, stretched

_HALVINGS = 30
#: Of a host with more slots than this the rest is taken for one.
_MOST_STATES = 300


@dataclass(slots=True)
class Group:
    """The hosts of one group that live, with the share of CPU time of what they run."""

    spec: HostGroup
    alive: int
    cpu: float

    @property
    def slots(self) -> int:
        """Those of the hosts that live."""
        return self.alive * self.spec.slots

    def longer(self, busy: float) -> float:
        """How many times longer a run takes with so many busy slots on its host."""
        if not contends(self.spec) or busy <= 0:
            return 1.0
        if self.spec.slowdown:
            return slowed(self.spec.slowdown, busy)
        return stretched(self.cpu, busy * self.cpu, self.spec.cores)

    def can_do(self) -> float:
        """Seconds of undisturbed work a second, with every slot busy."""
        return self.slots / self.longer(self.spec.slots)

    def busy(self, work: float) -> float:
        """Slots that so much undisturbed work a second keeps busy."""
        if not self.alive:
            return 0.0
        if not contends(self.spec):
            return min(work, float(self.slots))
        each = work / self.alive
        return self.alive * (self._on_the_curve(each) if self.spec.slowdown else self._on_the_cores(each))

    def _on_the_curve(self, work: float) -> float:
        """The least number of busy slots of one host that does so much work."""
        low, high = 0.0, float(self.spec.slots)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if middle / self.longer(middle) < work:
                low = middle
            else:
                high = middle
        return high

    def _on_the_cores(self, work: float) -> float:
        """Of one host on average: chance brings runs together, and they slow one another down before the cores are full.

        What computes is taken for M/M/cores with processor sharing, whose number of runs is that of M/M/c; beyond the
        slots it waits in the queue.
        """
        computes, elsewhere = work * self.cpu, work * (1 - self.cpu)
        room, cores = self.spec.slots - elsewhere, self.spec.cores
        if computes >= cores or room <= computes:
            return float(self.spec.slots)
        weight, total, present = 1.0, 1.0, 0.0
        for number in range(1, min(_MOST_STATES, max(self.spec.slots, int(cores)) + 1)):
            weight *= computes / min(number, cores)
            total += weight
            present += weight * min(number, room)
        rest = weight * (computes / cores) / (1 - computes / cores)
        return elsewhere + (present + rest * room) / (total + rest)

    def holds(self, running_late: bool) -> float:
        """Messages that its hosts hold beyond those that run, at most."""
        spec = self.spec
        if spec.disable_prefetch:
            return 0.0
        if not spec.prefetch:
            return float("inf") if self.alive else 0.0
        return self.alive * spec.slots * max(0, spec.prefetch - running_late)


@dataclass(slots=True)
class FluidPool:
    """The groups that consume one set of queues; `work` is what they did a second in the last step."""

    queues: tuple[str, ...]
    groups: list[Group] = field(default_factory=list)
    work: float = 0.0
    #: Σ over time of busy and of living slots, in the measured part.
    busy_s: float = 0.0
    living_s: float = 0.0

    @property
    def slots(self) -> int:
        """Slots that live."""
        return sum(group.slots for group in self.groups)

    def can_do(self) -> float:
        """Seconds of undisturbed work a second."""
        return sum(group.can_do() for group in self.groups)

    def busy(self) -> float:
        """Slots that are busy, if the groups share the work by what they can do."""
        able = self.can_do()
        return sum(group.busy(self.work * group.can_do() / able) for group in self.groups) if able else 0.0

    def longer(self) -> float:
        """How many times longer a run takes at present."""
        busy = self.busy()
        return busy / self.work if self.work > 0 and busy > 0 else 1.0


def pools_of(scenario: Scenario, cpu: Mapping[str, float]) -> list[FluidPool]:
    """Every pool of the scenario; `cpu` is the share of CPU time by queue."""
    pools: dict[frozenset[str], FluidPool] = {}
    for spec in scenario.hosts:
        pool = pools.setdefault(frozenset(spec.queues), FluidPool(spec.queues))
        shares = [cpu[queue] for queue in spec.queues if queue in cpu]
        pool.groups.append(Group(spec, spec.count, sum(shares) / len(shares) if shares else 1.0))
    return list(pools.values())


def serving(pools: Sequence[FluidPool], queue: str) -> list[FluidPool]:
    """The pools that consume the queue."""
    return [pool for pool in pools if queue in pool.queues]
