"""Installing the probe: handlers of signals, and a step of the worker that starts it before the pool."""

import atexit
import logging
import os
from pathlib import Path
from typing import Any

from celery import bootsteps, current_app, signals

from tidegate.errors import TidegateError
from tidegate.observe.conf import early_values
from tidegate.observe.probe.recorder import RingRecorder
from tidegate.observe.probe.rings import Rings
from tidegate.observe.probe.settings import probe_settings
from tidegate.observe.probe.stamps import Stamps
from tidegate.observe.probe.tracing import watch
from tidegate.observe.probe.worker import RINGS_VARIABLE, WorkerProbe

log = logging.getLogger("tidegate.probe")

_UID = "tidegate.probe"
_apps: list[Any] = []
_active: WorkerProbe | None = None


def _wanted() -> bool:
    """Whether `tidegate_probe` is on; asked at the first publish, when every configuration is there."""
    return all(app.conf.get("tidegate_probe", True) is not False for app in _apps)


_stamps = Stamps(_wanted)


def install_probe(app: Any) -> None:
    """Makes the application stamp what it publishes, and its workers measure; once is enough, twice is the same.

    No I/O. Raises UsageError for a wrong setting; one that is made later is refused when a worker starts.
    """
    early_values(app)
    if app not in _apps:
        _apps.append(app)
    connect_publishing()
    app.steps["worker"].add(ProbeStep)


def connect_publishing() -> None:
    """Connects the handlers of every process that publishes, beat among them, and those of new pool processes."""
    for signal, handler in (
        (signals.before_task_publish, _stamps.stamp),
        (signals.beat_init, _stamps.watch_beat),
        (signals.worker_process_init, _enter_pool_process),
    ):
        signal.connect(handler, weak=False, dispatch_uid=_UID)


def entry_of_beat() -> str:
    """The entry that beat publishes at the moment in this thread, empty outside of that; also where the probe is off."""
    return _stamps.entry


def uninstall_probe() -> None:
    """Takes the handlers of this process away again; for tests of applications that install the probe."""
    for signal in (
        signals.before_task_publish,
        signals.beat_init,
        signals.worker_process_init,
        signals.worker_shutdown,
        signals.task_revoked,
        signals.task_rejected,
        signals.task_unknown,
    ):
        signal.disconnect(dispatch_uid=_UID)
    _apps.clear()
    _stamps.forget()


class ProbeStep(bootsteps.StartStopStep):
    """The probe as a step of a worker: `app.steps["worker"].add(ProbeStep)` is what `tidegate.install(app)` does."""

    #: After the pool is made, and before it starts: its processes inherit what is made here.
    requires = ("celery.worker.components:Pool",)

    def create(self, worker: Any) -> Any:
        """Makes the probe of this worker; None where it is off. Raises UsageError for a wrong setting, nothing else."""
        global _active
        settings = probe_settings(worker.app.conf)
        if not settings.on:
            return None
        connect_publishing()
        try:
            probe = WorkerProbe(worker, settings, _stamps)
        except TidegateError as error:
            log.warning("the probe does not measure here: %s", error)
            return None
        except Exception as error:
            log.warning("the probe does not measure here (%s: %s)", type(error).__name__, error, exc_info=True)
            return None
        _active = probe
        probe.connect()
        worker.app.steps["consumer"].add(WatchStep)
        signals.worker_shutdown.connect(_shut_down, weak=False, dispatch_uid=_UID)
        atexit.register(_shut_down)
        return probe

    def start(self, worker: Any) -> None:
        """Starts the collector; the pool has started just before."""
        if self.obj is not None:
            self.obj.collector.start()

    def stop(self, worker: Any) -> None:
        """Nothing yet: the pool goes on until its runs have ended, and `worker_shutdown` comes after that."""

    def terminate(self, worker: Any) -> None:
        """Nothing either: the process ends, and the counts are written as it does."""


class WatchStep(bootsteps.StartStopStep):
    """Puts the recorder around the tasks whenever the consumer starts, which makes their tracers anew."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """Where the worker itself runs tasks; in a pool of processes each of them does it."""
        if _active is not None and _active.recorder is not None:
            watch(consumer.app.tasks, _active.recorder)

    def stop(self, consumer: Any) -> None:
        """Nothing: what runs is still recorded."""


def _shut_down(**_: Any) -> None:
    global _active
    probe, _active = _active, None
    if probe is not None:
        probe.close()


def _enter_pool_process(**_: Any) -> None:
    """Handler of `worker_process_init`, in every new process of a pool."""
    from billiard import current_process

    index, rings = getattr(current_process(), "index", None), _rings_here()
    if index is None or rings is None:
        # The solo pool sends the same signal, in the worker itself.
        return
    if index >= rings.slots:
        rings.note_without_slot()
        return
    recorder = RingRecorder(rings, index)
    _stamps.clock, _stamps.published = rings.clock, recorder.published
    watch(current_app.tasks, recorder)


def _rings_here() -> Rings | None:
    """The rings of the worker: inherited by a forked process, opened by a spawned one."""
    if _active is not None:
        return _active.rings
    name = os.environ.get(RINGS_VARIABLE, "")
    return Rings.in_file(Path(name)) if name and Path(name).exists() else None
