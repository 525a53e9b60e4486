"""Relief: what an operator wants done to a queue, and what was done."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tidegate.facts.unknown import Maybe


class Act(StrEnum):
    """What is done; the word of the command."""

    PURGE = "purge"
    MOVE = "move"
    DEDUPE = "dedupe"
    RESTORE = "restore"
    RESCUE = "rescue"
    DRAIN_NEWEST = "drain-newest"
    PUT_BACK = "put-back"
    UNDO = "undo"


class State(StrEnum):
    """How far an act has come. `interrupted`: whoever did it is gone, and `resume` or `rollback` ends it."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    DONE = "done"
    ROLLED_BACK = "rolled_back"


class Ages(StrEnum):
    """What the age of a message was told by."""

    STAMPS = "stamps"
    POSITION = "position"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which messages are meant: those for which everything that is given holds. Nothing given selects nothing.

    `tasks` are globs, any of which may fit. `args` and `kwargs` are compared with the decoded ones: `args` as a whole,
    `kwargs` those that are named. `headers` are compared as text. `keep_newest` and `keep_oldest` leave so many of each
    task and arguments. `undecodable` selects what can't be read, which nothing else ever does.
    """

    tasks: tuple[str, ...] = ()
    args: tuple[object, ...] | None = None
    kwargs: Mapping[str, object] = field(default_factory=dict)
    older_than_s: float | None = None
    expired: bool = False
    origin: str | None = None
    root: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    keep_newest: int | None = None
    keep_oldest: int | None = None
    undecodable: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is given, so that nothing may be selected."""
        return self == Filter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """How much of one task was selected."""

    name: str
    count: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Relieved:
    """What an act came to, or would come to (`dry_run`). Every message that was scanned was removed or kept.

    `age_by` says how ages were told where they were asked for. `examples` are one-line pictures of what was selected.
    `worst_stall_ms` is the longest that another client waited for the server during one of our commands.
    """

    id: str
    act: Act
    queue: str
    to: str = ""
    scanned: int = 0
    removed: int = 0
    removed_bytes: int = 0
    kept: int = 0
    undecodable: int = 0
    by_task: tuple[Selected, ...] = ()
    examples: tuple[str, ...] = ()
    age_by: Ages | None = None
    backup: str | None = None
    elapsed_s: float = 0.0
    worst_stall_ms: float = 0.0
    dry_run: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Relief:
    """One act as the journal of acts has it. `aside` is how many messages are set aside at the moment."""

    id: str
    act: Act
    queue: str
    state: State
    started_at: float
    removed: int
    kept: int
    scanned: int = 0
    to: str = ""
    ended_at: float | None = None
    who: str = ""
    process: str = ""
    backup: str | None = None
    wanted: str = ""
    aside: Maybe[int] = 0
    remedy: str = ""
