"""The due times of a schedule that is no plain interval, asked of Celery's own object: days, zones and summer time as it
has them.

Its clock is held still for the question, so that the same question gets the same answer on every machine.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from celery.schedules import crontab, schedule

from tidegate.act.beat.kept import SHORTEST_US

_EPOCH = datetime.fromtimestamp(0, UTC)
#: So many due times are worked out at once, 0.1 ms each; an entry that missed more gets another turn.
MOST_AT_ONCE = 200
#: A last due time further ahead than this is none: the clock went back.
FAR_AHEAD_US = 32 * 86_400_000_000
#: A schedule without an estimate is asked at least so often whether it is due.
ASKED_AT_LEAST_EVERY_US = 60_000_000


_ANSWERS = ("is_due", "remaining_estimate")


def interval_of(given: Any) -> int:
    """The plain interval of a schedule in µs; 0 for one that goes by the calendar, by its own rules, or is rounded."""
    if type(given) is not schedule or given.relative:
        return 0
    every: timedelta = given.run_every  # type: ignore[attr-defined]
    return max(round(every.total_seconds() * 1e6), SHORTEST_US)


def next_after(given: Any, last_us: int, wall_us: int) -> int | None:
    """The first due time after `last_us`, both in µs since the epoch; None where none follows.

    Raises whatever the schedule raises, and NotImplementedError for one that has to be asked whether it is due.
    """
    if _has_a_will(given):
        raise NotImplementedError(f"{type(given).__name__} says by itself whether it is due")
    with _standing_still(given, wall_us) as now:
        remaining = given.remaining_estimate(moment_of(last_us).astimezone(now.tzinfo))
    if remaining is None:
        return None
    due_us = us_of(now.astimezone(UTC) + remaining)
    return due_us if due_us > last_us else None


def _has_a_will(given: Any) -> bool:
    """Whether somebody gave a schedule an `is_due` of its own, and left the estimate as it was: no run outside hours."""
    definers = [next((kind for kind in type(given).__mro__ if name in vars(kind)), object) for name in _ANSWERS]
    return definers[0] is not definers[1] and issubclass(definers[0], definers[1])


def asked(given: Any, last_us: int, wall_us: int) -> tuple[int, int]:
    """(due time, time to ask again) of a schedule that only says whether it is due; the one that there is not is 0."""
    with _standing_still(given, wall_us) as now:
        is_due, seconds = given.is_due(moment_of(last_us).astimezone(now.tzinfo))
    if is_due:
        return wall_us, 0
    return 0, wall_us + min(int((seconds or 60.0) * 1e6), ASKED_AT_LEAST_EVERY_US)


def between(given: Any, last_us: int, wall_us: int) -> tuple[list[int], int | None]:
    """The due times after `last_us` that have come, as many as are worked out at once, and the one that follows."""
    dues: list[int] = []
    following = next_after(given, last_us, wall_us)
    while following is not None and following <= wall_us and len(dues) < MOST_AT_ONCE:
        dues.append(following)
        following = next_after(given, following, wall_us)
    return dues, following


def deadline_of(given: Any, app: Any) -> int | None:
    """`beat_cron_starting_deadline` in µs, for the schedules that it holds for."""
    if not isinstance(given, crontab):
        return None
    seconds = app.conf.beat_cron_starting_deadline
    return None if seconds is None else int(seconds * 1e6)


def us_of(moment: datetime) -> int:
    """Microseconds since the epoch, exact, where seconds as a float would not be; without a zone it is UTC."""
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond


def moment_of(us: int) -> datetime:
    """The same the other way round, in UTC."""
    return _EPOCH + timedelta(microseconds=us)


@contextmanager
def _standing_still(given: Any, wall_us: int) -> Iterator[datetime]:
    """The schedule's now, with its zone, which does not move meanwhile; of its own clock where it has one."""
    before = given.nowfun
    now = moment_of(wall_us).astimezone(given.app.timezone) if before is None else before()
    given.nowfun = lambda: now
    try:
        yield now if now.tzinfo is not None else now.replace(tzinfo=UTC)
    finally:
        given.nowfun = before
