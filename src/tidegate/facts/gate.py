"""What the gate decides, and what it decides by: a queue's bound, a message's overlap, and one word for every outcome."""

from dataclasses import dataclass
from enum import StrEnum

from tidegate.facts.overlap import Overlap, Payload, Scope

#: The header in which a message says what the gate has to know of it later: a mapping, see `Guard`.
HEADER = "tidegate"


class Overflow(StrEnum):
    """What happens to a message that comes while its queue is at its bound; the first three as RabbitMQ names them."""

    REJECT_PUBLISH = "reject-publish"  # it is refused: `tidegate.QueueFull`
    DROP_HEAD = "drop-head"  # it enters, and the oldest one goes
    REJECT_PUBLISH_DLX = "reject-publish-dlx"  # it is refused, and kept in the dead-letter queue
    BLOCK = "block"  # the publisher waits for room, and is refused when its time is over
    SPILL = "spill"  # it waits in a side list, and enters in its turn when there is room


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The limit of one queue: messages in all its priority lists, and bytes. None: no limit of that kind.

    `dead_letter` is the queue for `reject-publish-dlx`; `block_s` how long `block` waits.
    """

    max_length: int | None = None
    max_length_bytes: int | None = None
    overflow: Overflow = Overflow.REJECT_PUBLISH
    dead_letter: str = ""
    block_s: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """The overlap of one message, as its header `tidegate` carries it: what must not be pending twice.

    `key` names it (task and arguments, an entry, or what the caller gave). Empty for a child of a guarded firing that
    has no overlap of its own. `firing` is the root id of the tree it belongs to where the scope is the firing, else
    empty; `entry` is then the key of its root, so that all firings of one key are counted together.
    """

    key: str = ""
    overlap: Overlap = Overlap.ALLOW_ALL
    payload: Payload = Payload.KEEP
    scope: Scope = Scope.MESSAGE
    firing: str = ""
    entry: str = ""


class Outcome(StrEnum):
    """What became of one message at the gate: also the names of the counts, the journal and the signals."""

    ADMITTED = "admitted"
    SPILLED = "spilled"  # accepted, waits in the side list
    QUEUE_FULL = "queue_full"  # refused: the queue is at its bound
    MEMORY_FULL = "memory_full"  # refused: the server is at its memory ceiling
    DEAD_LETTERED = "dead_lettered"  # refused, and kept in the dead-letter queue
    DROPPED_HEAD = "dropped_head"  # was waiting, and made room for a newer one
    OVERLAP_SKIPPED = "overlap_skipped"  # one of its key is pending (or running): nothing was published
    REPLACED = "replaced"  # the pending one of its key took over its payload
    SUPERSEDED = "superseded"  # came back from a dead worker while a newer one of its key was pending
