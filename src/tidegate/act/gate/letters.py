"""One message on its way into one queue: what the admitting script is told of it, and what its answer means."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import loads

from tidegate.act.claim import Claim
from tidegate.act.gate.failures import BrokerFull
from tidegate.act.gate.known import Policies
from tidegate.act.gate.publication import Publication
from tidegate.broker.scripts import ADMIT, FENCED, PUSH, Argument, Script
from tidegate.errors import QueueFull
from tidegate.facts.gate import HEADER, Bound, Guard, Outcome, Overflow

#: The outcomes that keep a message out.
REFUSED = (Outcome.QUEUE_FULL, Outcome.MEMORY_FULL, Outcome.DEAD_LETTERED)
#: The bound of a dead-letter queue that has none of its own.
DEAD_LETTERS = 10_000
#: Kombu's default.
VISIBILITY_MS = 3_600_000

#: What says that the message is in, whatever else happened; `buffered` is said to beat.
_LET_IN = (Outcome.DROPPED_HEAD.value, "buffered")
_NO_BOUND = Bound()
_NO_GUARD = Guard()


#: Letters of one company are decided on together: their list, its bound and ceiling.
Company = tuple[str, int, str]


@dataclass(slots=True)
class Lists:
    """The lists of one queue, as keys: the one to push to, where it stands by urgency (from 1), and all of them."""

    target: str
    place: int
    keys: Sequence[str]
    expires_ms: int = 0
    #: The company of letters that need no decision.
    plain: Company = ("", 0, "")

    def __post_init__(self) -> None:
        self.plain = (self.target, 0, "")


@dataclass(slots=True)
class Terms:
    """What holds for every message to one queue."""

    app: Any
    queue: str
    prefix: str
    bound: Bound | None
    ceiling: str
    dead_letter_list: str = ""
    dead_letters: int = DEAD_LETTERS
    #: Where, and how long (ms), a message is held that was taken by a worker of which nothing is known.
    unacked_index: str = ""
    visibility_ms: int = VISIBILITY_MS
    #: By the monotonic clock: until then there may be no room.
    tight_until: float = float("-inf")
    #: Whether there is anything to decide for a message without a guard, and whether for many of them at once.
    decides: bool = False
    are_simple: bool = True

    def __post_init__(self) -> None:
        bound = self.bound
        self.decides = bound is not None or bool(self.ceiling)
        self.are_simple = bound is None or not (bound.max_length_bytes or bound.overflow is Overflow.SPILL)

    @property
    def drops(self) -> bool:
        """Whether a waiting message may have to go."""
        return self.bound is not None and self.bound.overflow is Overflow.DROP_HEAD


@dataclass(slots=True)
class Letter:
    """One message, and what holds for it."""

    terms: Terms
    lists: Lists
    payload: str
    publication: Publication | None = None
    message: dict[str, Any] | None = None
    guard: Guard = _NO_GUARD
    #: The short one, where there is nothing to decide.
    script: Script = PUSH

    def __post_init__(self) -> None:
        publication = self.publication
        if publication is not None and publication.guard is not None:
            self.guard = publication.guard
            self.script = ADMIT
        elif self.terms.decides:
            self.script = ADMIT

    @property
    def claim(self) -> Claim | None:
        """The due time of beat that it is for."""
        return self.publication.claim if self.publication is not None else None

    @property
    def way(self) -> Script:
        """The script as it is sent: for a due time of beat with the fence around it."""
        return self.script if self.claim is None else FENCED[self.script]

    @property
    def queue(self) -> str:
        """The queue that it goes to."""
        return self.terms.queue

    @property
    def bound(self) -> Bound | None:
        """The bound of its queue."""
        return self.terms.bound

    def read(self) -> dict[str, Any]:
        """The message: a letter that waits keeps its text alone, or the collector had a thousand dictionaries to visit."""
        return self.message if self.message is not None else loads(self.payload)

    def company(self) -> Company | None:
        """Who may be decided on together with it; None where it needs a decision of its own."""
        if self.claim is not None:
            return None
        if self.script is PUSH:
            return self.lists.plain
        if self.guard is not _NO_GUARD:
            return None
        if self.publication is not None and self.publication.exempt:
            return self.lists.plain
        terms = self.terms
        if not terms.are_simple:
            return None
        return self.lists.target, (terms.bound.max_length or 0) if terms.bound is not None else 0, terms.ceiling

    def arguments_of_many(self, company: Company) -> list[Argument]:
        """ARGV of the script for its company, of which it is the first."""
        _, most, ceiling = company
        return [self.terms.prefix, self.terms.queue, most, ceiling, self.lists.expires_ms, self.payload]

    @property
    def blocks(self) -> bool:
        """Whether its publisher waits for room; beat never does, for all that comes due after it would wait, too."""
        bound = self.terms.bound
        return bound is not None and bound.overflow is Overflow.BLOCK and self.claim is None

    @property
    def block_s(self) -> float:
        """How long, in seconds."""
        return self.bound.block_s if self.bound is not None else 0.0

    def outcome_of(self, answer: Any) -> Outcome:
        """What became of the message."""
        if self.script is PUSH:
            return Outcome.ADMITTED
        word = bytes_to_str(answer[0])
        return Outcome.ADMITTED if word in _LET_IN else Outcome(word)

    def opened_by(self, answer: Any) -> str:
        """What of the gate failed for a message that was admitted all the same; empty where nothing did."""
        return (
            bytes_to_str(answer[2])
            if self.script is ADMIT and len(answer) > 2 and answer[1] in ("open", b"open")
            else ""
        )

    def dropped_by(self, answer: Any) -> Sequence[Any]:
        """The payloads of what was dropped to make room."""
        return answer[1:] if self.script is ADMIT and bytes_to_str(answer[0]) == Outcome.DROPPED_HEAD else ()

    def keys(self) -> Sequence[str]:
        """KEYS of the script."""
        lists = self.lists
        return lists.keys if self.script is ADMIT or lists.expires_ms else lists.keys[:1]

    def arguments(self, overflow: Overflow | None = None) -> list[Argument]:
        """ARGV of the script; another `overflow` than the bound's for the last try of `block`."""
        own = self._own_arguments(overflow)
        return own if self.claim is None else [*own, *self.claim.arguments()]

    def _own_arguments(self, overflow: Overflow | None) -> list[Argument]:
        if self.script is PUSH:
            few: list[Argument] = [self.payload, self.terms.prefix, self.terms.queue]
            return [*few, self.lists.expires_ms] if self.lists.expires_ms else few
        terms, guard, message = self.terms, self.guard, self.read()
        bound, headers = terms.bound or _NO_BOUND, message.get("headers") or {}
        if self.claim is not None and bound.overflow is Overflow.BLOCK:
            overflow = Overflow.REJECT_PUBLISH
        return [
            self.payload,
            terms.prefix,
            terms.queue,
            str(message["properties"].get("delivery_tag") or ""),
            str(headers.get("id") or ""),
            str(headers.get("task") or ""),
            "" if self.publication is None else self.publication.exempt,
            bound.max_length or 0,
            bound.max_length_bytes or 0,
            (overflow or bound.overflow).value,
            terms.dead_letter_list,
            terms.ceiling,
            guard.key,
            guard.overlap.value,
            guard.payload.value,
            guard.scope.value,
            guard.firing,
            guard.entry,
            str(headers.get("retries") or 0),
            self.lists.place,
            self.lists.expires_ms,
            bound.dead_letter,
            terms.dead_letters,
            terms.unacked_index,
            terms.visibility_ms,
        ]


