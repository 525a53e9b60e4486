"""What runs on the task's own path: a call before and one behind it, some five microseconds in all, that never raise.

In a pool of processes each writes to its slot of shared memory (rings.py); in threads, greenlets and the solo pool
finished runs wait in a queue of the same process.
"""

import itertools
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from tidegate.observe.probe.rings import Rings, SlotWriter
from tidegate.observe.probe.run import (
    MOST_CHILDREN,
    OTHER_CHILDREN,
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


class Recorder(ABC):
    """Records the runs of one process. Where it fails, it says so once and is silent from then on; it never raises."""

    broken = False

    @abstractmethod
    def begin(self, task: str, said: Mapping[str, Any]) -> object:
        """Notes the beginning of a run, and gives what its end is told with; `said` is the request."""

    @abstractmethod
    def end(self, begun: Any, outcome: int) -> None:
        """Notes the end of a run, with its place among OUTCOMES."""

    @abstractmethod
    def published(self, task: object) -> str:
        """Notes that the present run published a message, and gives the entry it goes back to; empty outside of runs."""

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
        self._running = False
        self._entry: object = ""
        self._children: dict[str, int] | None = None
        self._began_ns = self._idle_since_ns = time.process_time_ns()

    def begin(self, task: str, said: Mapping[str, Any]) -> None:
        """Says in shared memory what runs, where it can be read when this process is killed."""
        if self.broken:
            return
        try:
            read = said_of(said, task)
            self._entry = read[0][3]
            self._children = None
            self._began_ns = cpu_ns = time.process_time_ns()
            outside_us = (cpu_ns - self._idle_since_ns) // 1000
            self._writer.begin(read, self._busy() + 1, _now_ns() // 1000, outside_us)
            self._running = True
        except Exception as error:  # noqa: BLE001  whatever breaks here, the task goes on
            self.give_up(error)

    def end(self, begun: None, outcome: int) -> None:
        """Makes the run part of the ring."""
        if not self._running or self.broken:
            return
        try:
            self._running = False
            cpu_ns = self._idle_since_ns = time.process_time_ns()
            cpu_us = (cpu_ns - self._began_ns) // 1000
            self._writer.end(self._busy(), outcome, _now_ns() // 1000, cpu_us, self._children)
        except Exception as error:  # noqa: BLE001
            self.give_up(error)

    def published(self, task: object) -> str:
        """Notes a child of what the process runs, whichever of its threads published it."""
        if not self._running:
            return ""
        if self._children is None:
            self._children = {}
        note_child(self._children, task)
        return name_of(self._entry)


class Begun:
    """A run that goes on in this process."""

    __slots__ = ("busy", "children", "cpu_ns", "flags", "kind", "machine", "start_us", "told")

    def __init__(self, kind: Kind, machine: str, flags: int, busy: int, told: tuple[int, float, float]) -> None:
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

    def begin(self, task: str, said: Mapping[str, Any]) -> Begun | None:
        """Keeps the run among those that go on."""
        if self.broken:
            return None
        try:
            names, origin, root, stamp_s, eta_s, flags = said_of(said, task)
            kind, machine = self._known(names, origin)
            begun = Begun(kind, machine, flags, len(self.running) + 1, (root, stamp_s, eta_s))
            self.running[id(begun)] = self._thread.begun = begun
            begun.cpu_ns = self._cpu_ns()
            begun.start_us = _now_ns() // 1000
            return begun
        except Exception as error:  # noqa: BLE001  whatever breaks here, the task goes on
            self.give_up(error)
            return None

    def end(self, begun: Begun | None, outcome: int) -> None:
        """Keeps the run for the collector, or counts it as dropped where that one is far behind."""
        if begun is None:
            return
        try:
            cpu_us = (self._cpu_ns() - begun.cpu_ns) // 1000
            end_us, busy = _now_ns() // 1000, len(self.running)
            self._thread.begun = None
            self.running.pop(id(begun), None)
            if len(self.waiting) < MOST_WAITING:
                self.waiting.append(self._run(begun, busy, outcome, end_us, cpu_us))
            else:
                self.dropped += 1
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

    def _run(self, begun: Begun, busy: int, outcome: int, end_us: int, cpu_us: int) -> Run:
        root, stamp_s, eta_s = begun.told
        return Run(
            self._slot(), begun.kind, begun.machine, begun.children, begun.flags, begun.busy, busy, outcome, root,
            next(self._serials), begun.start_us, end_us, cpu_us, 0, stamp_s, eta_s,
        )  # fmt: skip

    def _known(self, names: Any, origin: Any) -> tuple[Kind, str]:
        try:
            kind, machine = self._kinds.get(names), self._machines.get(origin)
        except TypeError:
            # A name that can't be looked up is none.
            names, origin = tuple(map(name_of, names)), name_of(origin)
            kind = machine = None
        if kind is not None and machine is not None:
            return kind, machine
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
