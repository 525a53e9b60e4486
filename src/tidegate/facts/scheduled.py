"""The schedule as it runs: who leads, what became of the due times, what is ordered; and the rows that are made of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.facts.beat import Ask, EntryPolicy, Order, Paced
from tidegate.facts.journal import JournalEntry
from tidegate.facts.unknown import Maybe, Unknown

_NOT_LOOKED = Unknown("not looked at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """The beat that decides on the due times: `who` (machine, process), and since when."""

    who: str
    since_s: Maybe[float] = _NOT_LOOKED


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSeen:
    """What was decided on an entry last, when, and why."""

    outcome: str
    at_s: float
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatSeen:
    """What the beats of one schedule left in Redis, of the entries that were asked about; `at_s` by the server's clock.

    `cursors`: the last due time that was decided on, in seconds. `edition` counts orders and asks; `edition_in_force`
    is the one that the leading beat goes by, None where none has said so. `strange` counts what nobody of ours wrote.
    """

    name: str
    at_s: float
    leader: Maybe[Leader | None] = _NOT_LOOKED
    edition: Maybe[int] = _NOT_LOOKED
    edition_in_force: Maybe[int | None] = _NOT_LOOKED
    cursors: Maybe[Mapping[str, float]] = _NOT_LOOKED
    last: Maybe[Mapping[str, LastSeen]] = _NOT_LOOKED
    counts: Maybe[Mapping[str, Mapping[str, int]]] = _NOT_LOOKED
    orders: Maybe[Mapping[str, Order]] = _NOT_LOOKED
    asks: Maybe[Mapping[str, Ask]] = _NOT_LOOKED
    paced: Maybe[Mapping[str, Paced]] = _NOT_LOOKED
    strange: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the application's settings say of its schedule. `ours`: its `beat_scheduler` is one of Tidegate's.

    `gate_on`: the gate holds overlaps; `results`: beat can ask for the result of an entry's last run instead.
    `policies` by entry, and `overlaps` those that the gate is told; `wrong` why the settings of an entry can't be used.
    """

    name: str
    ours: Maybe[bool]
    lease: bool = True
    gate_on: bool = False
    results: bool = False
    policies: Mapping[str, EntryPolicy] = field(default_factory=dict)
    overlaps: Mapping[str, str] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRow:
    """One entry as it runs. `interval_s` is the one in force and `interval_why` why; None for what has none.
    `basis` of one that follows the workers (`auto`): `plan`, or `declared` where nothing is measured.
    Times are seconds since the epoch. `counts` are due times by outcome, since they are counted.
    `trouble` is empty where there is none.
    """

    entry: str
    task: str
    schedule: str
    declared_s: float | None
    interval_s: Maybe[float | None]
    interval_why: str
    auto: bool
    basis: str
    min_s: float | None
    max_s: float | None
    overlap: str
    overlap_held: bool
    enabled: bool
    paused: Maybe[bool]
    ordered_by: Maybe[str | None]
    ordered_at_s: Maybe[float | None]
    asked_by: Maybe[str | None]
    last_due_s: Maybe[float | None]
    last_outcome: Maybe[str | None]
    last_at_s: Maybe[float | None]
    last_why: Maybe[str | None]
    next_due_s: Maybe[float | None]
    counts: Maybe[Mapping[str, int]]
    trouble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The whole answer of `tidegate schedule list`: worst entries first. `left_out` is how many more there are."""

    tidegate: str
    at: str
    at_s: float
    url: str
    name: str
    scheduler: str
    ours: Maybe[bool]
    leader: Maybe[Leader | None]
    entries: Maybe[tuple[EntryRow, ...]]
    left_out: int = 0
    strange: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryShown:
    """The whole answer of `tidegate schedule show`: the entry, and the latest lines of the journal about it, newest first."""

    tidegate: str
    at: str
    at_s: float
    url: str
    name: str
    scheduler: str
    ours: Maybe[bool]
    leader: Maybe[Leader | None]
    entry: EntryRow
    journal: Maybe[tuple[JournalEntry, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """What an act on an entry came to: what was ordered before, and what is now.

    `changed` is False where it was so already. `in_force` is True where the leading beat goes by it, after `waited_s`;
    None where no beat leads: it holds when one does.
    """

    entry: str
    act: str
    changed: bool
    was: str
    now: str
    who: str
    edition: int
    in_force: Maybe[bool | None]
    waited_s: float
