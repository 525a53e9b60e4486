"""What a plan says: the fields of `tidegate plan --json` (DESIGN §7), in their order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.facts.measured import Measured
from tidegate.facts.seen import NOT_LOOKED, Cost, EntrySeen, QueueSeen, ServerSeen
from tidegate.facts.unknown import Maybe


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a plan is made from. `entries` is the application's schedule where one was named: without it the intervals
    are those that were measured. `weights` says how much an entry's timeliness counts (1.0 where not named).
    """

    at: str
    url: str
    measured: Measured
    entries: Maybe[tuple[EntrySeen, ...]] = NOT_LOOKED
    queues: tuple[QueueSeen, ...] = ()
    server: ServerSeen | None = None
    target_utilisation: float = 0.8
    hosts_lost: int = 1
    wait_target_s: float | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    visibility_timeout_s: float = 3600.0
    cost: Cost = field(default_factory=lambda: Cost(commands=0, server_ms=0.0, elapsed_s=0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """An estimate with its 95 % interval; seconds where an interval or a duration is meant."""

    estimate: float
    low: float
    high: float

    def times(self, factor: float) -> "Range":
        """The same, scaled by a positive number."""
        return Range(estimate=self.estimate * factor, low=self.low * factor, high=self.high * factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """The workers that consume one set of queues.

    `effective_slots`: how many slots that do not slow one another down would do the same work. `needed_slots`: how
    many (of today's kind) the present load needs at the target utilisation, and for the wait target where one is given.
    """

    queues: tuple[str, ...]
    slots: int
    hosts: int
    utilisation: Maybe[float]
    effective_slots: Maybe[float]
    workers: tuple[str, ...] = ()
    cores: float = 0.0
    busy_share: Maybe[float] = NOT_LOOKED
    mean_wait_s: Maybe[float] = NOT_LOOKED
    needed_slots: Maybe[int] = NOT_LOOKED
    drain_s: Maybe[float | None] = NOT_LOOKED


@dataclass(frozen=True, slots=True, kw_only=True)
class HostsLost:
    """The same entry with so many of the largest hosts gone. `full_in_s` None: not at this rate."""

    lost: int
    slots: int
    min_safe_interval_s: Maybe[Range]
    edge_interval_s: Maybe[float]
    safe: Maybe[bool]
    growth_per_s: Maybe[float]
    full_in_s: Maybe[float | None]
    drain_s: Maybe[float | None] = NOT_LOOKED


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPlan:
    """One periodic entry. `work_s` is the slot time of a whole firing, with all that shares its root.

    `edge_interval_s` is the shortest interval at which the queue does not grow, `min_safe_interval_s` the shortest at
    the target utilisation, both with everything else as it is; `joint_interval_s` what this entry gets where all
    entries have to move together, `split_interval_s` its part of the best split under the weights. `growth_per_s` is
    in messages per second, at the present interval. `binding` says which workers or queues are the limit, `basis`
    what the numbers rest on.
    """

    entry: str
    task: str
    interval_s: Maybe[float]
    work_s: Maybe[float]
    work_s_error: Maybe[float]
    min_safe_interval_s: Maybe[Range]
    edge_interval_s: Maybe[float]
    edge_interval_low_s: Maybe[float]
    edge_interval_high_s: Maybe[float]
    freshest_interval_s: Maybe[float]
    safe: Maybe[bool]
    with_hosts_lost: tuple[HostsLost, ...]
    binding: str
    basis: str
    runs_per_firing: Maybe[float] = NOT_LOOKED
    growth_per_s: Maybe[float] = NOT_LOOKED
    full_in_s: Maybe[float | None] = NOT_LOOKED
    age_s: Maybe[float] = NOT_LOOKED
    freshest_interval_at_publish_s: Maybe[float] = NOT_LOOKED
    joint_interval_s: Maybe[float] = NOT_LOOKED
    split_interval_s: Maybe[float] = NOT_LOOKED
    firings: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskMeasured:
    """One task in one queue as the probe measured it; `load` is the slots it keeps busy on average."""

    task: str
    queue: str
    entry: str
    runs: int
    runs_per_s: Maybe[float]
    mean_s: Maybe[float]
    p50_s: Maybe[float]
    p95_s: Maybe[float]
    p99_s: Maybe[float]
    wait_p50_s: Maybe[float]
    wait_p95_s: Maybe[float]
    cpu_share: Maybe[float]
    load: Maybe[float]
    failed: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """What the plan rests on: how long and how much was measured, and what the data weighs in Redis."""

    workers: int
    runs: int
    covered_s: float
    bytes: Maybe[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What happens to one entry's queue at one interval, everything else as it is."""

    interval_s: float
    utilisation: float
    growth_per_s: float
    age_s: Maybe[float] = NOT_LOOKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Growth against interval, for the chart: today's hosts (`lost` 0), and with some lost."""

    entry: str
    lost: int
    points: Sequence[Point]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole answer of `tidegate plan`. `notes` are sentences about what was corrected or could not be told."""

    tidegate: str
    at: str
    url: str
    target_utilisation: float
    pools: tuple[PoolPlan, ...]
    entries: tuple[EntryPlan, ...]
    tasks: tuple[TaskMeasured, ...]
    notes: tuple[str, ...]
    probe: ProbeReport
    curves: tuple[Curve, ...]
    cost: Cost
