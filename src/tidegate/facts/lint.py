"""What `tidegate lint` is given and what it says: the fields of its machine output, in their order."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.facts.diagnosis import Finding
from tidegate.facts.seen import NOT_LOOKED, AppSeen
from tidegate.facts.unknown import Maybe


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTime:
    """How long one task runs, as somebody says. `children` counts the tasks that a run publishes, by name; `per_s` is
    how often it is sent by others than periodic entries, in messages per second.
    """

    run_s: float
    children: Mapping[str, float] = field(default_factory=dict)
    per_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenPool:
    """Workers that consume the same queues, as somebody says: `slots` on each of the `hosts`, which are named."""

    queues: tuple[str, ...]
    slots: int
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """What is not to be found fault with: a rule everywhere, or (with an entry) for that entry only."""

    rule: str
    entry: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryReport:
    """One periodic entry as it was judged; `interval_s` is the mean one, None where it comes due once or never."""

    name: str
    task: str
    source: str
    schedule: str
    enabled: bool
    in_force: bool
    interval_s: Maybe[float | None]
    expires_s: Maybe[float | None]
    queues: Maybe[tuple[str, ...]]
    registered: Maybe[bool]
    work_s: Maybe[float] = NOT_LOOKED
    edge_interval_s: Maybe[float] = NOT_LOOKED
    min_safe_interval_s: Maybe[float] = NOT_LOOKED
    safe: Maybe[bool] = NOT_LOOKED


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerReport:
    """One place that holds periodic entries, and how many; `in_force` as in `SchedulerSeen`."""

    name: str
    in_force: Maybe[bool]
    entries: Maybe[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lint:
    """The whole answer of `tidegate lint`. `run_times` is `measured` or `given`; `scheduler` is the setting."""

    tidegate: str
    at: str
    app: str
    scheduler: str
    schedulers: tuple[SchedulerReport, ...]
    run_times: Maybe[str]
    consumed: Maybe[tuple[str, ...]]
    entries: tuple[EntryReport, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LintQuestion:
    """What is to be judged. `hosts_lost` is how many hosts have to be dispensable: 0 where that is only said.

    `given` are the tasks whose run times somebody gave, None where they were measured.
    """

    at: str
    app: AppSeen
    consumed: Maybe[tuple[str, ...]] = NOT_LOOKED
    target_utilisation: float = 0.8
    hosts_lost: int = 0
    ignored: tuple[Ignored, ...] = ()
    given: frozenset[str] | None = None
