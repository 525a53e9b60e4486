"""What this worker process has in hand, as the marks name it: who it is, which sessions of it live, which runs go on.

A session is the life of one channel that takes messages. When its connection breaks, what it held is nobody's until
it comes back, though the worker lives on.
"""

import itertools
import os
import weakref
from typing import Any

from celery.worker import state

from tidegate.facts.gate import HEADER
from tidegate.observe.process import is_alive

#: Tries to read a set that other threads change.
_TRIES = 5


class Hands:
    """Those of one worker process; empty in every other one, a forked child of it included."""

    def __init__(self) -> None:
        self.app: Any = None
        self._worker = ""
        self._process = 0
        self._numbers = itertools.count(1)
        self._sessions: dict[str, weakref.ref[Any]] = {}

    def begin(self, worker: str, app: Any) -> None:
        """From now on this process is that worker."""
        self._worker, self._process, self.app = worker, os.getpid(), app
        self._sessions.clear()

    def end(self) -> None:
        """It is no worker any more."""
        self._worker, self.app = "", None
        self._sessions.clear()

    @property
    def worker(self) -> str:
        """The id of the worker that this process is; empty where it is none."""
        return self._worker if self._worker and self._process == os.getpid() else ""

    def session(self, qos: Any) -> str:
        """A new session, `<worker>/<number>`; it lives as long as the channel of `qos` does."""
        number = str(next(self._numbers))
        self._sessions[number] = weakref.ref(qos)
        return f"{self.worker}/{number}"

    def sessions(self) -> list[str]:
        """The numbers of the sessions that live."""
        for number, known in list(self._sessions.items()):
            if not _lives(known()):
                self._sessions.pop(number, None)
        return list(self._sessions)

    def runs(self) -> tuple[list[str], list[str]]:
        """The tags of the guarded messages whose runs go on; and of those whose process has died, and that are lost.

        Celery waits ten seconds before it believes that a process of its pool has died.
        """
        going, lost = [], []
        for request in _active():
            if request.request_dict.get(HEADER) is None:
                continue
            pid = getattr(request, "worker_pid", None)
            if pid is None or is_alive(pid):
                going.append(_tag_of(request))
            elif not (request.task.acks_late and request.task.reject_on_worker_lost):
                lost.append(_tag_of(request))
        return going, lost

    def begins(self, task_id: str, tag: str) -> bool:
        """Whether that message is acknowledged because its run begins, whose end is told by the process that runs it."""
        if not self.worker:
            return False
        request = state.requests.get(task_id)
        if request is None or request not in state.active_requests or _tag_of(request) != tag:
            return False
        return not request.task.acks_late


def _lives(qos: Any) -> bool:
    return qos is not None and not qos.channel.closed and not getattr(qos._delivered, "restored", False)


def _active() -> list[Any]:
    for _ in range(_TRIES):
        try:
            return list(state.active_requests)
        except RuntimeError:
            # Another thread took one up or put one down meanwhile.
            continue
    return []


def _tag_of(request: Any) -> str:
    return str(request.message.delivery_tag)


#: Of this process.
hands = Hands()