def ceiling_of(policies: Policies) -> str:
    """The memory ceiling as the script reads it: "0.8" is a share, "100000000" are bytes, nothing is none."""
    ceiling = policies.ceiling
    if not ceiling:
        return ""
    return str(int(ceiling)) if ceiling > 1 else repr(float(ceiling))


def kept(message: dict[str, Any], exempt: str) -> dict[str, Any]:
    """The message with a note that it must not be dropped, for whoever makes room in its queue."""
    headers = message.get("headers") or {}
    ours = headers.get(HEADER)
    note = {**ours, "exempt": exempt} if isinstance(ours, dict) else {"exempt": exempt}
    return {**message, "headers": {**headers, HEADER: note}}


def pending_of(answer: Sequence[Any]) -> str:
    """The id of the run that stands in for a message that was skipped."""
    return bytes_to_str(answer[1])


def refusal(answer: Sequence[Any], letter: Letter) -> QueueFull:
    """The error for a message that was refused: what was found, and what to do."""
    outcome, depth, bound, limit = letter.outcome_of(answer), int(answer[1]), int(answer[2]), bytes_to_str(answer[3])
    kept_in = letter.bound.dead_letter if outcome is Outcome.DEAD_LETTERED and letter.bound is not None else ""
    message = _WHAT_TO_DO[limit].format(queue=letter.queue, depth=depth, bound=bound)
    message = message.replace(" full: 1 messages wait,", " full: 1 message waits,")
    if kept_in:
        message += f"; the message is kept in {kept_in!r}"
    return QueueFull(message, queue=letter.queue, depth=depth, bound=bound, limit=limit, dead_letter=kept_in)


_WHAT_TO_DO = {
    "max_length": (
        "queue {queue!r} is full: {depth:,} messages wait, its max_length is {bound:,}; "
        "publish less or later, start more workers, or raise the bound in tidegate_queues"
    ),
    "max_length_bytes": (
        "queue {queue!r} is full: its messages take {depth:,} bytes, its max_length_bytes is {bound:,}; "
        "publish less or later, start more workers, or raise the bound in tidegate_queues"
    ),
    "memory": (
        "nothing is let into queue {queue!r}: the broker uses {depth:,} bytes, the ceiling is {bound:,}; "
        "let the workers drain the queues, or raise tidegate_gate_memory or the server's maxmemory"
    ),
}


def broker_full(queue: str) -> BrokerFull:
    """The error for a server that takes no write any more."""
    message = (
        f"the broker took no message for queue {queue!r}, its memory is used up: raise its maxmemory, or free some "
        "(`tidegate doctor` says what fills it), and bound the queues so that it can't happen again"
    )
    return BrokerFull(message)
