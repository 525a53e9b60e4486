"""What one look at a broker saw: raw facts, no opinion; anything that could not be seen is `Unknown`.

Times are seconds since the epoch where the name ends in `_at`, seconds of the look's own clock (0 at its start)
in `at_s`; sizes are bytes, durations seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.facts.gated import GateSeen
from tidegate.facts.message import Label, Undecodable
from tidegate.facts.scheduled import BeatSeen, Rules
from tidegate.facts.unknown import Maybe, Unknown

NOT_LOOKED = Unknown("not looked at")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSeen:
    """The server's own account of itself, from INFO and CONFIG GET."""

    url: str
    db: int
    server: Maybe[str]
    version: Maybe[str]
    used_memory_bytes: Maybe[int]
    rss_bytes: Maybe[int] = NOT_LOOKED
    buffers_bytes: Maybe[int] = NOT_LOOKED
    maxmemory_bytes: Maybe[int] = NOT_LOOKED
    system_memory_bytes: Maybe[int] = NOT_LOOKED
    maxmemory_policy: Maybe[str] = NOT_LOOKED
    aof_enabled: Maybe[bool] = NOT_LOOKED
    rdb_save: Maybe[str] = NOT_LOOKED
    evicted_keys: Maybe[int] = NOT_LOOKED
    keys_by_db: Maybe[Mapping[int, int]] = NOT_LOOKED


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """What an act of relief has set aside of a queue: how many messages, by priority step, and of which act.

    `act` is empty where the act left no record. `interrupted`: whoever did it is gone. `silent_s` is how long ago it
    said something last.
    """

    id: str
    by_priority: Mapping[int, int]
    act: str = ""
    started_at: float | None = None
    who: str = ""
    silent_s: float | None = None
    interrupted: Maybe[bool] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSeen:
    """One queue: the lists it consists of, by priority step (0 is the most urgent).

    Depth and weight include what is `set_aside`: that waits as well.
    """

    name: str
    depth: Maybe[int]
    by_priority: Mapping[int, int] = field(default_factory=dict)
    bytes: Maybe[int] = NOT_LOOKED
    bytes_per_message: Maybe[float] = NOT_LOOKED
    oldest: Label | Undecodable | None = None
    newest: Label | Undecodable | None = None
    set_aside: Maybe[SetAside | None] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnackedSeen:
    """What workers have taken and not acknowledged, over all queues.

    `looked_at` messages were read; `deferred` and `by_queue` are scaled up from them where it is fewer than `count`.
    `oldest_age_s` is the time since the oldest one was delivered.
    """

    count: Maybe[int]
    looked_at: int = 0
    deferred: Maybe[int] = NOT_LOOKED
    by_queue: Maybe[Mapping[str, int]] = NOT_LOOKED
    oldest_age_s: Maybe[float | None] = NOT_LOOKED
    oldest_running_age_s: Maybe[float | None] = NOT_LOOKED
    furthest_eta_s: Maybe[float | None] = NOT_LOOKED
    growth_per_s: Maybe[float] = NOT_LOOKED


@dataclass(frozen=True, slots=True)
class Step:
    """What happened to a queue between two reads: `until_s` ends it, `since_s` begins it.

    Counts are exact where `exact`; otherwise lower bounds. `waiting`: there was a message waiting all the time.
    """

    since_s: float
    until_s: float
    depth: int
    arrivals: int
    departures: int
    restores: int = 0
    exact: bool = True
    waiting: bool = True


@dataclass(frozen=True, slots=True)
class Sighting:
    """One message seen to arrive or to leave in the step that ended at `at_s`."""

    at_s: float
    label: Label | Undecodable


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSeen:
    """The movement of one queue over the window: every step, and what came and what left, oldest first.

    Of a busy queue only a sample is read: `arrivals_sampled_from` messages were counted, `arrived` holds those read.
    """

    steps: tuple[Step, ...] = ()
    arrived: tuple[Sighting, ...] = ()
    departed: tuple[Sighting, ...] = ()
    arrivals_sampled_from: int = 0
    departures_sampled_from: int = 0
    problem: Unknown | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCount:
    """How much of a queue one task makes up; `share_error` is the half-width of a 95 % interval."""

    name: str
    count: int
    share: float
    share_error: float
    bytes: int
    expired: int
    duplicates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CensusSeen:
    """The composition of one queue by task.

    Counts are of the whole queue: exact, or scaled up from `looked_at` messages. `reach` says which part was looked at.
    `children_per_root` is the mean number of messages that share a root, among roots seen whole; None where unseen.
    """

    queue: str
    messages: int
    exact: bool
    looked_at: int
    by_task: tuple[TaskCount, ...]
    undecodable: int
    reach: str = "the whole queue"
    children_share: float = 0.0
    children_per_root: float | None = None
    longest_command_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFamily:
    """One kind of key in the database: how many there are and what they weigh, scaled up from the keys looked at."""

    name: str
    count: int
    bytes: int
    without_expiry: Maybe[int] = 0
    example: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyspaceSeen:
    """A bounded walk over the keys: `scanned` of `total` were looked at."""

    total: int
    scanned: int
    complete: bool
    families: tuple[KeyFamily, ...] = ()
    key_prefixes: tuple[str, ...] = ()
    orphaned_replies: Maybe[int] = NOT_LOOKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """What one worker said on the event channel during the window."""

    hostname: str
    first_at_s: float
    last_at_s: float
    first_processed: int
    last_processed: int
    active: int
    beats: int
    every_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerAnswer:
    """What one worker answered when asked by remote control (`--ask-workers`)."""

    hostname: str
    slots: int | None
    prefetch: int | None
    queues: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkersSeen:
    """Who consumes: heartbeats, consumers blocked in BRPOP, task events, and answers where they were asked for."""

    heartbeats: Maybe[tuple[Heartbeat, ...]] = NOT_LOOKED
    listened_s: float = 0.0
    blocked_consumers: Maybe[int] = NOT_LOOKED
    task_events: Maybe[int] = NOT_LOOKED
    answers: Maybe[tuple[WorkerAnswer, ...]] = NOT_LOOKED


