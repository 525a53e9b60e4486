"""What one element of a queue says: from outside (`Label`) and opened (`Message`)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tidegate.facts.unknown import Maybe


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What stands on the outside of a message, readable without opening its body.

    Times are seconds since the epoch. `identity` is equal for two messages of the same task with the same body;
    it is a hash of this process, not to be stored. `task` is None for a kombu message that is no task.
    """

    task: str | None
    id: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    argsrepr: str | None = None
    origin: str | None = None
    eta_at: float | None = None
    expires_at: float | None = None
    enqueued_at: float | None = None
    periodic_entry: str | None = None
    from_beat: bool = False
    redelivered: bool = False
    delivery_tag: str | None = None
    size_bytes: int = 0
    identity: int = 0

    @property
    def is_child(self) -> bool:
        """True where another task published this one: its `root_id` is not its own id."""
        return self.root_id is not None and self.root_id != self.id


@dataclass(frozen=True, slots=True)
class Undecodable:
    """An element that could not be read as a message, and why; kept as a fact, never dropped."""

    why: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, opened as far as it is safe to open; field names as DESIGN §7 has them.

    `eta` and `expires` stand as the producer wrote them; `enqueued_at` is in seconds since the epoch.
    `protocol` is Celery's task message protocol (1 or 2), None for messages that are no tasks.
    `undecodable` says why nothing could be read; then every other field is empty.
    """

    id: str | None = None
    task: str | None = None
    args: Maybe[Sequence[object]] | None = None
    kwargs: Maybe[Mapping[str, object]] | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    eta: str | None = None
    expires: str | float | None = None
    retries: int | None = None
    origin: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    enqueued_at: float | None = None
    periodic_entry: str | None = None
    priority: int | None = None
    delivery_tag: str | None = None
    content_type: str | None = None
    content_encoding: str | None = None
    compression: str | None = None
    redelivered: bool = False
    size_bytes: int = 0
    protocol: int | None = None
    body: Maybe[object] | None = None
    undecodable: str | None = None
