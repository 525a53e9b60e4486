"""What a Celery application says of itself (`-A`): its broker, schedule and settings; imports the user's code, runs none."""

import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from tidegate.broker.address import Address, parse_address, with_tls
from tidegate.errors import BadApp
from tidegate.facts.seen import AppSeen, EntrySeen
from tidegate.facts.unknown import Maybe, Unknown


def load_app(name: str) -> Any:
    """The application that `-A` names, as `celery -A` finds it; raises BadApp with the reason."""
    from celery.app.utils import find_app

    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return find_app(name)
    except Exception as error:
        message = f"-A {name}: no Celery application can be imported by that name ({type(error).__name__}: {error})"
        raise BadApp(message) from error


def address_of(app: Any) -> Address:
    """The broker that the application reads from, with its transport options and TLS settings."""
    url = app.conf.broker_read_url or app.conf.broker_url
    urls = ";".join(url) if isinstance(url, (list, tuple)) else str(url or "")
    # Kombu knows no valkey://; `broker_transport` is how people name a transport of their own.
    address = parse_address(urls, app.conf.broker_transport_options or {})
    return with_tls(address, app.conf.broker_use_ssl)


def see_app(app: Any) -> AppSeen:
    """The application's schedule and the settings that the rules ask about; no I/O."""
    options = app.conf.broker_transport_options or {}
    return AppSeen(
        name=str(app.main or app),
        entries=_entries(app),
        debug=_django_debug(),
        result_expires_s=_seconds(app.conf.result_expires) if app.conf.result_backend else Unknown("no result backend"),
        visibility_timeout_s=_seconds(options.get("visibility_timeout")),
        queues=tuple(app.amqp.queues),
    )


def _entries(app: Any) -> Maybe[tuple[EntrySeen, ...]]:
    schedule = app.conf.beat_schedule
    if not isinstance(schedule, Mapping):
        return Unknown(f"beat_schedule is {type(schedule).__name__}, not a mapping")
    return tuple(_entry(app, str(name), row) for name, row in schedule.items() if isinstance(row, Mapping))


def _entry(app: Any, name: str, row: Mapping[str, Any]) -> EntrySeen:
    options = row.get("options") or {}
    task = str(row.get("task", ""))
    registered = app.tasks.get(task)
    return EntrySeen(
        name=name,
        task=task,
        interval_s=_interval(row.get("schedule")),
        expires=options.get("expires") is not None or getattr(registered, "expires", None) is not None,
        queue=options.get("queue"),
    )


def _interval(schedule: object) -> float | None:
    every = getattr(schedule, "run_every", schedule)
    return _seconds(every)


def _seconds(value: object) -> float | None:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _django_debug() -> Maybe[bool | None]:
    """Django's DEBUG where the application uses Django, None where it does not."""
    conf = sys.modules.get("django.conf")
    if conf is None:
        return None
    try:
        return bool(conf.settings.DEBUG)
    except Exception as error:  # noqa: BLE001  settings that can't be read are unknown, whatever broke them
        return Unknown(f"Django's settings can't be read ({type(error).__name__})")
