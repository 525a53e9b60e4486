"""The publish that is under way in this thread: what was decided before the transport sees it, and what became of it.

`publishing.py` opens one around every `app.send_task`; the channel reads it in `_put` and writes the outcome into it.
A message that is published without one (plain Kombu) is bounded like any other, and has no overlap.
"""

import threading
from dataclasses import dataclass

from tidegate.facts.gate import Guard, Outcome


@dataclass(slots=True)
class Publication:
    """One publish.

    `exempt` says why no bound applies (`retry`, `chord`, `workflow`), empty where one does. `outcome` is written by
    the channel; `pending` is then the id of the run that stands in for this one (skipped, replaced). `given`: the
    caller chose the task's id himself, so somebody may wait for it.
    """

    guard: Guard | None = None
    exempt: str = ""
    outcome: Outcome | None = None
    pending: str = ""
    given: bool = False


class _Here(threading.local):
    publication: Publication | None = None


_here = _Here()


def current() -> Publication | None:
    """The publish under way in this thread (or greenlet)."""
    return _here.publication


class publishing:
    """For the time of one publish; they nest, for a handler of a signal may publish too. None: one without policies."""

    # Named as the statement that it is used in; a generator in its place would cost a microsecond more.

    __slots__ = ("_before", "_publication")

    def __init__(self, publication: Publication | None) -> None:
        self._publication = publication

    def __enter__(self) -> Publication | None:
        self._before, _here.publication = _here.publication, self._publication
        return self._publication

    def __exit__(self, *exc: object) -> None:
        _here.publication = self._before
