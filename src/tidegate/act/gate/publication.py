"""The publish that is under way in this thread: what was decided before the transport sees it, and what became of it.

`publishing.py` opens one around every `app.send_task`; the channel reads it in `_put` and writes the outcome into it.
A message that is published without one (plain Kombu) is bounded like any other, and has no overlap.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tidegate.act.claim import Claim
from tidegate.broker import patience
from tidegate.facts.gate import Guard, Outcome


@dataclass(slots=True)
class Publication:
    """One publish.

    `exempt` says why no bound applies (`retry`, `chord`, `workflow`), empty where one does. `timeout_s` is how long a
    silent server is waited for, in all; None for ever. `outcome` is written by the channel (None where the message
    waits in a batch); `pending` is then the id of the run that stands in for this one (skipped, replaced). `given`: the
    caller chose the task's id himself, so somebody may wait for it.
    """

    guard: Guard | None = None
    exempt: str = ""
    outcome: Outcome | None = None
    pending: str = ""
    timeout_s: float | None = None
    given: bool = False
    #: The due time of beat that it is for.
    claim: Claim | None = None


class _Here(threading.local):
    publication: Publication | None = None


_here = _Here()


def current() -> Publication | None:
    """The publish under way in this thread (or greenlet)."""
    return _here.publication


Before = tuple[Publication | None, patience.Patience | None]


def begin(publication: Publication | None) -> Before:
    """One publish begins in this thread; None is one of plain Kombu. What has to be given to `end` afterwards."""
    timeout_s = None if publication is None else publication.timeout_s
    before = _here.publication, patience.replace(None if timeout_s is None else patience.Patience(timeout_s))
    _here.publication = publication
    return before


def end(before: Before) -> None:
    """It is over; they nest, for a handler of a signal may publish too."""
    _here.publication = before[0]
    patience.replace(before[1])


@contextmanager
def publishing(publication: Publication | None) -> Iterator[Publication | None]:
    """For the time of one publish, where a microsecond does not count."""
    before = begin(publication)
    try:
        yield publication
    finally:
        end(before)
