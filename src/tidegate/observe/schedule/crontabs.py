"""Crontabs as facts: their fields as numbers, as text, and the mean time between two due times."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import cache, lru_cache
from typing import Any

from tidegate.facts.seen import Crontab

#: Name of a field, how many values it has, and the least, in the order of crontab(5).
_FIELDS = (("minute", 60, 0), ("hour", 24, 0), ("day_of_month", 31, 1), ("month_of_year", 12, 1), ("day_of_week", 7, 0))
#: Weekdays and dates repeat after 28 years, as long as no century is skipped.
_CYCLE_BEGINS, _CYCLE_YEARS = date(2001, 1, 1), 28
_CYCLE_DAYS = _CYCLE_YEARS * 365 + 7
_WINTER = datetime(2025, 1, 15, tzinfo=UTC)
_LONGEST_TEXT = 60

Spec = str | int | Iterable[int]


def crontab_of(fields: dict[str, Any], zone: tzinfo) -> Crontab:
    """The crontab with these fields, by Celery's names for them; what is left out is `*`.

    Raises ValueError where a field is nothing that Celery would take.
    """
    from celery.schedules import ParseException

    try:
        parsed = {name: _numbers(fields.get(name, "*"), size, first) for name, size, first in _FIELDS}
    except (ParseException, TypeError) as error:
        raise ValueError(str(error)) from error
    return Crontab(
        minutes=parsed["minute"],
        hours=parsed["hour"],
        days_of_week=parsed["day_of_week"],
        days_of_month=parsed["day_of_month"],
        months=parsed["month_of_year"],
        timezone=zone_name(zone),
        utc_offset_s=_standard_offset_s(zone),
    )


def crontab_text(fields: dict[str, Any], zone: tzinfo) -> str:
    """`crontab 0 */2 * * * (UTC)`, in the order of crontab(5): minute, hour, day of the month, month, weekday."""
    shown = " ".join(_shown(fields.get(name, "*")) for name, _, _ in _FIELDS)
    return f"crontab {shown} ({zone_name(zone)})"


def mean_interval_s(crontab: Crontab) -> float | None:
    """The mean time between two due times over the 28 years after which dates repeat, as if no clock were ever changed.

    None where it never comes due.
    """
    days = _days_in_cycle(crontab.days_of_week, crontab.days_of_month, crontab.months)
    times = days * len(crontab.hours) * len(crontab.minutes)
    return _CYCLE_DAYS * 86400.0 / times if times else None


def zone_name(zone: tzinfo) -> str:
    """The name of a time zone as people write it."""
    return str(getattr(zone, "key", None) or zone)


@lru_cache(maxsize=4096)
def _days_in_cycle(weekdays: frozenset[int], days: frozenset[int], months: frozenset[int]) -> int:
    named = ((month, day, weekday) for month in months for day in days for weekday in weekdays)
    return sum(_calendar().get(kind, 0) for kind in named)


@cache
def _calendar() -> dict[tuple[int, int, int], int]:
    """How many days of the cycle there are of every (month, day, weekday); Sunday is 0, as in a crontab."""
    counts: dict[tuple[int, int, int], int] = {}
    for number in range(_CYCLE_DAYS):
        day = _CYCLE_BEGINS + timedelta(days=number)
        kind = (day.month, day.day, day.isoweekday() % 7)
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def _numbers(spec: Spec, size: int, first: int) -> frozenset[int]:
    from celery.schedules import crontab_parser

    if spec is None:
        spec = "*"
    if isinstance(spec, str):
        numbers = crontab_parser(size, first).parse(spec)
    else:
        numbers = {int(spec)} if isinstance(spec, int) else set(spec)
    wrong = [number for number in numbers if not isinstance(number, int) or not first <= number < first + size]
    if wrong:
        message = f"expected numbers from {first} to {first + size - 1}, got {wrong[0]!r:.40}"
        raise ValueError(message)
    return frozenset(numbers)


def _shown(spec: Spec) -> str:
    if spec is None:
        text = "*"
    elif isinstance(spec, (list, tuple, set, frozenset)):
        text = ",".join(sorted(map(str, spec), key=lambda number: (len(number), number)))
    else:
        text = str(spec).replace(" ", "")
    text = text or "(none)"
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


def _standard_offset_s(zone: tzinfo) -> float:
    """Seconds ahead of UTC outside summer time; on the southern half of the world January is in it."""
    there = _WINTER.astimezone(zone)
    offset, summer = there.utcoffset(), there.dst()
    return ((offset or timedelta()) - (summer or timedelta())).total_seconds()
