"""Backups: what was copied, what a file holds, and what of it was put back."""

from collections.abc import Mapping
from dataclasses import dataclass

from tidegate.facts.message import Message
from tidegate.facts.relief import Act, Selected, State
from tidegate.facts.seen import CensusSeen


@dataclass(frozen=True, slots=True, kw_only=True)
class BackedUp:
    """A copy of a queue. `by_priority` counts by priority step; `bytes` of the messages, `file_bytes` on the disk."""

    queue: str
    file: str
    messages: int
    bytes: int
    file_bytes: int
    by_priority: Mapping[int, int]
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Damaged:
    """A place in a file that is not as it was written; `batch` is the number of the batch that is lost, if known."""

    offset: int
    why: str
    batch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What a backup holds. `sealed`: its writer came to the end. `wanted` is the filter of the act that wrote it, as JSON."""

    file: str
    version: int
    queue: str
    act: str
    id: str
    created_at: float
    url: str
    wanted: str
    written_by: str
    sealed: bool
    file_bytes: int
    by_priority: Mapping[int, int]
    damage: tuple[Damaged, ...]
    census: CensusSeen
    shown: tuple[Message, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What of a backup was put back, or would be (`dry_run`).

    Of `messages` in the file `restored` went to the queue, `there` are in it or with a worker already, `expired` were
    passed over because that was asked for, and `left` is what is still to do where the act was `interrupted`.
    """

    id: str
    act: Act = Act.RESTORE
    state: State = State.DONE
    queue: str
    source: str
    file: str
    messages: int
    restored: int = 0
    there: int = 0
    expired: int = 0
    left: int = 0
    by_task: tuple[Selected, ...] = ()
    elapsed_s: float = 0.0
    worst_stall_ms: float = 0.0
    dry_run: bool = True
    notes: tuple[str, ...] = ()
