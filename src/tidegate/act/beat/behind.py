"""The overlap of an entry where the gate is off: by the result of its last run, where a result backend keeps one."""

from typing import Any

from tidegate.act.beat.calendar import interval_of
from tidegate.act.beat.kept import Kept
from tidegate.act.beat.outcomes import log, rarely
from tidegate.act.gate.install import is_installed
from tidegate.facts.overlap import Overlap

#: A run of which nothing was heard for so long (and for ten intervals) is given up.
GIVEN_UP_US = 3_600_000_000


def is_gated(app: Any) -> bool:
    """Whether what the application publishes passes the gate."""
    return is_installed(app) and app.conf.get("tidegate_gate", True) is not False


class Behind:
    """Asks the result backend, and only for entries that must not overlap; the id of the last run is kept in memory."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._told: set[str] = set()
        #: By entry: the id of the last run that was sent, and the due time it was of.
        self._runs: dict[str, tuple[str, int]] = {}

    def note(self, kept: Kept, id_: str, due_us: int) -> None:
        """This run of it was sent."""
        if kept.policy.overlap not in (None, Overlap.ALLOW_ALL):
            self._runs[kept.name] = id_, due_us

    def why_skipped(self, kept: Kept, due_us: int) -> str:
        """Why this due time is passed over; empty where it is sent. A round trip to the backend."""
        if kept.policy.overlap in (None, Overlap.ALLOW_ALL) or self._tell(kept, self.why_not_held(kept)):
            return ""
        id_, sent_us = self._runs.get(kept.name, ("", 0))
        if not id_ or due_us - sent_us > self._patience_us(kept):
            return ""
        try:
            return "" if self._app.AsyncResult(id_).ready() else f"{id_} has no result yet"
        except Exception as error:  # noqa: BLE001  a backend that is away
            rarely.say("results", "the result of %s can't be asked for (%s: %s)", id_, type(error).__name__, error)
            return ""

    def why_not_held(self, kept: Kept) -> str:
        """Why the overlap that its policy asks for is not held here; empty where it is, or none is asked for."""
        if kept.policy.overlap in (None, Overlap.ALLOW_ALL):
            return ""
        if type(self._app.backend).__name__ == "DisabledBackend":
            return "the gate is off and there is no result backend"
        task = self._app.tasks.get(kept.entry.task)
        ignores = kept.entry.options.get("ignore_result", getattr(task, "ignore_result", None))
        if ignores or (ignores is None and self._app.conf.task_ignore_result):
            return "the gate is off and the task keeps no result"
        return ""

    def _tell(self, kept: Kept, why: str) -> str:
        if why and kept.name not in self._told:
            self._told.add(kept.name)
            log.warning("the overlap %s of %s is not held: %s", kept.policy.overlap, kept.name, why)
        return why

    @staticmethod
    def _patience_us(kept: Kept) -> int:
        """As long as options or settings say that a run is good for, else ten intervals, an hour at least."""
        expires = kept.entry.options.get("expires") or kept.policy.expires_s
        if isinstance(expires, (int, float)):
            return int(expires * 1e6)
        return max(10 * (kept.interval_us or interval_of(kept.schedule)), GIVEN_UP_US)
