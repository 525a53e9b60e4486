"""What a Celery application says of itself (`-A`): its broker, schedule and settings; imports the user's code, runs none."""

import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from datetime import timedelta
from pathlib import Path
from typing import Any

from tidegate.broker.address import Address, parse_address, with_tls
from tidegate.errors import BadApp
from tidegate.facts.seen import AppSeen
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.observe.schedule.entry import own_options
from tidegate.observe.schedule.reading import ScheduleSeen, see_schedule
from tidegate.observe.schedule.routing import Routes


def load_app(name: str) -> Any:
    """The application that `-A` names, as `celery -A` finds it; raises BadApp with the reason.

    What the user's modules print goes to stderr.
    """
    from celery.app.utils import find_app

    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        with redirect_stdout(sys.stderr):
            app = find_app(name)
    except (Exception, SystemExit) as error:
        message = f"-A {name}: no Celery application can be imported by that name ({_reason(error)})"
        raise BadApp(message) from error
    return configured_app(app, f"-A {name}")


def configured_app(app: Any, shown: str) -> Any:
    """The same application, with its settings loaded: Celery loads them only when the first one is asked for.

    Raises BadApp where they can't be loaded, as those of a Django project whose settings module is not named.
    """
    try:
        with redirect_stdout(sys.stderr):
            app.conf.broker_url  # noqa: B018
    except (Exception, SystemExit) as error:
        raise BadApp(f"{shown}: the application's settings can't be loaded ({_reason(error)})") from error
    return app


def _reason(error: BaseException) -> str:
    """The kind of error and what it says, in one line."""
    said = " ".join(str(error).split())
    if isinstance(error, SystemExit):
        return f"it ends the process at import, with exit code {said or 0}"
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def address_of(app: Any) -> Address:
    """The broker that the application reads from, with its transport options and TLS settings."""
    url = app.conf.broker_read_url or app.conf.broker_url
    urls = ";".join(url) if isinstance(url, (list, tuple)) else str(url or "")
    # Kombu knows no valkey://; `broker_transport` is how people name a transport of their own.
    address = parse_address(urls, app.conf.broker_transport_options or {})
    return with_tls(address, app.conf.broker_use_ssl)


def see_app(app: Any, timeout_s: float = 5.0) -> AppSeen:
    """The application's schedule (see `see_schedule`: it may ask a database or Redis) and the settings that rules ask about.

    Raises BadApp where a setting is of a kind that Celery itself would trip over.
    """
    try:
        # Worked out of the settings when they are asked for, and kept.
        _ = app.timezone, app.amqp.queues, app.amqp.router
    except Exception as error:
        raise BadApp(f"the application's settings can't be used ({_reason(error)})") from error
    return _seen(app, see_schedule(app, timeout_s))


def _seen(app: Any, schedule: ScheduleSeen) -> AppSeen:
    conf = app.conf
    options = conf.broker_transport_options or {}
    return AppSeen(
        name=str(app.main or app),
        entries=schedule.entries,
        debug=_django_debug(),
        # Zero means never, as None does.
        result_expires_s=(_seconds(conf.result_expires) or None)
        if conf.result_backend
        else Unknown("no result backend"),
        visibility_timeout_s=_seconds(options.get("visibility_timeout")),
        queues=tuple(map(str, app.amqp.queues)),
        scheduler=schedule.scheduler,
        schedulers=schedule.schedulers,
        tasks=schedule.tasks,
        late_tasks=_late(app, schedule.tasks),
        declares_queues=bool(conf.task_queues),
        creates_queues=bool(conf.task_create_missing_queues),
        ours=schedule.ours,
        spreads=schedule.ours is True and bool(conf.get("tidegate_beat_spread", True)),
    )


def _late(app: Any, tasks: Maybe[tuple[str, ...]]) -> Maybe[tuple[str, ...]]:
    return tuple(name for name in tasks if getattr(app.tasks.get(name), "acks_late", False)) if known(tasks) else tasks


def task_queues(app: Any, tasks: Iterable[str]) -> dict[str, Maybe[tuple[str, ...]]]:
    """Where the messages of these tasks go when they are sent without further options; no I/O."""
    routes = Routes(app)
    return {name: routes.queues_of(name, own_options(app.tasks.get(name))) for name in tasks}


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
