"""The probe inside one Celery worker: what fits its pool, what it says of itself, and the handlers around its runs."""

import logging
import os
import secrets
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from celery import signals

from tidegate.facts.measured import Unfinished, WorkerSeen
from tidegate.observe.app import address_of
from tidegate.observe.probe.clock import BrokerClock
from tidegate.observe.probe.collector import Collector, Source
from tidegate.observe.probe.counting import Counting
from tidegate.observe.probe.link import Link
from tidegate.observe.probe.machine import Machine, machine_name
from tidegate.observe.probe.overhead import Overhead
from tidegate.observe.probe.queues import QueueNames, lists_of
from tidegate.observe.probe.recorder import NO_SLOT, QueueRecorder, no_clock
from tidegate.observe.probe.rings import Rings
from tidegate.observe.probe.run import LOST, Names, Run, name_of
from tidegate.observe.probe.settings import ProbeSettings
from tidegate.observe.probe.stamps import Stamps, own_clock

log = logging.getLogger("tidegate.probe")

#: Where spawned processes of a pool find the rings; forked ones inherit them.
RINGS_VARIABLE = "TIDEGATE_PROBE_RINGS"
_FEWEST_SLOTS = 64
_ROOM_TO_GROW = 4
_MOST_UNFINISHED = 5
_GREEN = ("gevent", "eventlet")
#: Messages that were taken and not run, until the collector counts them.
_MOST_SKIPPED = 100_000

#: Turns of the collector (half a second each) before a run of a dead process is given up: a new process
#: that takes its slot says so itself.
_PATIENCE = 4


