"""What runs on the task's own path: two handlers around every run, some ten microseconds in all, that never raise.

In a pool of processes each writes to its slot of shared memory (`rings.py`); in threads, greenlets and the solo pool
finished runs wait in a queue of the same process.
"""

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from tidegate.observe.probe.rings import Rings, Run, SlotWriter
from tidegate.observe.probe.run import (
    MOST_CHILDREN,
    OTHER_CHILDREN,
    OUTCOME_OF_STATE,
    Ended,
    Flag,
    Started,
    described,
    name_of,
    sendable,
)

log = logging.getLogger("tidegate.probe")

#: Runs that wait for the collector at most; at a thousand a second it is more than a minute behind then.
MOST_WAITING = 100_000

#: Where nobody can tell which slot it was: a greenlet lives for one run.
NO_SLOT = -1

_now_ns = time.monotonic_ns
Clock = Callable[[], int]


def no_clock() -> int:
    """The CPU time of a greenlet, which nobody can tell."""
    return 0


class Sink(Protocol):
    """Where runs go."""

    def begin(self, described: tuple[Any, ...], start_us: int, outside_us: int) -> Started:
        """Says that a run has begun."""

    def end(self, started: Started, ended: Ended) -> None:
        """Says that it has ended."""

    def busy(self) -> int:
        """How many slots of the worker are busy."""


class _Current:
    """What the process runs at the moment."""

    started: Started | None = None
    cpu_ns: int = 0
    children: dict[str, int] | None = None


class _CurrentOfThread(threading.local):
    """What this thread, or greenlet, runs at the moment."""

    started: Started | None = None
    cpu_ns: int = 0
    children: dict[str, int] | None = None


class Recorder:
    """The handlers of one process. Where one of them fails, it says so once and is silent from then on."""

    def __init__(self, sink: Sink, cpu_clock_ns: Clock, *, alone: bool) -> None:
        """`alone`: the process runs one task at a time, so that what its threads publish is that task's."""
        self.sink = sink
        self.broken = False
        self._cpu_ns = cpu_clock_ns
        self._current = _Current() if alone else _CurrentOfThread()
        self._alone = alone
        self._idle_since_ns = cpu_clock_ns()

    def prerun(self, task: Any = None, **_: Any) -> None:
        """Handler of `task_prerun`."""
        if self.broken:
            return
        try:
            said = task.request.__dict__
            if said.get("is_eager"):
                return
            current, cpu_ns = self._current, self._cpu_ns()
            outside_us = (cpu_ns - self._idle_since_ns) // 1000 if self._alone else 0
            current.children = None
            current.cpu_ns = cpu_ns
            current.started = self.sink.begin(described(said, task.name), _now_ns() // 1000, outside_us)
        except Exception as error:  # noqa: BLE001  whatever breaks here, the task goes on
            self._give_up(error)

    def postrun(self, task: Any = None, state: Any = None, **_: Any) -> None:
        """Handler of `task_postrun`."""
        current = self._current
        started = current.started
        if started is None or self.broken:
            return
        try:
            if task.request.__dict__.get("is_eager"):
                return
            current.started = None
            cpu_ns = self._idle_since_ns = self._cpu_ns()
            outcome = OUTCOME_OF_STATE.get(state, "failure")
            cpu_us, end_us = (cpu_ns - current.cpu_ns) // 1000, _now_ns() // 1000
            self.sink.end(started, Ended(started.serial, end_us, cpu_us, self.sink.busy(), outcome, current.children))
        except Exception as error:  # noqa: BLE001
            self._give_up(error)

    def published(self, task: object) -> str:
        """Notes that the present run published a message, and gives the entry it goes back to; empty outside of runs."""
        current = self._current
        started = current.started
        if started is None:
            return ""
        children = current.children
        if children is None:
            children = current.children = {}
        name = sendable(name_of(task))
        if name not in children and len(children) >= MOST_CHILDREN:
            name = OTHER_CHILDREN
        children[name] = children.get(name, 0) + 1
        return started.entry

    def _give_up(self, error: Exception) -> None:
        # A soft time limit strikes wherever the process happens to be: that is no fault of ours.
        if type(error).__name__ != "SoftTimeLimitExceeded":
            self.broken = True
            log.warning("the probe can't record runs and is off in this process (%s: %s)", type(error).__name__, error)


class RingSink:
    """Writes to a slot of shared memory."""

    def __init__(self, rings: Rings, writer: SlotWriter) -> None:
        self._writer = writer
        self.busy = rings.busy
        self._fresh = Flag.FRESH

    def begin(self, described: tuple[Any, ...], start_us: int, outside_us: int) -> Started:
        """Says so in shared memory, where it stays readable when the process is killed."""
        started = _started(self._writer.serial + 1, described, start_us, self.busy() + 1, outside_us, self._fresh)
        self._fresh = 0
        try:
            self._writer.begin(started)
        except UnicodeEncodeError:
            started = _without_odd_letters(started)
            self._writer.begin(started)
        return started

    def end(self, started: Started, ended: Ended) -> None:
        """Puts the run into the ring."""
        self._writer.end(ended)


class QueueSink:
    """Keeps finished runs in this process until the collector takes them; `slot` tells threads apart."""

    def __init__(self, slot: Callable[[], int]) -> None:
        self.waiting: deque[tuple[int, Run]] = deque()
        self.running: dict[int, Started] = {}
        self.dropped = 0
        self._slot = slot
        # `next` can't be torn between threads, `+= 1` can.
        self._serials = itertools.count(1)

    def begin(self, described: tuple[Any, ...], start_us: int, outside_us: int) -> Started:
        """Keeps the run among those that run."""
        started = _started(next(self._serials), described, start_us, len(self.running) + 1, outside_us, 0)
        self.running[id(started)] = started
        return started

    def busy(self) -> int:
        """How many runs there are."""
        return len(self.running)

    def end(self, started: Started, ended: Ended) -> None:
        """Keeps the run for the collector, or counts it as dropped where that one is far behind."""
        self.running.pop(id(started), None)
        if len(self.waiting) < MOST_WAITING:
            self.waiting.append((self._slot(), (started, ended)))
        else:
            self.dropped += 1

    def drain(self) -> list[tuple[int, Run]]:
        """All runs that ended since the last call."""
        return [self.waiting.popleft() for _ in range(len(self.waiting))]


def _started(
    serial: int, described: tuple[Any, ...], start_us: int, busy: int, outside_us: int, more_flags: int
) -> Started:
    task, exchange, routing_key, entry, stamp, eta, origin, root, flags = described
    flags |= more_flags
    return Started(
        serial, task, exchange, routing_key, entry, start_us, stamp, eta, origin, root, flags, busy, outside_us
    )


def _without_odd_letters(started: Started) -> Started:
    texts = {
        field: sendable(value)
        for field in started.__struct_fields__
        if isinstance(value := getattr(started, field), str)
    }
    return msgspec.structs.replace(started, **texts)
