"""What runs on the task's own path: two handlers around every run, some microseconds in all, that never raise.

In a pool of processes each writes to its slot of shared memory (rings.py); in threads, greenlets and the solo pool
finished runs wait in a queue of the same process.
"""

import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from tidegate.observe.probe.rings import Rings, SlotWriter
from tidegate.observe.probe.run import (
    FAILURE,
    MOST_CHILDREN,
    OTHER_CHILDREN,
    OUTCOME_OF_STATE,
    Kind,
    Names,
    Run,
    machine_of,
    name_of,
    said_of,
)

log = logging.getLogger("tidegate.probe")

#: Runs that wait for the collector at most; at a thousand a second it is more than a minute behind then.
MOST_WAITING = 100_000
#: Where nobody can tell which slot it was: a greenlet lives for one run.
NO_SLOT = -1
_MOST_KNOWN = 10_000

_now_ns = time.monotonic_ns
Clock = Callable[[], int]


def no_clock() -> int:
    """The CPU time of a greenlet, which nobody can tell."""
    return 0


class Recorder:
    """The handlers of one process. Where one of them fails, it says so once and is silent from then on."""

    broken = False

    def prerun(self, task: Any = None, task_id: Any = None, **_: Any) -> None:
        """Handler of `task_prerun`."""
        raise NotImplementedError

    def postrun(self, task_id: Any = None, state: Any = None, **_: Any) -> None:
        """Handler of `task_postrun`."""
        raise NotImplementedError

    def published(self, task: object) -> str:
        """Notes that the present run published a message, and gives the entry it goes back to; empty outside of runs."""
        raise NotImplementedError

    def give_up(self, error: Exception) -> None:
        """Says once what is broken; from then on nothing is recorded in this process."""
        # A soft time limit strikes wherever the process happens to be: that is no fault of ours.
        if type(error).__name__ != "SoftTimeLimitExceeded":
            self.broken = True
            log.warning("the probe can't record runs and is off in this process (%s: %s)", type(error).__name__, error)