class WorkerProbe(Source):
    """One worker; made before its pool starts, in the process that will fork it."""

    def __init__(self, worker: Any, settings: ProbeSettings, stamps: Stamps) -> None:
        self._worker = worker
        self._settings = settings
        self.pool = _pool_of(worker.pool_cls)
        self.rings: Rings | None = None
        self.rings_file: Path | None = None
        self.recorder: QueueRecorder | None = None
        self._skipped: deque[tuple[str, Names]] = deque(maxlen=_MOST_SKIPPED)
        self._names = QueueNames(worker.app)
        self._machine = Machine()
        self._overhead = Overhead()
        self._clock = BrokerClock()
        self._said: Counter[str] = Counter()
        self._dead: Counter[int] = Counter()
        self._parent = os.getpid()
        self._prepare_pool()
        self._started_at_s = time.monotonic()
        counting = Counting(self._clock, self._names.queue_of, self._is_limited, settings.max_keys)
        process = secrets.token_hex(6)
        self.collector = Collector(self, counting, self._clock, Link(address_of(worker.app)), settings, process)
        stamps.clock = self.clock
        stamps.published = self.published

    def connect(self) -> None:
        """Connects the handlers of the worker's main process; those of a worker before it in the same one are gone."""
        _reconnect(signals.task_revoked, self.revoked)
        _reconnect(signals.task_rejected, self.rejected)
        _reconnect(signals.task_unknown, self.rejected)

    def clock(self) -> tuple[float, bool]:
        """The broker's time in every process of the worker, once it is known; the machine's own before."""
        if self.rings is not None:
            return self.rings.clock()
        return (self._clock.now(), True) if self._clock.known else own_clock()

    def published(self, task: object) -> str:
        """Notes a child of the present run; the entry it goes back to."""
        return self.recorder.published(task) if self.recorder is not None else ""

    def drain(self) -> list[Run]:
        """Runs that ended since the last call."""
        if self.rings is not None:
            return self.rings.drain() + self._lost(self.rings)
        return self.recorder.drain() if self.recorder is not None else []

    def skipped(self) -> list[tuple[str, Names]]:
        """What was taken and not run since the last call."""
        return [self._skipped.popleft() for _ in range(len(self._skipped))]

    def seen(self, counting: Counting, *, gone: bool) -> WorkerSeen:
        """What the worker says of itself; some file reads on Linux."""
        now_s = self._clock.now()
        return WorkerSeen(
            node=str(self._worker.hostname),
            machine=machine_name(),
            at_s=now_s,
            started_at_s=self._clock.at(int(self._started_at_s * 1e6)),
            pool=self.pool,
            slots=self._slots(),
            queues=tuple(self.queues()),
            cores=self._machine.cores,
            busy_cores=self._machine.busy_cores(),
            busy_slots=self._busy(),
            clock_ahead_s=round(self._clock.ahead_s(), 6),
            cpu_per_run_s=self._cpu_per_run(counting),
            every_s=self._settings.every_s,
            unfinished=self._unfinished(),
            gone=gone,
        )

    def queues(self) -> dict[str, list[str]]:
        """The lists of every queue the worker consumes at the moment."""
        return lists_of(self._worker.app, address_of(self._worker.app).layout)

    def account(self) -> Iterable[tuple[str, int]]:
        """Runs that could not be recorded, by why, since the last call."""
        if self.rings is not None:
            now = Counter(
                runs_dropped=self.rings.dropped(),
                runs_unreadable=self.rings.unreadable(),
                processes_without_slot=self.rings.without_slot,
            )
        else:
            now = Counter(runs_dropped=self.recorder.dropped if self.recorder is not None else 0)
        before, self._said = self._said, now
        return [(name, count - before[name]) for name, count in now.items()]

    def clock_learned(self, anchor_s: float) -> None:
        """Tells the processes of the pool."""
        if self.rings is not None:
            self.rings.anchor_s = anchor_s

    def revoked(
        self, sender: Any = None, request: Any = None, terminated: Any = None, expired: Any = None, **_: Any
    ) -> None:
        """Handler of `task_revoked`: a message that was taken and not run. One that was ended is counted as lost."""
        if not terminated:
            said = getattr(request, "__dict__", {})
            self._skip("expired" if expired else "revoked", name_of(getattr(sender, "name", "")), said)

    def rejected(self, sender: Any = None, message: Any = None, **_: Any) -> None:
        """Handler of `task_rejected` and `task_unknown`: a message that nobody here can run."""
        headers = getattr(message, "headers", None) or {}
        said = {**headers, "delivery_info": getattr(message, "delivery_info", None)}
        self._skip("rejected", name_of(headers.get("task")), said)

    def close(self) -> None:
        """Ends the collector with all that was counted; at most two seconds."""
        if os.getpid() != self._parent:
            return
        self.collector.finish()
        if self.rings_file is not None:
            self.rings_file.unlink(missing_ok=True)

    def _prepare_pool(self) -> None:
        if self.pool != "prefork":
            clock = time.process_time_ns if self.pool == "solo" else time.thread_time_ns
            green = self.pool in _GREEN
            self.recorder = QueueRecorder(no_clock if green else clock, _no_slot if green else threading.get_ident)
            return
        most = max(int(self._worker.concurrency or 1), int(getattr(self._worker, "max_concurrency", None) or 1))
        slots = max(_FEWEST_SLOTS, _ROOM_TO_GROW * most)
        if _forks(self._worker):
            self.rings = Rings.shared(slots)
        else:
            handle, name = tempfile.mkstemp(prefix="tidegate-", suffix=".rings")
            os.close(handle)
            self.rings_file = Path(name)
            self.rings = Rings.in_file(self.rings_file, slots)
            os.environ[RINGS_VARIABLE] = name

    def _skip(self, outcome: str, task: str, said: Any) -> None:
        delivery = said.get("delivery_info")
        delivery = delivery if isinstance(delivery, dict) else {}
        exchange, routing_key = name_of(delivery.get("exchange")), name_of(delivery.get("routing_key"))
        names = Names(task, exchange, routing_key, name_of(said.get("periodic_task_name")))
        self._skipped.append((outcome, names))

    def _lost(self, rings: Rings) -> list[Run]:
        """Runs whose process is gone and was not replaced: a new process writes down itself what the old one left."""
        found = []
        for process, run in list(rings.running()):
            if _alive(process):
                continue
            self._dead[run.slot] += 1
            if self._dead[run.slot] > _PATIENCE:
                found.append(run._replace(outcome=LOST, end_us=time.monotonic_ns() // 1000))
                rings.free(run.slot)
                del self._dead[run.slot]
        return found

    def _unfinished(self) -> tuple[Unfinished, ...]:
        now_us = time.monotonic_ns() // 1000
        if self.rings is not None:
            running = [(run.start_us, run.kind.names.task) for _, run in self.rings.running()]
        else:
            running = self.recorder.unfinished() if self.recorder is not None else []
        long = sorted((now_us - start_us, task) for start_us, task in running)
        long = [row for row in reversed(long) if row[0] > self._settings.every_s * 1e6]
        return tuple(Unfinished(task=task, running_s=us / 1e6) for us, task in long[:_MOST_UNFINISHED])

    def _busy(self) -> int:
        if self.rings is not None:
            return self.rings.busy()
        return len(self.recorder.running) if self.recorder is not None else 0

    def _slots(self) -> int:
        pool = getattr(self._worker, "pool", None)
        return int(getattr(pool, "num_processes", None) or getattr(pool, "limit", None) or 1)

    def _cpu_per_run(self, counting: Counting) -> float | None:
        if self.pool in _GREEN:
            return None
        own_s = time.process_time()
        inside_s = counting.cpu_us / 1e6
        beside_s = own_s + counting.outside_us / 1e6 if self.rings is not None else own_s - inside_s
        return self._overhead.per_run_s(counting.runs, beside_s)

    def _is_limited(self, task: str) -> bool:
        known = self._worker.app.tasks.get(task)
        return getattr(known, "rate_limit", None) is not None


def _reconnect(signal: Any, handler: Callable[..., None]) -> None:
    signal.disconnect(dispatch_uid="tidegate.probe")
    signal.connect(handler, weak=False, dispatch_uid="tidegate.probe")


def _pool_of(kind: Any) -> str:
    name = str(getattr(kind, "__module__", kind)).rpartition(".")[2]
    return "threads" if name == "thread" else name


def _forks(worker: Any) -> bool:
    from billiard import get_start_method

    return getattr(worker, "pool_start_method", "fork") == "fork" and get_start_method() == "fork"


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _no_slot() -> int:
    return NO_SLOT
