"""What a look means: the fields of the machine output (DESIGN §7), in their order."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Literal

from tidegate.facts.gated import GateReport
from tidegate.facts.journal import JournalEntry
from tidegate.facts.seen import NOT_LOOKED, Cost
from tidegate.facts.unknown import Maybe


class State(StrEnum):
    """How a queue moves; each value says what an operator would see."""

    OK = "ok"  # what comes is taken; nothing stays behind
    DRAINING = "draining"  # a backlog that shrinks: it clears by itself
    SURGE = "surge"  # it rose in a burst, not steadily
    UNKNOWN = "unknown"  # it could not be seen, or not long enough
    GROWING = "growing"  # more comes than leaves, all the time
    STALLED = "stalled"  # messages wait and none leaves


#: Least to most bad. What could not be seen ranks above a surge: it is never taken for fine.
BADNESS = {state: rank for rank, state in enumerate(State)}


class Level(IntEnum):
    """How much a finding matters, least first."""

    OK = 0
    INFO = 1
    WARNING = 2
    CRITICAL = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Messages per second with the half-width of its 95 % interval, and what it rests on."""

    per_s: float
    error_per_s: float
    basis: str = "counted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule says. `unknown` names what the rule could not see; such a finding is never OK."""

    rule: str
    level: Level
    sentence: str
    evidence: Mapping[str, object] = field(default_factory=dict)
    remedy: str | None = None
    unknown: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerReport:
    """The server in a line; the password in `url` is masked."""

    url: str
    server: Maybe[str]
    version: Maybe[str]
    used_memory_bytes: Maybe[int]
    maxmemory_bytes: Maybe[int]
    maxmemory_policy: Maybe[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueReport:
    """One queue: how deep, how fast, how old, and when it is empty (`drain_s` None: never at this rate).

    `aside` is how many messages of `depth` an act of relief has set aside.
    """

    name: str
    state: State
    depth: Maybe[int]
    by_priority: Mapping[int, int]
    unacked: Maybe[int]
    consumers: Maybe[int]
    arrival_per_s: Maybe[float]
    service_per_s: Maybe[float]
    growth_per_s: Maybe[float]
    arrival_error_per_s: Maybe[float]
    service_error_per_s: Maybe[float]
    oldest_age_s: Maybe[float]
    bytes: Maybe[int]
    bytes_per_message: Maybe[float]
    drain_s: Maybe[float | None]
    #: Messages per second that the firings bring in the end, and that the workers can do; unknown while they keep up.
    demand_per_s: Maybe[float] = NOT_LOOKED
    capacity_per_s: Maybe[float] = NOT_LOOKED
    state_reason: str = ""
    saturated: bool = False
    aside: Maybe[int] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReport:
    """One task in one queue.

    `edge_interval_s` is the smallest mean interval between this task's messages at which the queue stops growing;
    `min_safe_interval_s` the same at the target utilisation; `capacity_factor` how many times today's workers the
    present arrivals need. None (with a reason) where no interval would do.
    """

    name: str
    queue: str
    depth_share: Maybe[float]
    arrival_per_s: Maybe[float]
    service_per_s: Maybe[float]
    edge_interval_s: Maybe[float]
    min_safe_interval_s: Maybe[float]
    capacity_factor: Maybe[float]
    messages_per_firing: float | None = None
    fires: str | None = None
    fired_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryReport:
    """Where the memory goes and when it is full (`full_in_s` None: not at this rate)."""

    used_bytes: Maybe[int]
    limit_bytes: Maybe[int]
    limit_is: Literal["maxmemory", "system memory", "unknown"]
    by_family: Maybe[Mapping[str, int]]
    by_task: Mapping[str, int]
    growth_bytes_per_s: Maybe[float]
    full_in_s: Maybe[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """The whole answer of `tidegate doctor`."""

    tidegate: str
    at: str
    broker: BrokerReport
    verdict: State
    queues: tuple[QueueReport, ...]
    tasks: tuple[TaskReport, ...]
    memory: MemoryReport
    gate: GateReport
    findings: tuple[Finding, ...]
    cost: Cost
    window_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GateStatus:
    """The whole answer of `tidegate gate status`: the gate's part of a diagnosis, and its latest decisions, newest first."""

    tidegate: str
    at: str
    broker: BrokerReport
    gate: GateReport
    journal: Maybe[tuple[JournalEntry, ...]]
    findings: tuple[Finding, ...]
    cost: Cost
    window_s: float