@dataclass(frozen=True, slots=True, kw_only=True)
class Crontab:
    """When a crontab comes due, in its own time zone, which is `utc_offset_s` ahead of UTC outside summer time.

    A day counts where its weekday (0 is Sunday), its day of the month and its month are all named.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days_of_week: frozenset[int]
    days_of_month: frozenset[int]
    months: frozenset[int]
    timezone: str = "UTC"
    utc_offset_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EntrySeen:
    """One periodic entry of an application's schedule; `interval_s` is None for a crontab and the like.

    `queue` is what its options say, `queues` where its message really goes. `source` names the scheduler that keeps
    it; `in_force` is False where the application is configured for another one. `mean_interval_s` is None for an entry
    that comes due once or never, `expires_s` where its messages never expire; `expires_at` is set where they expire at
    one fixed time instead. Entries of one task with the same `call` have the same arguments. `dropped` are options that
    its scheduler ignores, `options` those that it takes, as they are. `never` says why it never comes due, `trouble` why
    its scheduler can't use it.
    """

    name: str
    task: str
    interval_s: float | None
    expires: bool
    queue: str | None = None
    source: str = "beat_schedule"
    schedule: str = ""
    enabled: bool = True
    in_force: bool = True
    mean_interval_s: Maybe[float | None] = NOT_LOOKED
    crontab: Crontab | None = None
    last_run_at: float | None = None
    expires_s: Maybe[float | None] = NOT_LOOKED
    expires_at: float | None = None
    registered: Maybe[bool] = NOT_LOOKED
    queues: Maybe[tuple[str, ...]] = NOT_LOOKED
    call: Maybe[str] = NOT_LOOKED
    keeps_result: Maybe[bool] = NOT_LOOKED
    dropped: tuple[str, ...] = ()
    never: str = ""
    trouble: str = ""
    options: Mapping[str, object] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerSeen:
    """One place that holds periodic entries. `in_force`: the application is configured for it; unknown where it is
    configured for none, so that it depends on how beat is started.
    """

    name: str
    in_force: Maybe[bool]
    entries: Maybe[tuple[EntrySeen, ...]] = NOT_LOOKED


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSeen:
    """What the application (`-A`) says about itself.

    `entries` are those that beat sends: switched on, and kept by a scheduler that may be in force; unknown where those of
    such a scheduler can't be read. `schedulers` hold all of them, the others too. `queues` are those that a worker
    without -Q consumes; `declares_queues` is False where they are just the default queue. `late_tasks` are acknowledged
    after their run and not before it. `ours`: the scheduler is one of Tidegate's, which gives messages an `expires` from
    their interval, and `spreads` entries of one interval.
    """

    name: str
    entries: Maybe[tuple[EntrySeen, ...]] = NOT_LOOKED
    debug: Maybe[bool | None] = NOT_LOOKED
    result_expires_s: Maybe[float | None] = NOT_LOOKED
    visibility_timeout_s: float | None = None
    queues: tuple[str, ...] = ()
    scheduler: str = ""
    schedulers: tuple[SchedulerSeen, ...] = ()
    tasks: Maybe[tuple[str, ...]] = NOT_LOOKED
    late_tasks: Maybe[tuple[str, ...]] = NOT_LOOKED
    declares_queues: bool = False
    creates_queues: bool = True
    ours: Maybe[bool] = NOT_LOOKED
    spreads: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the look itself cost the server: commands sent, server time, and the time it took here."""

    commands: int
    server_ms: Maybe[float]
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Everything one look saw. `window_s` is how long the flow was watched; `queues_at` when the queues were read last.

    `rules` are what the application says of its schedule, `beat` what its beats left; None where none of ours runs it.
    """

    at: float
    window_s: float
    server: ServerSeen
    queues: tuple[QueueSeen, ...]
    flows: Mapping[str, FlowSeen]
    censuses: Mapping[str, CensusSeen]
    unacked: UnackedSeen
    workers: WorkersSeen
    keyspace: Maybe[KeyspaceSeen]
    pushes_per_s: Maybe[float]
    cost: Cost
    app: AppSeen | None = None
    visibility_timeout_s: float = 3600.0
    queues_at: float | None = None
    gate: GateSeen = field(default_factory=lambda: GateSeen(in_use=NOT_LOOKED))
    rules: Maybe[Rules] = NOT_LOOKED
    beat: Maybe[BeatSeen | None] = NOT_LOOKED
