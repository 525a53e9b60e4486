"""The due time that beat publishes at the moment in this thread: the gate decides on it and pushes in one script.

A claim holds what the script compares on the server: that this beat still leads, and that nobody has decided on this
due time. Whatever else the script finds (a bound, an overlap) is then its outcome, written in the same script.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tidegate.facts.beat import BeatOutcome


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


class _Here(threading.local):
    claim: Claim | None = None


_here = _Here()


def current_claim() -> Claim | None:
    """The claim of the publish that is under way in this thread; None for everything that beat does not send."""
    return _here.claim


@contextmanager
def claiming(claim: Claim | None) -> Iterator[Claim | None]:
    """For the time of one `apply_async` of beat."""
    before, _here.claim = _here.claim, claim
    try:
        yield claim
    finally:
        _here.claim = before
