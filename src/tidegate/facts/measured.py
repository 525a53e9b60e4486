"""What the probe counted inside the workers, by task, queue and periodic entry; everything in it merges exactly.

A `Slice` is a stretch of time; its `Runs` are what happened in it. Two slices of the same stretch from different
processes merge into one, and two neighbouring ones into a coarser one. Times are seconds of the broker's clock.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from tidegate.facts.seen import NOT_LOOKED
from tidegate.facts.sketch import Sketch
from tidegate.facts.unknown import Maybe

#: Every slice is cut into so many ticks, whatever its length: their scatter gives the confidence of a mean.
TICKS = 12
#: So many firings are followed whole, by the smallest hash of their root: a fair sample, the same in every process.
FIRINGS_FOLLOWED = 32
#: How a run can end. `lost`: its process was killed (a hard time limit, memory, a crash) and never said.
OUTCOMES = ("success", "failure", "retry", "ignored", "rejected", "lost", "expired", "revoked")


class Key(NamedTuple):
    """What is counted apart; `entry` is empty where the message came from no periodic entry."""

    task: str
    queue: str
    entry: str = ""


#: Where more keys are seen than are kept, the rest is counted here.
OTHERS = Key("(other tasks)", "", "")


class Busy(NamedTuple):
    """Runs that met so many busy slots on their worker, themselves among them; `cpu_ns` is 0 where it can't be told."""

    runs: int
    run_ns: int
    cpu_ns: int


class Tick(NamedTuple):
    """Runs that ended in a twelfth of the slice, their run time, and firings that began in it."""

    runs: int
    run_ns: int
    firings: int


class Followed(NamedTuple):
    """What one firing cost so far: runs that share its root, and their run time."""

    runs: int
    run_ns: int


class Depth(NamedTuple):
    """Messages seen waiting in a queue, all its priority lists together: how often it was asked, and their sum."""

    looks: int
    messages: int


class Lag(NamedTuple):
    """The smallest waits of messages from one machine that met an idle worker: how many, and the smallest, in seconds.

    An idle worker takes a message at once, so a smallest wait of seconds says that the publisher's clock is behind.
    """

    messages: int
    least_s: float


@dataclass(slots=True)
class Runs:
    """Everything counted of one key. `run` holds every run that took a slot, whatever its outcome; `wait` the time
    between publication (or the ETA, if later) and start.

    `firings` counts first tries of messages that are their own root: of a periodic entry, its firings.
    `children` counts what the runs published, by task; a retry is a child of its own task.
    """

    run: Sketch = field(default_factory=Sketch)
    wait: Sketch = field(default_factory=Sketch)
    outcomes: Counter[str] = field(default_factory=Counter)
    firings: int = 0
    children: Counter[str] = field(default_factory=Counter)
    #: By number of busy slots, half of those at the start and half of those at the end, rounded up.
    busy: dict[int, Busy] = field(default_factory=dict)
    ticks: dict[int, Tick] = field(default_factory=dict)
    #: Stamps that lay in the future or beyond all reason: their waits are not counted.
    odd_stamps: int = 0


@dataclass(slots=True)
class Slice:
    """One stretch of time, `length_s` from `start_s`, both whole minutes.

    `turnaround` holds, by queue, how long a slot stood between two runs although the next message had been published
    before the first one ended: what the worker itself adds to every run. `counts` is the probe's own account.
    """

    start_s: int
    length_s: int = 60
    runs: dict[Key, Runs] = field(default_factory=dict)
    turnaround: dict[str, Sketch] = field(default_factory=dict)
    #: By periodic entry, and by a 32-bit hash of the root's id; the smallest `FIRINGS_FOLLOWED` of an entry.
    followed: dict[str, dict[int, Followed]] = field(default_factory=dict)
    #: By queue and tick.
    depths: dict[str, dict[int, Depth]] = field(default_factory=dict)
    #: By publishing machine, by how many seconds at least its clock is ahead: a message started before its publication.
    ahead: dict[str, float] = field(default_factory=dict)
    #: By publishing machine; what tells that its clock is behind.
    lags: dict[str, Lag] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A run that has not ended: since when, in seconds."""

    task: str
    running_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSeen:
    """What one worker says of itself every few seconds. `node` is Celery's nodename, `machine` what it runs on.

    `busy_cores` is how many cores the machine spent on everything, tasks included; None where the system does not
    tell. `clock_ahead_s` is its clock against the broker's. `cpu_per_run_s` is the CPU time that its own processes
    spend on a run beside the task, None after fewer than 30 runs. `gone`: it said so, or has been silent for too long.
    """

    node: str
    machine: str
    at_s: float
    started_at_s: float
    pool: str
    slots: int
    queues: tuple[str, ...]
    cores: float
    busy_cores: float | None = None
    busy_slots: int = 0
    clock_ahead_s: float = 0.0
    cpu_per_run_s: float | None = None
    every_s: float = 10.0
    unfinished: tuple[Unfinished, ...] = ()
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All that probes left in Redis about the stretch asked for; `at_s` is the broker's time of reading.

    `unreadable` counts records that are not ours or of another version.
    """

    at_s: float
    slices: tuple[Slice, ...] = ()
    workers: tuple[WorkerSeen, ...] = ()
    bytes: Maybe[int] = NOT_LOOKED
    unreadable: int = 0
