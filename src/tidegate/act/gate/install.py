"""Installing the gate: its transports under Kombu's names, its wrapper before `send_task`, its steps in the worker.

It has to be done where the application is made, before anything is published: a connection that is in use keeps the
transport it has.
"""

import logging
from functools import partial
from typing import Any

from celery import bootsteps, current_app, signals

from tidegate.act.gate import presence
from tidegate.act.gate.known import known
from tidegate.act.gate.pools import renew_idle_connections
from tidegate.act.gate.publishing import unwrap, wrap
from tidegate.act.gate.results import unwatch_results, watch_results
from tidegate.act.gate.settings import check_early, forget, policies
from tidegate.act.gate.transport import register, unregister

log = logging.getLogger("tidegate.gate")

_UID = "tidegate.gate.install"
_apps: list[Any] = []


def install_gate(app: Any) -> None:
    """Makes every message of the application pass the gate; once is enough, twice is the same.

    No I/O. Raises UsageError for a wrong setting; one that is made later is refused when a worker starts, or when the
    first message is published.
    """
    check_early(app)
    if app not in _apps:
        _apps.append(app)
        known.note(app, partial(policies, app))
    if register() and renew_idle_connections():
        log.warning(
            "the gate was installed while connections were in use, which go round it: "
            "call tidegate.install(app) where the application is made"
        )
    wrap(app)
    watch_results(app)
    app.steps["worker"].update((CheckStep, presence.GateStep))
    presence.connect()
    # Here, for a process that is spawned imports the application, too.
    signals.worker_process_init.connect(_enter_pool_process, weak=False, dispatch_uid=_UID)


def uninstall_gate() -> None:
    """Takes all of it away again in this process, for new connections; for tests of applications that install it."""
    for app in _apps:
        unwrap(app)
        unwatch_results(app)
        forget(app)
        app.steps["worker"].difference_update((CheckStep, presence.GateStep))
    _apps.clear()
    known.forget()
    unregister()
    presence.disconnect()
    signals.worker_process_init.disconnect(dispatch_uid=_UID)
    renew_idle_connections()


def is_installed(app: Any) -> bool:
    """Whether messages of this application pass the gate."""
    return app in _apps


class CheckStep(bootsteps.Step):
    """Refuses wrong settings when a worker starts, its tasks' own ones among them, and names what nothing here has."""

    def __init__(self, worker: Any, **options: Any) -> None:
        """Raises UsageError, which ends the worker."""
        ours = policies(worker.app)
        if ours.on:
            ours.check_tasks()
            for sentence in ours.strangers():
                log.warning("%s", sentence)
        super().__init__(worker, **options)


def _enter_pool_process(**_: Any) -> None:
    """Handler of `worker_process_init`: a process that is spawned publishes by a copy of the application."""
    app: Any = current_app
    app = app._get_current_object()
    if app not in _apps and app.main in [one.main for one in _apps]:
        wrap(app)
    watch_results(app)
