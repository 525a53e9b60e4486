"""When an entry comes due, from whatever schedule it has; no method of a schedule is called, for it may be the user's."""

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from tidegate.facts.seen import Crontab
from tidegate.facts.unknown import Maybe, Unknown
from tidegate.observe.schedule.crontabs import crontab_of, crontab_text, mean_interval_s
from tidegate.units import duration

_DAY_S = 86400.0
_CRONTAB_FIELDS = ("minute", "hour", "day_of_week", "day_of_month", "month_of_year")
#: dateutil's frequencies, and the seconds of those that are always equally long.
_FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
_FREQUENCY_S = {"WEEKLY": 7 * _DAY_S, "DAILY": _DAY_S, "HOURLY": 3600.0, "MINUTELY": 60.0, "SECONDLY": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When an entry comes due; the fields mean what they mean in `EntrySeen`."""

    text: str
    interval_s: float | None = None
    mean_interval_s: Maybe[float | None] = None
    crontab: Crontab | None = None
    never: str = ""
    trouble: str = ""


def timing_of(schedule: object, zone: tzinfo) -> Timing:
    """The timing of an entry's schedule as Celery takes it; `zone` is the application's, for crontabs without their own."""
    kind = type(schedule)
    try:
        return _timing(schedule, zone)
    except Exception as error:  # noqa: BLE001  a schedule may be a class of the user's, and raise whatever it likes
        said = " ".join(str(error).split())
        why = f"its schedule, {_name(kind)}, can't be read ({type(error).__name__}: {said})"
        return Timing(text=_name(kind), mean_interval_s=Unknown(why))


def _timing(schedule: Any, zone: tzinfo) -> Timing:
    from celery.schedules import BaseSchedule, crontab, solar

    if isinstance(schedule, (int, float, timedelta)):
        return every(schedule)
    if isinstance(schedule, crontab):
        fields = {name: getattr(schedule, f"_orig_{name}") for name in _CRONTAB_FIELDS}
        return crontab_timing(fields, vars(schedule).get("tz") or zone)
    if isinstance(schedule, solar):
        return solar_timing(schedule.event, schedule.lat, schedule.lon)
    if isinstance(when := getattr(schedule, "clocked_time", None), datetime):
        return clocked_timing(when)
    if isinstance(schedule, BaseSchedule):
        own = "" if type(schedule).__module__.startswith("celery.") else f" ({_name(type(schedule))})"
        return _of_class(schedule, own)
    if schedule is None:
        return Timing(text="", trouble="it has no schedule")
    if callable(getattr(schedule, "is_due", None)):
        return _of_class(schedule, f" ({_name(type(schedule))})")
    return _unusable(f"its schedule is a {type(schedule).__name__}")


def _of_class(schedule: Any, own: str) -> Timing:
    """An interval, or a class of somebody's own: only itself knows when it is due."""
    if isinstance(interval := getattr(schedule, "run_every", None), (int, float, timedelta)):
        timing = every(interval)
        return timing if timing.trouble else Timing(**(_fields(timing) | {"text": timing.text + own}))
    if type(schedule).__module__ == "redbeat.schedules":
        return rrule_timing(vars(schedule))
    name = _name(type(schedule))
    return Timing(text=name, mean_interval_s=Unknown(f"only {name} itself knows when it is due"))


def _fields(timing: Timing) -> dict[str, Any]:
    return {name: getattr(timing, name) for name in Timing.__slots__}


def every(interval: float | timedelta) -> Timing:
    """One that comes due every so many seconds."""
    try:
        # As Celery keeps it, to the microsecond.
        kept = interval if isinstance(interval, timedelta) else timedelta(seconds=interval)
    except (ValueError, OverflowError):
        return _unusable(f"its schedule is {interval} s")
    seconds = kept.total_seconds()
    return Timing(
        text=f"every {duration(seconds)}", interval_s=seconds, mean_interval_s=seconds if seconds > 0 else None
    )


def crontab_timing(fields: dict[str, Any], zone: tzinfo) -> Timing:
    """One that comes due at times of the day, on days of the week, month and year, in that time zone."""
    text = crontab_text(fields, zone)
    try:
        crontab = crontab_of(fields, zone)
    except ValueError as error:
        return Timing(text=text, trouble=f"its {text} can't be read ({error})")
    mean_s = mean_interval_s(crontab)
    never = "" if mean_s is not None else f"no time matches its {text}"
    return Timing(text=text, mean_interval_s=mean_s, crontab=crontab, never=never)


def solar_timing(event: str, latitude: object, longitude: object) -> Timing:
    """One that comes due with the sun: about once a day, and not every day beyond the polar circles."""
    return Timing(text=f"{event} at {latitude}, {longitude}", mean_interval_s=_DAY_S)


def clocked_timing(when: datetime) -> Timing:
    """One that comes due once."""
    return Timing(text=f"once, at {when.isoformat(timespec='seconds')}")


def rrule_timing(fields: dict[str, Any]) -> Timing:
    """RedBeat's recurrence rules; the mean interval of those that are plain multiples of a fixed length of time."""
    freq = fields.get("freq")
    name = _FREQUENCIES[freq] if isinstance(freq, int) and 0 <= freq < len(_FREQUENCIES) else str(freq).upper()
    steps = fields.get("interval", 1)
    text = f"rrule {name} × {steps}"
    restricted = any(fields.get(part) is not None for part in fields if part.startswith("by"))
    if fields.get("count") == 1:
        return Timing(text=f"{text}, once")
    if restricted or name not in _FREQUENCY_S or not isinstance(steps, int) or steps < 1:
        return Timing(text=text, mean_interval_s=Unknown(f"the due times of its {text} were not worked out"))
    return Timing(text=text, mean_interval_s=_FREQUENCY_S[name] * steps)


def _unusable(what: str) -> Timing:
    return Timing(text="", trouble=f"{what}, where seconds, a timedelta, or a schedule of Celery's are expected")


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
