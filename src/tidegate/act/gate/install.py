"""Installing the gate: its transports under Kombu's names, its wrapper before `send_task`, its steps in the worker.

A connection that is open already keeps the transport it has, and Kombu's pools keep connections by their address: so it
has to be done where the application is made, before anything is published.
"""

import logging
from typing import Any
from urllib.parse import urlsplit

from celery import bootsteps
from kombu import transport as transports

from tidegate.act.gate.publishing import unwrap, wrap
from tidegate.act.gate.settings import Policies, check_early, forget, policies

log = logging.getLogger("tidegate.gate")

#: What Kombu finds under its own names from now on.
TRANSPORTS = {
    "redis": "tidegate.act.gate.transport:Transport",
    "rediss": "tidegate.act.gate.transport:Transport",
    "sentinel": "tidegate.act.gate.transport:SentinelTransport",
}

_apps: list[Any] = []
_before: dict[str, str] = {}
_warned = False


def install_gate(app: Any) -> None:
    """Makes every message of the application pass the gate; once is enough, twice is the same.

    No I/O. Raises UsageError for a wrong setting; one that is made later is refused when a worker starts, or when the
    first message is published.
    """
    check_early(app)
    if app not in _apps:
        _apps.append(app)
        _warn_if_late(app)
    _replace_transports()
    wrap(app)
    app.steps["worker"].add(CheckStep)


def uninstall_gate() -> None:
    """Takes all of it away again in this process, for new connections; for tests of applications that install it."""
    global _warned
    for app in _apps:
        unwrap(app)
        forget(app)
        app.steps["worker"].discard(CheckStep)
    _apps.clear()
    for name, kind in _before.items():
        transports.TRANSPORT_ALIASES[name] = kind
        transports._transport_cache.pop(name, None)  # type: ignore[attr-defined]
    _before.clear()
    _warned = False


def installed() -> tuple[Any, ...]:
    """The applications of this process that have the gate."""
    return tuple(_apps)


def policies_of(connection: Any) -> Policies | None:
    """What holds on a `kombu.Connection`; None where no application with a gate is known for it.

    Where one application has the gate it is that one, else the one whose broker is at the same address.
    """
    app = app_of(connection)
    return None if app is None else policies(app)


def app_of(connection: Any) -> Any:
    """The application with the gate that a connection belongs to, None where there is none."""
    if len(_apps) <= 1:
        return _apps[0] if _apps else None
    here = _place(connection.as_uri(include_password=True))
    return next((app for app in _apps if here in _places(app)), None)


class CheckStep(bootsteps.Step):
    """Refuses wrong settings when a worker starts, its tasks' own ones among them."""

    def __init__(self, worker: Any, **options: Any) -> None:
        """Raises UsageError, which ends the worker."""
        known = policies(worker.app)
        if known.on:
            known.check_tasks()
        super().__init__(worker, **options)


def _replace_transports() -> None:
    for name, ours in TRANSPORTS.items():
        if transports.TRANSPORT_ALIASES.get(name) != ours:
            _before.setdefault(name, transports.TRANSPORT_ALIASES[name])
            transports.TRANSPORT_ALIASES[name] = ours
            # Resolved names are remembered.
            transports._transport_cache.pop(name, None)  # type: ignore[attr-defined]


def _warn_if_late(app: Any) -> None:
    global _warned
    # Where both are set, `app.amqp` exists: asking for it would make it, before the settings are complete.
    pool = app.__dict__["amqp"]._producer_pool if "amqp" in app.__dict__ else None
    if (getattr(app, "_pool", None) is not None or pool is not None) and not _warned:
        _warned = True
        log.warning("the gate was installed after %s had connected: call tidegate.install(app) where it is made", app)


def _places(app: Any) -> set[tuple[str, str]]:
    urls = (app.conf.broker_write_url, app.conf.broker_read_url, app.conf.broker_url)
    listed = [url for urls_ in urls for url in (urls_ if isinstance(urls_, (list, tuple)) else str(urls_).split(";"))]
    return {_place(str(url)) for url in listed if url}


def _place(url: str) -> tuple[str, str]:
    """Server and database: what of an address does not depend on how it is written."""
    parts = urlsplit(url)
    server = f"{parts.hostname or 'localhost'}:{parts.port or 6379}" if parts.scheme != "socket" else ""
    return server, parts.path.strip("/") or "0"
