"""What follows a decision of the gate: a signal, a line in the log, and a result for whoever waits for what went.

The publisher is never held up: results are set by a thread of their own, and a backend that fails or hangs costs only
results. Counts and the journal are written by the scripts, in the round trip that decides.
"""

import atexit
import logging
import os
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from celery import states
from celery.app.task import Context
from celery.exceptions import TaskRevokedError

from tidegate.act.gate.rarely import Rarely
from tidegate.act.gate.signals import gate_decided
from tidegate.facts.gate import HEADER, Outcome

log = logging.getLogger("tidegate.gate")

_SENTENCE = {
    Outcome.DROPPED_HEAD: "was dropped from the full queue",
    Outcome.SUPERSEDED: "was superseded by a newer one in queue",
}
_QUIET = (Outcome.OVERLAP_SKIPPED, Outcome.REPLACED, Outcome.SPILLED)
#: Results that wait to be set; older ones go where the backend is slower than that.
_MOST_WAITING = 10_000
_PATIENCE_AT_EXIT_S = 1.0

_rarely = Rarely(log)


def tell(outcome: Outcome, queue: str, headers: Mapping[str, Any], why: str, app: Any) -> None:
    """Says what became of the message with these headers; never raises. `why` as in the journal.

    For the outcomes in which a published message went (dropped, superseded) its result is set, so that `get()` raises
    TaskRevokedError at once. 2 µs where nobody listens, and nothing is waited for.
    """
    try:
        guard = headers.get(HEADER)
        task, id_ = _text(headers.get("task")), _text(headers.get("id"))
        key = _text(guard.get("key")) if isinstance(guard, Mapping) else ""
        level = logging.DEBUG if outcome in _QUIET else logging.WARNING
        _rarely.say(f"{outcome} {queue}", "%s: %s[%s] in queue %s (%s)", outcome, task, id_, queue, why, level=level)
        if outcome in _SENTENCE and id_ and not headers.get("ignore_result"):
            settle(app, id_, f"{task}[{id_}] {_SENTENCE[outcome]} {queue}: {why}")
        gate_decided.send(sender=task, outcome=outcome, queue=queue, task=task, id=id_, key=key, why=why)
    except Exception as error:  # noqa: BLE001  the message is where it is, whatever happens here
        _rarely.say("tell", "what the gate did could not be told (%s: %s)", type(error).__name__, error)


def settle(app: Any, id_: str, reason: str) -> None:
    """Sets the result of a message that will not run to REVOKED, soon and elsewhere; costs a microsecond here."""
    if has_results(app):
        _settler.add(_Lost(app, id_, reason))


def has_results(app: Any) -> bool:
    """Whether the application keeps results at all."""
    return type(app.backend).__name__ != "DisabledBackend"


def revoke(app: Any, id_: str, reason: str, request: Context | None = None, *, stored: bool = True) -> bool:
    """Says to the backend what a worker would say of a revoked task; whether it did. Raises what the backend raises.

    With the message's `request` its chain and its chord are told as well; without `stored` they alone are. A result that
    is there already belongs to an earlier delivery of the same message, and stays.
    """
    backend, error = app.backend, TaskRevokedError(reason)
    if backend.get_state(id_) in states.READY_STATES:
        return False
    request = request or Context(id=id_, errbacks=None, chain=None)
    backend.mark_as_failure(id_, error, request=request, store_result=stored, state=states.REVOKED, call_errbacks=False)
    return True


def flush(within_s: float = 5.0) -> bool:
    """Waits until every result is set; whether they all were in that time."""
    return _settler.flush(within_s)


class _Lost(NamedTuple):
    app: Any
    id: str
    reason: str

    def settle(self) -> None:
        revoke(self.app, self.id, self.reason)


class _Settler:
    """The thread that sets results; it starts with the first one, and again in a process that was forked."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._waiting: deque[_Lost] = deque(maxlen=_MOST_WAITING)
        self._changed = threading.Condition()
        self._busy = False
        self._thread: threading.Thread | None = None

    def add(self, lost: _Lost) -> None:
        """Never waits."""
        if self._process != os.getpid():
            self.__init__()  # type: ignore[misc]
        with self._changed:
            if len(self._waiting) == _MOST_WAITING:
                _rarely.say("results", "results of dropped messages are lost: the result backend is too slow")
            self._waiting.append(lost)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="tidegate-results", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, within_s: float) -> bool:
        """Whether nothing is left after that time at the latest."""
        if self._process != os.getpid():
            return True
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, within_s)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting)
                self._busy = True
            # In a call of its own, for a name here would keep the last application alive for as long as nothing comes.
            self._settle_next()

    def _settle_next(self) -> None:
        lost = self._waiting.popleft()
        try:
            lost.settle()
        except Exception as error:  # noqa: BLE001  whatever a backend may raise
            _rarely.say("backend", "the result of %s can't be set (%s: %s)", lost.id, type(error).__name__, error)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


_settler = _Settler()
atexit.register(flush, _PATIENCE_AT_EXIT_S)
