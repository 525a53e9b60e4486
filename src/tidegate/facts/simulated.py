"""What a simulation says: the fields of `tidegate simulate --json`, in their order."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tidegate.facts.diagnosis import State
from tidegate.facts.unknown import Maybe


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean with the half-width of its 95 % interval."""

    mean: Maybe[float]
    error: Maybe[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How durations are distributed: the mean with its error, quantiles within 1 %, and the longest; in seconds."""

    mean: Maybe[float]
    error: Maybe[float]
    p50_s: Maybe[float]
    p95_s: Maybe[float]
    p99_s: Maybe[float]
    most_s: Maybe[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Where every message is at the end: published + duplicated is the sum of the fields below them.

    A duplicate came back after the visibility timeout although its worker still had it.
    """

    published: int
    duplicated: int
    done: int
    waiting: int
    unacked: int
    running: int
    deferred: int
    lost: int
    expired: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSimulated:
    """One queue. `depth_at` are depths at the moments of `Simulated.at_s`; `bytes` are those of what waits."""

    name: str
    state: State
    sentence: str
    growth_per_s: Mean
    depth: Mean
    most_depth: int
    end_depth: int
    unacked: Mean
    bytes: float
    end_bytes: int
    drain_s: float | None
    depth_at: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSimulated:
    """One task. `skipped` were never published, by the rule that kept them away; `lost` died with their host."""

    name: str
    queue: str
    published: int
    duplicated: int
    done: int
    done_per_s: Mean
    wait: Spread
    run: Spread
    retried: int
    lost: int
    expired: int
    skipped: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntrySimulated:
    """One periodic entry. The ages are those of the value that its runs write, on average over time: with a payload
    read when the task runs, and with one captured when the message was published.
    """

    name: str
    task: str
    fired: int
    published: int
    skipped: Mapping[str, int]
    age_read_at_run_s: Mean
    age_read_at_publish_s: Mean
    most_age_s: Maybe[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSimulated:
    """The hosts that consume one set of queues; `busy_share` is that of their slots while they live."""

    queues: tuple[str, ...]
    hosts: int
    slots: int
    busy_share: Mean


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySimulated:
    """What the waiting messages do to the broker's memory. `full_in_s` counts from the end of the simulation; None:
    not at this rate, or no limit is known.
    """

    limit_bytes: int | None
    used_bytes: int
    end_bytes: int
    growth_bytes_per_s: float
    full_in_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """The whole answer of `tidegate simulate`. `simulated_s` is how far it got, `complete` whether that is the end."""

    tidegate: str
    mode: Literal["events", "fluid"]
    verdict: State
    sentence: str
    seed: int
    runs: int
    duration_s: float
    warmup_s: float
    simulated_s: float
    complete: bool
    messages: Account
    queues: tuple[QueueSimulated, ...]
    tasks: tuple[TaskSimulated, ...]
    entries: tuple[EntrySimulated, ...]
    pools: tuple[PoolSimulated, ...]
    memory: MemorySimulated
    notes: tuple[str, ...]
    at_s: tuple[float, ...]