class RingRecorder(Recorder):
    """Writes to a slot of shared memory; for a process that runs one task at a time."""

    def __init__(self, rings: Rings, index: int) -> None:
        self._writer = SlotWriter(rings, index)
        self._busy = rings.busy
        #: The id of the task that runs; a task that is called eagerly inside has another one.
        self._running: Any = None
        self._entry: Any = ""
        self._children: dict[str, int] | None = None
        self._began_ns = self._idle_since_ns = time.process_time_ns()

    def prerun(self, task: Any = None, task_id: Any = None, **_: Any) -> None:
        """Handler of `task_prerun`."""
        if self.broken:
            return
        try:
            said = task.request_stack.top.__dict__
            if said.get("is_eager"):
                return
            read = said_of(said, task.name)
            self._entry = read[0][3]
            self._children = None
            self._began_ns = cpu_ns = time.process_time_ns()
            outside_us = (cpu_ns - self._idle_since_ns) // 1000
            self._writer.begin(read, self._busy() + 1, _now_ns() // 1000, outside_us)
            self._running = task_id
        except Exception as error:  # noqa: BLE001  whatever breaks here, the task goes on
            self.give_up(error)

    def postrun(self, task_id: Any = None, state: Any = None, **_: Any) -> None:
        """Handler of `task_postrun`."""
        if task_id != self._running or task_id is None or self.broken:
            return
        try:
            self._running = None
            cpu_ns = self._idle_since_ns = time.process_time_ns()
            outcome = OUTCOME_OF_STATE.get(state, FAILURE)
            cpu_us = (cpu_ns - self._began_ns) // 1000
            self._writer.end(self._busy(), outcome, _now_ns() // 1000, cpu_us, self._children)
        except Exception as error:  # noqa: BLE001
            self.give_up(error)

    def published(self, task: object) -> str:
        """Notes a child of what the process runs, whichever of its threads published it."""
        if self._running is None:
            return ""
        if self._children is None:
            self._children = {}
        note_child(self._children, task)
        return name_of(self._entry)


class Begun:
    """A run that goes on in this process."""

    __slots__ = ("busy", "children", "cpu_ns", "flags", "kind", "machine", "start_us", "task_id", "told")

    def __init__(
        self, task_id: Any, kind: Kind, machine: str, flags: int, busy: int, told: tuple[int, float, float]
    ) -> None:
        #: A task that is called eagerly inside has another one.
        self.task_id = task_id
        self.kind = kind
        self.machine = machine
        self.flags = flags
        self.busy = busy
        self.told = told
        self.children: dict[str, int] | None = None
        self.start_us = self.cpu_ns = 0


class _Thread(threading.local):
    """What this thread, or greenlet, runs at the moment."""

    begun: Begun | None = None


class QueueRecorder(Recorder):
    """Keeps finished runs in this process until the collector takes them; `slot` tells threads apart."""

    def __init__(self, cpu_clock_ns: Clock, slot: Callable[[], int]) -> None:
        self.waiting: deque[Run] = deque()
        self.running: dict[int, Begun] = {}
        self.dropped = 0
        self._cpu_ns = cpu_clock_ns
        self._slot = slot
        self._thread = _Thread()
        self._kinds: dict[Any, Kind] = {}
        self._machines: dict[Any, str] = {}
        # `next` can't be torn between threads, `+= 1` can.
        self._serials = itertools.count(1)

    def prerun(self, task: Any = None, task_id: Any = None, **_: Any) -> None:
        """Handler of `task_prerun`."""
        if self.broken:
            return
        try:
            said = task.request_stack.top.__dict__
            if said.get("is_eager"):
                return
            names, origin, root, stamp_s, eta_s, flags = said_of(said, task.name)
            kind, machine = self._known(names, origin)
            begun = Begun(task_id, kind, machine, flags, len(self.running) + 1, (root, stamp_s, eta_s))
            self.running[id(begun)] = self._thread.begun = begun
            begun.cpu_ns = self._cpu_ns()
            begun.start_us = _now_ns() // 1000
        except Exception as error:  # noqa: BLE001  whatever breaks here, the task goes on
            self.give_up(error)

    def postrun(self, task_id: Any = None, state: Any = None, **_: Any) -> None:
        """Handler of `task_postrun`."""
        begun = self._thread.begun
        if begun is None or begun.task_id != task_id or self.broken:
            return
        try:
            self._thread.begun = None
            cpu_us = (self._cpu_ns() - begun.cpu_ns) // 1000
            self._end(begun, OUTCOME_OF_STATE.get(state, FAILURE), _now_ns() // 1000, cpu_us)
        except Exception as error:  # noqa: BLE001
            self.give_up(error)

    def published(self, task: object) -> str:
        """Notes a child of what this thread runs."""
        begun = self._thread.begun
        if begun is None:
            return ""
        if begun.children is None:
            begun.children = {}
        note_child(begun.children, task)
        return begun.kind.names.entry

    def drain(self) -> list[Run]:
        """All runs that ended since the last call."""
        return [self.waiting.popleft() for _ in range(len(self.waiting))]

    def unfinished(self) -> list[tuple[int, str]]:
        """(start, task) of what goes on."""
        return [(begun.start_us, begun.kind.names.task) for begun in list(self.running.values())]

    def _end(self, begun: Begun, outcome: int, end_us: int, cpu_us: int) -> None:
        busy = len(self.running)
        self.running.pop(id(begun), None)
        if len(self.waiting) >= MOST_WAITING:
            self.dropped += 1
            return
        root, stamp_s, eta_s = begun.told
        self.waiting.append(
            Run(
                self._slot(), begun.kind, begun.machine, begun.children, begun.flags, begun.busy, busy, outcome,
                root, next(self._serials), begun.start_us, end_us, cpu_us, 0, stamp_s, eta_s,
            )
        )  # fmt: skip

    def _known(self, names: Any, origin: Any) -> tuple[Kind, str]:
        try:
            return self._kinds[names], self._machines[origin]
        except KeyError:
            pass
        except TypeError:
            # A name that can't be looked up is none.
            names, origin = tuple(map(name_of, names)), name_of(origin)
        if len(self._kinds) >= _MOST_KNOWN or len(self._machines) >= _MOST_KNOWN:
            self._kinds.clear()
            self._machines.clear()
        kind = self._kinds.setdefault(names, Kind(Names(*map(name_of, names))))
        return kind, self._machines.setdefault(origin, machine_of(origin))


def note_child(children: dict[str, int], task: object) -> None:
    """Counts a message that was published, by its task."""
    name = name_of(task)
    if name not in children and len(children) >= MOST_CHILDREN:
        name = OTHER_CHILDREN
    children[name] = children.get(name, 0) + 1
