"""The due time that beat publishes at the moment in this thread: the gate decides on it and pushes in one script.

A claim holds what the script compares on the server: that this beat still leads, and that nobody has decided on this
due time. Whatever else the script finds (a bound, an overlap) is then its outcome, written in the same script.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tidegate.broker.beat import key_of
from tidegate.facts.beat import BeatOutcome
from tidegate.facts.gate import Outcome


@dataclass(frozen=True, slots=True)
class Terms:
    """Of which schedule (`name`, behind the `prefix`), and by which lease: `token` is what the lease's key must hold."""

    prefix: str
    name: str
    token: str


@dataclass(slots=True)
class Claim:
    """One due time on its way. `before` is what the entry's cursor holds as long as nobody has decided on it, "" none.

    `due_us`: microseconds since the epoch, the cursor from then on; 0 for a run that was asked for, whose `ask` is gone
    from then on. `terms`: None where nothing is compared, and only the outcome is asked for. `label` is the outcome where
    the message is simply let in. `outcome` and `why` are written when the answer is there: None until then, and where it
    is in doubt.
    """

    terms: Terms | None
    entry: str
    due_us: int
    before: str = ""
    ask: str = ""
    label: BeatOutcome = BeatOutcome.SENT
    outcome: BeatOutcome | None = None
    why: str = ""
    #: A publish carries it; another one, of a handler in between, does not.
    taken: bool = False

    def arguments(self) -> tuple[str, ...]:
        """What the fence is told, behind the arguments of its script."""
        terms = self.terms or _NO_TERMS
        base = key_of(terms.prefix, terms.name, "")
        return base, terms.token, self.entry, str(self.due_us), self.before, self.ask, self.label.value

    def take(self, answer: object) -> str:
        """Reads the answer of a fenced script: why nothing was published (`standby`, `moved`, `gone`, or `done` where it
        was published already), and empty where the script has decided.
        """
        word = _word(answer)
        if word == "buffered":
            self.outcome = BeatOutcome.BUFFERED
        if word != "fenced":
            self.outcome = self.outcome or _OUTCOMES.get(word, self.label)
            return ""
        self.why = _WHY[_text(answer[1])]  # type: ignore[index]
        # Where the cursor moved nobody knows what became of this due time until it is read again.
        self.outcome = {_STANDBY: BeatOutcome.STANDBY, _DONE: self.label, _GONE: self.label}.get(self.why)
        return self.why


_NO_TERMS = Terms("", "", "")
_STANDBY, _DONE, _GONE = "another beat leads", "it was sent already", "the run was sent already"
_WHY = {"standby": _STANDBY, "done": _DONE, "gone": _GONE, "moved": "another due time was decided on meanwhile"}
#: What the gate says of a message that it does not let in, as an outcome of its due time.
KEPT_OUT: Mapping[str, BeatOutcome] = {
    Outcome.OVERLAP_SKIPPED: BeatOutcome.OVERLAP_SKIPPED,
    Outcome.REPLACED: BeatOutcome.REPLACED,
    Outcome.QUEUE_FULL: BeatOutcome.QUEUE_FULL,
    Outcome.DEAD_LETTERED: BeatOutcome.QUEUE_FULL,
    Outcome.MEMORY_FULL: BeatOutcome.MEMORY_FULL,
}
_OUTCOMES = {**KEPT_OUT, Outcome.SPILLED: BeatOutcome.BUFFERED}


def _word(answer: object) -> str:
    return _text(answer[0]) if isinstance(answer, (list, tuple)) and answer else ""


def _text(word: object) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


class _Here(threading.local):
    claim: Claim | None = None


_here = _Here()


def current_claim() -> Claim | None:
    """The claim of the publish that is under way in this thread; None for everything that beat does not send."""
    return _here.claim


def take_claim() -> Claim | None:
    """The same for the first publish in it that asks, and for no other one."""
    claim = _here.claim
    if claim is None or claim.taken or claim.terms is None:
        return None
    claim.taken = True
    return claim


@contextmanager
def claiming(claim: Claim | None) -> Iterator[Claim | None]:
    """For the time of one `apply_async` of beat."""
    before, _here.claim = _here.claim, claim
    try:
        yield claim
    finally:
        _here.claim = before
