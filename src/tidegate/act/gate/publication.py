"""The publish that is under way in this thread: what was decided before the transport sees it, and what became of it.

`publishing.py` opens one around every `app.send_task`; the channel reads it in `_put` and writes the outcome into it.
A message that is published without one (plain Kombu) is bounded like any other, and has no overlap.
"""

import threading
from dataclasses import dataclass

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


class _Here(threading.local):
    publication: Publication | None = None


_here = _Here()


def current() -> Publication | None:
    """The publish under way in this thread (or greenlet)."""
    return _here.publication


class publishing:
    """For the time of one publish; they nest, for a handler of a signal may publish too. None is one of plain Kombu."""

    # Named as the statement that it is used in; a generator in its place would cost a microsecond more.

    __slots__ = ("_before", "_patience_before", "_publication")

    def __init__(self, publication: Publication | None) -> None:
        self._publication = publication

    def __enter__(self) -> Publication | None:
        publication = self._publication
        self._before, _here.publication = _here.publication, publication
        timeout_s = None if publication is None else publication.timeout_s
        self._patience_before = patience.replace(None if timeout_s is None else patience.Patience(timeout_s))
        return publication

    def __exit__(self, *exc: object) -> None:
        _here.publication = self._before
        patience.replace(self._patience_before)
