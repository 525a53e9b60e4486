"""What beat decides of every due time, what it goes by for an entry, and what an operator has ordered."""

from dataclasses import dataclass
from enum import StrEnum

from tidegate.facts.overlap import Overlap

#: The shortest interval there is, and one that is longer than anybody's, in seconds.
SHORTEST_S, LONGEST_S = 0.001, 1e9
#: What `every` says of an interval that follows the workers.
AUTO = "auto"


class BeatOutcome(StrEnum):
    """What became of one due time; every one has exactly one. Also the names of the counts, the journal and the signal."""

    SENT = "sent"
    JITTERED = "jittered"  # sent, later than due by its jitter
    BUFFERED = "buffered"  # sent, and waits behind one that is open
    REPLACED = "replaced"  # the pending run took over its payload
    OVERLAP_SKIPPED = "overlap_skipped"  # an earlier run is pending or running
    HELD_BACK = "held_back"  # an interval that follows the workers: they are behind
    EXPIRED = "expired"  # beat came to it later than it would have expired
    MISSED = "missed_catchup_window"  # it came due while no beat led, longer ago than is made up for
    QUEUE_FULL = "queue_full"  # refused at the queue's bound (or kept as a dead letter)
    MEMORY_FULL = "memory_full"  # refused at the server's memory ceiling
    PAUSED = "paused"  # an operator has paused the entry
    STANDBY = "standby"  # another beat leads, and decides on it; counted in this process only
    FAILED = "failed"  # it could not be published


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPolicy:
    """What holds for one entry beside its schedule.

    `every_s` in place of its declared interval (None: as declared); `auto`: it follows the workers between `min_s` and
    `max_s`. `catchup_s`: due times missed within so many seconds are all made up for; None: the newest one alone,
    however old. `jitter_s`: each due time is sent up to so many seconds later. `expires_s` as the settings say, 0 for
    never, None where it comes from the interval. `overlap` is what the gate is told; None where the entry says nothing.
    """

    every_s: float | None = None
    auto: bool = False
    min_s: float | None = None
    max_s: float | None = None
    catchup_s: float | None = None
    jitter_s: float = 0.0
    expires_s: float | None = None
    spread: bool = True
    overlap: Overlap | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What an operator has ordered for one entry, until it is reset; None: as the settings say.

    `every` is a number of seconds or `AUTO`. `who` (user@machine) and `at_s` say of whom and when the last order came.
    """

    every: float | str | None = None
    min_s: float | None = None
    max_s: float | None = None
    paused: bool = False
    who: str = ""
    at_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A run that an operator asked for, once; `id` tells it from another one of the same entry."""

    id: str
    who: str = ""
    at_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """The interval of an entry that follows the workers, and why it is what it is, in a sentence.

    `basis` is `plan` where measurements give it, `declared` where there are none.
    """

    interval_s: float
    why: str
    basis: str = "declared"
