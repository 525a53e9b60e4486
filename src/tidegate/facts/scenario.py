"""What is simulated: hosts, tasks, what fires and arrives, and what happens to hosts. A scenario file, read.

Durations are seconds, rates per second, sizes bytes. Moments (`at_s`) count from the start of the simulation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tidegate.facts.laws import Constant, Law
from tidegate.facts.overlap import Overlap, Payload, Scope

#: Celery's queue where none is named.
DEFAULT_QUEUE = "celery"
#: A run where nothing is said of it.
USUAL_RUN = Constant(0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """So many of the runs are published again after the delay, each message at most `most` times."""

    share: float
    delay_s: float = 180.0
    most: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class HostGroup:
    """`count` equal hosts.

    A host takes up to `prefetch` messages a slot beyond what it has acknowledged (0: any number; with
    `disable_prefetch` only what a free slot can run). `turnaround_s` is how long a slot stays taken after a run,
    `latency_s` how long a free one needs to start. `cores` of 0: runs do not slow one another down. `slowdown` says
    it by measured points instead: so many busy slots, so many times the run time.
    """

    name: str
    count: int = 1
    slots: int = 1
    queues: tuple[str, ...] = (DEFAULT_QUEUE,)
    prefetch: int = 4
    disable_prefetch: bool = False
    queue_order: Literal["round_robin", "priority"] = "round_robin"
    cores: float = 0.0
    slowdown: tuple[tuple[float, float], ...] = ()
    turnaround_s: float = 0.0
    latency_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLoad:
    """One task. `children` are published at the end of each of its runs, by task; a fraction is a chance.

    `cpu` is the share of the run time that it computes, for hosts with `cores`. `bytes` is what a message weighs.
    """

    name: str
    queue: str = DEFAULT_QUEUE
    run: Law = USUAL_RUN
    children: Mapping[str, float] = field(default_factory=dict)
    priority: int = 0
    acks_late: bool = False
    expires_s: float | None = None
    retry: Retry | None = None
    cpu: float = 1.0
    bytes: int = 1000
    overlap: Overlap = Overlap.ALLOW_ALL
    payload: Payload = Payload.KEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A periodic entry: `count` messages every `every_s`, first at `phase_s`, each firing up to `jitter_s` late.

    `gaps` in place of `every_s` makes the intervals random. `expires_s` and `priority` None: those of the task.
    """

    name: str
    task: str
    every_s: float = 0.0
    gaps: Law | None = None
    phase_s: float = 0.0
    jitter_s: float = 0.0
    count: int = 1
    overlap: Overlap = Overlap.ALLOW_ALL
    payload: Payload = Payload.KEEP
    scope: Scope = Scope.MESSAGE
    expires_s: float | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """What arrives by no schedule: one of a Poisson rate, of rates that change (from when, how many a second), of gaps
    drawn from a law, and of moments that were recorded.
    """

    name: str
    task: str
    rate_per_s: float | None = None
    rates: tuple[tuple[float, float], ...] = ()
    gaps: Law | None = None
    times_s: tuple[float, ...] = ()
    expires_s: float | None = None
    priority: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostEvent:
    """At that moment `count` hosts of the group die, as by SIGKILL, or come back (None: all of them)."""

    at_s: float
    kind: Literal["kill", "return"]
    host: str
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """What of the broker and Kombu's transport matters here. A `memory_limit_bytes` of 0: there is none.

    Workers look every `restore_every_s` for messages that were taken and not acknowledged for the visibility timeout:
    Kombu's timer of 10 s looks every tenth time.
    """

    visibility_timeout_s: float = 3600.0
    restore_every_s: float = 100.0
    priority_steps: tuple[int, ...] = (0, 3, 6, 9)
    memory_limit_bytes: int = 0
    memory_used_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """How it is simulated. Means and errors leave out the first `warmup_s`."""

    duration_s: float = 600.0
    warmup_s: float = 60.0
    seed: int = 1
    runs: int = 1
    mode: Literal["events", "fluid"] = "events"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """All that a simulation starts from; names in it are known to exist once it has been checked."""

    hosts: tuple[HostGroup, ...]
    tasks: tuple[TaskLoad, ...]
    entries: tuple[Entry, ...] = ()
    arrivals: tuple[Arrivals, ...] = ()
    events: tuple[HostEvent, ...] = ()
    broker: BrokerSettings = BrokerSettings()
    run: RunSettings = RunSettings()
    notes: tuple[str, ...] = ()
