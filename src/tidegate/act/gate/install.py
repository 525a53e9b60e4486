"""Installing the gate: its transports under Kombu's names, its wrapper before `send_task`, its steps in the worker.

A connection that is open already keeps the transport it has, and Kombu's pools keep connections by their address: so it
has to be done where the application is made, before anything is published.
"""

import logging
from functools import partial
from typing import Any

from celery import bootsteps

from tidegate.act.gate import presence
from tidegate.act.gate.known import known
from tidegate.act.gate.publishing import unwrap, wrap
from tidegate.act.gate.settings import check_early, forget, policies
from tidegate.act.gate.transport import register, unregister

log = logging.getLogger("tidegate.gate")

_apps: list[Any] = []
_warned = False


def install_gate(app: Any) -> None:
    """Makes every message of the application pass the gate; once is enough, twice is the same.

    No I/O. Raises UsageError for a wrong setting; one that is made later is refused when a worker starts, or when the
    first message is published.
    """
    check_early(app)
    if app not in _apps:
        _apps.append(app)
        known.note(app, partial(policies, app))
        _warn_if_late(app)
    register()
    wrap(app)
    app.steps["worker"].update((CheckStep, presence.GateStep))
    presence.connect()


def uninstall_gate() -> None:
    """Takes all of it away again in this process, for new connections; for tests of applications that install it."""
    global _warned
    for app in _apps:
        unwrap(app)
        forget(app)
        app.steps["worker"].difference_update((CheckStep, presence.GateStep))
    _apps.clear()
    known.forget()
    unregister()
    presence.disconnect()
    _warned = False


def is_installed(app: Any) -> bool:
    """Whether messages of this application pass the gate."""
    return app in _apps


class CheckStep(bootsteps.Step):
    """Refuses wrong settings when a worker starts, its tasks' own ones among them."""

    def __init__(self, worker: Any, **options: Any) -> None:
        """Raises UsageError, which ends the worker."""
        ours = policies(worker.app)
        if ours.on:
            ours.check_tasks()
        super().__init__(worker, **options)


def _warn_if_late(app: Any) -> None:
    global _warned
    # Where both are set, `app.amqp` exists: asking for it would make it, before the settings are complete.
    pool = app.__dict__["amqp"]._producer_pool if "amqp" in app.__dict__ else None
    if (getattr(app, "_pool", None) is not None or pool is not None) and not _warned:
        _warned = True
        log.warning("the gate was installed after %s had connected: call tidegate.install(app) where it is made", app)
