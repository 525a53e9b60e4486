"""What workers hold and have not acknowledged, message by message, and whether whoever holds it lives."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.facts.unknown import Maybe


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldMessage:
    """One message that was taken and not acknowledged.

    `age_s` is the time since it was taken. `worker` is the node that took it, `alive` whether that worker lives; both
    are unknown for what a worker without the gate took. `eta` is when it may run, `deferred` whether that is still ahead.
    """

    id: str | None
    task: str | None
    queue: str
    age_s: float
    eta: str | None
    deferred: bool
    redelivered: bool
    worker: Maybe[str]
    alive: Maybe[bool]
    delivery_tag: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLook:
    """The oldest of what is held, and how many there are in all."""

    total: int
    messages: tuple[HeldMessage, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadWorker:
    """A worker that is proved dead (`why`), and how many messages it left unacknowledged."""

    worker: str
    node: str
    why: str
    messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """What was, or would be (`dry_run`), put back. Everything found was put back, superseded, gone, or stays as it is.

    `superseded`: a newer run of the same key is pending, so this one is dropped as the gate does it. `gone`: somebody
    else was faster. `unreadable` messages stay where they are.
    """

    found: int
    put_back: int = 0
    superseded: int = 0
    gone: int = 0
    unreadable: int = 0
    by_queue: Mapping[str, int] = field(default_factory=dict)
    workers: tuple[DeadWorker, ...] = ()
    dry_run: bool = True
    notes: tuple[str, ...] = ()
