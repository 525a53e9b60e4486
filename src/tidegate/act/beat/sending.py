"""Sends what is due, many in one round trip where Kombu can, and learns what became of each."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from tidegate.act.beat.behind import is_gated
from tidegate.act.beat.kept import Kept
from tidegate.act.beat.outcomes import rarely
from tidegate.act.beat.standing import ANY_CURSOR, Verdict
from tidegate.act.claim import KEPT_OUT, Claim, claiming, current_claim
from tidegate.act.gate.signals import gate_decided
from tidegate.act.gate.skipped import Fenced
from tidegate.errors import BrokerFull, NotPublished, QueueFull
from tidegate.facts.beat import BeatOutcome
from tidegate.facts.gate import Outcome

#: The header in which a message of beat says when it was due.
DUE_HEADER = "periodic_due_at"
#: Publishing again settles nothing after so many publishes of which nobody knows what became.
MOST_DOUBTS = 3


@dataclass(slots=True, eq=False)
class Sending:
    """One due time on its way: the entry, its claim, the options it gets beside its own; then what was returned or raised."""

    kept: Kept
    claim: Claim
    options: dict[str, Any]
    result: Any = None
    error: BaseException | None = None

    @property
    def id(self) -> str:
        """The id of the message; empty where none was made."""
        return str(getattr(self.result, "id", "") or "")

    def with_due(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options, and a header that says which due time this is, in seconds since the epoch."""
        if self.claim.due_us:
            options["headers"] = {**(options.get("headers") or {}), DUE_HEADER: self.claim.due_us / 1e6}
        return options

    def outcome(self, *, flushed: bool) -> BeatOutcome | None:
        """What became of it; None where nobody knows. `flushed`: the batch it was in is with the server."""
        if self.claim.outcome is not None:
            return self.claim.outcome
        if self.error is not None:
            return _of_error(self.error, claimed=self.claim.terms is not None)
        if self.claim.terms is not None:
            return None
        return self.claim.label if flushed else BeatOutcome.FAILED


class Post:
    """The way out. `send` is what sends one entry: `apply_entry` or what a flavour has in its place."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._by_id: dict[str, Sending] = {}
        #: The one that is published at the moment.
        self.now: Sending | None = None
        gate_decided.connect(self._gate_decided, weak=True)

    def send_all(self, sendings: Sequence[Sending]) -> bool:
        """Whether everything that was published is with the server, as far as this side can tell. Never raises."""
        self._by_id.clear()
        if not is_gated(self._scheduler.app):
            sendings = self._claimed(sendings)
        try:
            producer = self._scheduler.producer
            with _batch(producer, len(sendings)):
                for sending in sendings:
                    self._send(sending)
        except NotPublished as error:
            # What was refused has its outcome; the others are in.
            _complain(error)
        except Exception as error:  # noqa: BLE001  of the connection or the batch: beat goes on
            _complain(error)
            if not is_gated(self._scheduler.app):
                self._recount(sendings)
            return False
        return True

    def _recount(self, sendings: Sequence[Sending]) -> None:
        """They were claimed, and did not get out as far as anybody knows."""
        verdicts = []
        for claim in (one.claim for one in sendings):
            if claim.terms is not None and claim.outcome is claim.label:
                claim.outcome = BeatOutcome.FAILED
                verdicts.append(Verdict(claim.entry, claim.due_us, ANY_CURSOR, claim.label, many=-1))
                verdicts.append(Verdict(claim.entry, claim.due_us, ANY_CURSOR, BeatOutcome.FAILED, why="not published"))
        if verdicts:
            self._scheduler.standing.record(verdicts)

    def _claimed(self, sendings: Sequence[Sending]) -> Sequence[Sending]:
        """Those that this beat may publish: without the gate the claim comes first, so each is sent at most once."""
        claims = [sending.claim for sending in sendings if sending.claim.terms is not None]
        if not claims:
            return sendings
        self._scheduler.standing.claim(claims)
        return [one for one in sendings if one.claim.outcome is one.claim.label and not one.claim.why]

    def _send(self, sending: Sending) -> None:
        self.now = sending
        try:
            with claiming(sending.claim):
                self._scheduler.send_entry(sending.kept.entry)
        except Exception as error:  # noqa: BLE001  of this entry alone
            self.failed(error)
        finally:
            self.now = None
        if sending.id:
            self._by_id[sending.id] = sending

    def sent(self, result: Any) -> None:
        """`apply_async` gave this for what is published at the moment."""
        if self.now is not None:
            self.now.result = result

    def failed(self, error: BaseException) -> None:
        """It raised this."""
        if self.now is None:
            return
        error = error.__cause__ or error.__context__ or error if type(error).__name__ == "SchedulingError" else error
        if isinstance(error, Fenced):
            return  # the claim says what became of it
        self.now.error = error
        if self.now.claim.outcome is self.now.claim.label and not is_gated(self._scheduler.app):
            self._recount([self.now])
        _complain(error, self.now.kept.name)

    def _gate_decided(self, outcome: Outcome, id: str = "", why: str = "", **_: Any) -> None:
        """Handler of the gate's signal: in the course of a publish it is of that one, at the end of a batch by its id."""
        sending = self._by_id.get(id) or (self.now if current_claim() is not None else None)
        if sending is not None and sending.claim.outcome is None and outcome in KEPT_OUT:
            sending.claim.outcome, sending.claim.why = KEPT_OUT[outcome], why


def _batch(producer: Any, many: int) -> AbstractContextManager[Any]:
    batch = getattr(producer, "batch", None)
    return batch(max_size=4 * many + 1) if batch is not None and many > 1 else nullcontext()


def _of_error(error: BaseException, *, claimed: bool) -> BeatOutcome | None:
    """None where the message may be with the server all the same."""
    if isinstance(error, QueueFull):
        return BeatOutcome.MEMORY_FULL if error.limit == "memory" else BeatOutcome.QUEUE_FULL
    if isinstance(error, BrokerFull):
        return BeatOutcome.MEMORY_FULL
    return None if claimed and _is_of_connection(error) else BeatOutcome.FAILED


def _is_of_connection(error: BaseException) -> bool:
    """Errors of sockets are OSErrors, and Kombu's OperationalError and redis-py's errors name their kind."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"OSError", "OperationalError", "RedisError", "BatchPublishError", "BrokerSilent"})


def _complain(error: BaseException, entry: str = "") -> None:
    """One line a minute for each kind of error, whatever it happens to."""
    kind = type(error).__name__
    rarely.say(f"message {kind}", "%s was not sent (%s: %s)", entry or "what was due", kind, error)
