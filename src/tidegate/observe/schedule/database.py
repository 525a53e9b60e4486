"""The entries in django-celery-beat's tables, read through Django with one SELECT."""

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from functools import partial
from itertools import islice
from typing import Any

from tidegate.broker.deadline import bounded
from tidegate.facts.unknown import Maybe, Unknown
from tidegate.observe.schedule.entry import Row
from tidegate.observe.schedule.scheduler import DATABASE
from tidegate.observe.schedule.timing import Timing, clocked_timing, crontab_timing, every, solar_timing

MOST_ROWS = 100_000
_CRONTAB = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year", "timezone")
_COLUMNS = (
    *("name", "task", "args", "kwargs", "queue", "exchange", "routing_key", "priority", "expires", "expire_seconds"),
    *("one_off", "enabled", "last_run_at", "total_run_count"),
    *("interval__every", "interval__period", *(f"crontab__{name}" for name in _CRONTAB)),
    *("solar__event", "solar__latitude", "solar__longitude", "clocked__clocked_time"),
)
_SENT = ("queue", "exchange", "routing_key", "priority")


def is_installed() -> bool:
    """True where this process is a Django project that has django-celery-beat among its applications."""
    apps = getattr(sys.modules.get("django.apps"), "apps", None)
    return bool(apps is not None and apps.ready and apps.is_installed("django_celery_beat"))


def database_rows(zone: tzinfo, timeout_s: float) -> Maybe[list[Row]]:
    """All rows of the table of periodic tasks; unknown, with the reason, where the database does not give them."""
    if not is_installed():
        return Unknown("django-celery-beat is not among INSTALLED_APPS, or Django is not set up")
    try:
        rows = bounded(_select, timeout_s)
    except TimeoutError:
        return Unknown(f"the database of django-celery-beat did not answer within {timeout_s:g} s")
    except Exception as error:  # noqa: BLE001  drivers of databases raise what they like
        why = str(error).strip().partition("\n")[0]
        hint = "; `manage.py migrate` makes its tables" if "no such table" in why or "does not exist" in why else ""
        return Unknown(f"the database of django-celery-beat can't be read ({type(error).__name__}: {why}){hint}")
    if len(rows) > MOST_ROWS:
        return Unknown(f"django-celery-beat holds more than {MOST_ROWS:,} entries, which are not read")
    now = datetime.now(UTC)
    return list(map(partial(_row, zone=zone, now=now), rows))


def _select() -> list[Mapping[str, Any]]:
    """Runs in a thread of its own, so with a connection of its own."""
    from django.db import connections
    from django_celery_beat.models import PeriodicTask

    try:
        query = PeriodicTask.objects.order_by("name").values(*_COLUMNS)
        return list(islice(query.iterator(chunk_size=2000), MOST_ROWS + 1))
    finally:
        connections.close_all()


def _row(values: Mapping[str, Any], zone: tzinfo, now: datetime) -> Row:
    args, kwargs = _json(values["args"], []), _json(values["kwargs"], {})
    broken = isinstance(args, Unknown) or isinstance(kwargs, Unknown)
    ended = values["expires"] is not None and _aware(values["expires"]) <= now
    done = values["one_off"] and values["total_run_count"] > 0
    options = {name: values[name] for name in _SENT}
    last = values["last_run_at"]
    return Row(
        name=values["name"],
        task=values["task"],
        timing=_once(_timing(values, zone)) if values["one_off"] else _timing(values, zone),
        source=DATABASE,
        args=() if broken else args,
        kwargs={} if broken else kwargs,
        options={**options, "expires": values["expires"] or values["expire_seconds"]},
        enabled=values["enabled"] and not ended and not done,
        last_run_at=_aware(last).timestamp() if last is not None else None,
        trouble="its arguments are no JSON" if broken else "",
    )


def _timing(values: Mapping[str, Any], zone: tzinfo) -> Timing:
    """The first of its schedules in the order in which django-celery-beat looks at them."""
    if values["interval__period"] is not None:
        try:
            return every(timedelta(**{values["interval__period"]: values["interval__every"]}))
        except (TypeError, OverflowError) as error:
            return Timing(text="", trouble=f"its interval can't be read ({error})")
    if values["crontab__minute"] is not None:
        own = values["crontab__timezone"] if _keeps_zones() else None
        return crontab_timing({name: values[f"crontab__{name}"] for name in _CRONTAB[:-1]}, own or zone)
    if values["solar__event"] is not None:
        return solar_timing(values["solar__event"], values["solar__latitude"], values["solar__longitude"])
    if values["clocked__clocked_time"] is not None:
        return clocked_timing(_aware(values["clocked__clocked_time"]))
    return Timing(text="", trouble="it has no schedule")


def _once(timing: Timing) -> Timing:
    text = timing.text if timing.text.startswith("once") else f"{timing.text}, once"
    return Timing(text=text, never=timing.never, trouble=timing.trouble)


def _keeps_zones() -> bool:
    from django.conf import settings

    return bool(getattr(settings, "DJANGO_CELERY_BEAT_TZ_AWARE", True))


def _aware(moment: datetime) -> datetime:
    """Without USE_TZ the table holds times of the project's own time zone."""
    from django.utils.timezone import make_aware

    return moment if moment.tzinfo is not None else make_aware(moment)


def _json(text: str | None, empty: Any) -> Any:
    try:
        return json.loads(text or "null") or empty
    except (ValueError, RecursionError) as error:
        return Unknown(str(error))
