"""When a crontab comes due next, in its own time zone; a time that a change of the clock leaves out is passed over."""

from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from tidegate.facts.seen import Crontab

#: Four years and a day: the 29th of February comes once in it.
_MOST_DAYS = 4 * 366


def next_due_s(crontab: Crontab, after_s: float) -> float | None:
    """The first due time after that moment, in seconds since the epoch; None where there is none within four years."""
    zone = _zone(crontab)
    begin = datetime.fromtimestamp(after_s, zone).replace(tzinfo=None)
    for days in range(_MOST_DAYS):
        day = begin.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=days)
        if not _names(crontab, day):
            continue
        for hour in sorted(crontab.hours):
            for minute in sorted(crontab.minutes):
                due_s = _moment(day.replace(hour=hour, minute=minute), zone)
                if due_s is not None and due_s > after_s:
                    return due_s
    return None


def _zone(crontab: Crontab) -> tzinfo:
    try:
        return ZoneInfo(crontab.timezone)
    except (ValueError, OSError, LookupError):
        return timezone(timedelta(seconds=crontab.utc_offset_s))


def _names(crontab: Crontab, day: datetime) -> bool:
    weekday = day.isoweekday() % 7
    return day.month in crontab.months and day.day in crontab.days_of_month and weekday in crontab.days_of_week


def _moment(local: datetime, zone: tzinfo) -> float | None:
    there = local.replace(tzinfo=zone)
    back = there.astimezone(UTC).astimezone(zone).replace(tzinfo=None)
    return there.timestamp() if back == local else None
