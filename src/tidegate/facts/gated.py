"""What the gate left in Redis, as a look saw it, and what it means: bounds, marks, firings, counts, the fleet.

Times are seconds since the epoch by the server's clock where the name ends in `_at`, sizes bytes, durations seconds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tidegate.facts.gate import Bound
from tidegate.facts.unknown import Maybe, Unknown

_NOT_LOOKED = Unknown("not looked at")

#: What the gate's settings say of a queue; None for one without a bound.
BoundOf = Callable[[str], Bound | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """What an application says to the gate. `ceiling` is a share of `maxmemory` up to 1, bytes above, 0 for none."""

    on: bool
    bound_of: BoundOf
    ceiling: float = 0.0


class MarkState(StrEnum):
    """Where the message of a mark was when the mark was last written."""

    WAITING = "waiting"  # in its list
    HELD = "held"  # taken by a worker, not started
    RUNNING = "running"  # its run has begun


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkSeen:
    """The mark of one key: which message of it is pending or running.

    `age_s` is the time since it was published, `since_s` since the mark last changed. `worker` is the node that holds it
    (its id where no node of it is known), None while it waits; `alive` says whether that process still lives.
    """

    key: str
    id: str
    queue: str
    state: MarkState
    age_s: float
    since_s: float
    worker: str | None = None
    alive: Maybe[bool | None] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringsSeen:
    """The open firings of one entry: how many there are, and how long ago the oldest began (None where none is)."""

    entry: str
    open: int
    oldest_age_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerGated:
    """One worker that has the gate, by its node name. `alive`: it said so within the last five seconds."""

    node: str
    id: str
    alive: bool
    running: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SideSeen:
    """What stands beside one queue: spilled messages, and those in its dead-letter queue (None: it has none).

    Of `spilled` so many are `on_disk`, `where` says on whose; `disk_full`: that disk may take no more. Of those on disk
    the keeper that acts has not got the disk of `elsewhere`; `elsewhere_at` says whose that is.
    """

    spilled: Maybe[int]
    on_disk: Maybe[int] = 0
    where: str = ""
    disk_full: bool = False
    elsewhere: int = 0
    elsewhere_at: str = ""
    dead_letter: str = ""
    dead_letters: Maybe[int | None] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSeen:
    """Everything that the gate left there. `in_use`: there is any key of it.

    `counts` are by (outcome, queue), `opened` by reason; `counts_before` and `spilled_before` what they were when the
    window began. Of the marks `marks` are those that were read, of `marks_total`. `keeper`: who brings spilled messages back
    from disk, None where nobody does.
    """

    in_use: Maybe[bool]
    settings: Maybe[GateSettings] = _NOT_LOOKED
    counts: Maybe[Mapping[tuple[str, str], int]] = _NOT_LOOKED
    counts_before: Maybe[Mapping[tuple[str, str], int]] = _NOT_LOOKED
    sides: Mapping[str, SideSeen] = field(default_factory=dict)
    spilled_before: Mapping[str, Maybe[int]] = field(default_factory=dict)
    marks: Maybe[tuple[MarkSeen, ...]] = _NOT_LOOKED
    marks_total: Maybe[int] = _NOT_LOOKED
    unreadable: int = 0
    firings: Maybe[tuple[FiringsSeen, ...]] = _NOT_LOOKED
    workers: Maybe[tuple[WorkerGated, ...]] = _NOT_LOOKED
    keeper: Maybe[str | None] = _NOT_LOOKED


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueGated:
    """One queue and its bound. `share` is the fuller of its two limits, None where it has none; of `spilled` so many are
    `on_disk`, on `disk` (`node:directory`, "" for none), which takes no more where it is `disk_full`.

    `counts` are by outcome since the gate came into use, `counted_now` those within the window.
    """

    name: str
    depth: Maybe[int]
    bytes: Maybe[int]
    max_length: Maybe[int | None]
    max_length_bytes: Maybe[int | None]
    overflow: Maybe[str | None]
    share: Maybe[float | None]
    spilled: Maybe[int]
    on_disk: Maybe[int]
    disk: Maybe[str] = ""
    disk_full: Maybe[bool] = False
    dead_letter: Maybe[str | None]
    dead_letters: Maybe[int | None]
    counts: Maybe[Mapping[str, int]]
    counted_now: Maybe[Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CeilingReport:
    """The memory ceiling against what is in use; None where there is no ceiling."""

    ceiling_bytes: Maybe[int | None]
    used_bytes: Maybe[int]
    share: Maybe[float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetReport:
    """Who of the workers that were heard has the gate. `mixed`: some have it and some have not."""

    with_gate: Maybe[tuple[str, ...]]
    without_gate: Maybe[tuple[str, ...]]
    mixed: Maybe[bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReport:
    """The gate as `tidegate gate status` shows it. `keeper` names the spill keeper that acts, None where none does."""

    in_use: Maybe[bool]
    queues: tuple[QueueGated, ...]
    memory: CeilingReport
    marks: Maybe[tuple[MarkSeen, ...]]
    marks_total: Maybe[int]
    firings: Maybe[tuple[FiringsSeen, ...]]
    opened: Maybe[Mapping[str, int]]
    opened_now: Maybe[Mapping[str, int]]
    workers: Maybe[tuple[WorkerGated, ...]]
    fleet: FleetReport
    keeper: Maybe[str | None]
