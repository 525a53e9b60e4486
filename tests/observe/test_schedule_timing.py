"""When entries come due: every kind of schedule that Celery takes, and what it does not take."""

import math
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from celery import Celery
from celery.schedules import BaseSchedule, crontab, schedule
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.facts.unknown import Unknown
from tidegate.observe.schedule.crontabs import crontab_of, mean_interval_s
from tidegate.observe.schedule.timing import clocked_timing, crontab_timing, rrule_timing, timing_of

DAY_S = 86400.0
APP = Celery("timing", set_as_current=False)


class Jittered(schedule):
    """An interval of somebody's own."""


class Tides(BaseSchedule):
    """Only itself knows."""

    def is_due(self, last_run_at):
        raise AssertionError("no method of a schedule may be called")

    remaining_estimate = now = is_due


class Broken(BaseSchedule):
    @property
    def run_every(self):
        raise RuntimeError("the tide\nis out")


class Foreign:
    def is_due(self, last_run_at):
        raise AssertionError("no method of a schedule may be called")


def seen(value, zone=UTC):
    return timing_of(value, zone)


@pytest.mark.parametrize(
    ("value", "text", "interval_s"),
    [
        (30, "every 30 s", 30.0),
        (1.2, "every 1.2 s", 1.2),
        (timedelta(minutes=5), "every 5 minutes", 300.0),
        (schedule(10), "every 10 s", 10.0),
        (Jittered(10), f"every 10 s ({Jittered.__module__}.Jittered)", 10.0),
        (True, "every 1 s", 1.0),
        (1e-9, "every 0 s", 0.0),
    ],
)
def test_an_interval_is_its_seconds(value, text, interval_s):
    timing = seen(value)

    assert (timing.text, timing.interval_s) == (text, interval_s)
    assert timing.mean_interval_s == (interval_s or None)
    assert not timing.trouble


@pytest.mark.parametrize("value", [0, -5, timedelta(seconds=-1)])
def test_an_interval_of_zero_or_less_is_kept_and_has_no_mean(value):
    timing = seen(value)

    assert timing.interval_s <= 0
    assert timing.mean_interval_s is None


@pytest.mark.parametrize("value", ["30", math.nan, math.inf, 1e300, [30], object(), b"30", {"every": 30}])
def test_what_celery_cannot_use_is_trouble_and_no_number(value):
    timing = seen(value)

    assert timing.trouble.startswith("its schedule is ")
    assert timing.interval_s is None
    assert timing.mean_interval_s is None


def test_no_schedule_is_trouble():
    assert seen(None).trouble == "it has no schedule"


@pytest.mark.parametrize("value", [Tides(), Foreign()])
def test_of_a_schedule_of_somebodys_own_nothing_is_called(value):
    timing = seen(value)

    assert timing.mean_interval_s == Unknown(f"only {timing.text} itself knows when it is due")
    assert not timing.trouble


def test_a_schedule_that_raises_is_unknown_with_what_it_said_in_one_line():
    timing = seen(Broken())

    assert isinstance(timing.mean_interval_s, Unknown)
    assert "RuntimeError: the tide is out" in timing.mean_interval_s.why


@pytest.mark.parametrize(
    ("fields", "text", "mean_s"),
    [
        ({}, "crontab * * * * * (UTC)", 60.0),
        ({"minute": 0}, "crontab 0 * * * * (UTC)", 3600.0),
        ({"minute": "*/15", "hour": "8-17"}, "crontab */15 8-17 * * * (UTC)", DAY_S / 40),
        ({"minute": [0, 30]}, "crontab 0,30 * * * * (UTC)", 1800.0),
        ({"minute": 0, "hour": 0, "day_of_week": "mon-fri"}, "crontab 0 0 * * mon-fri (UTC)", 7 * DAY_S / 5),
        ({"minute": 0, "hour": 0, "day_of_month": "1"}, "crontab 0 0 1 * * (UTC)", 365.25 * DAY_S / 12),
        (
            {"minute": 0, "hour": 0, "day_of_month": "29", "month_of_year": "2"},
            "crontab 0 0 29 2 * (UTC)",
            1461 * DAY_S,
        ),
        (
            {"minute": 0, "hour": 0, "day_of_week": 5, "day_of_month": 13},
            "crontab 0 0 13 * 5 (UTC)",
            10227 / 48 * DAY_S,
        ),
    ],
)
def test_a_crontab_has_a_text_and_the_mean_of_its_due_times(fields, text, mean_s):
    timing = seen(crontab(**fields))

    assert timing.text == text
    assert timing.interval_s is None
    assert timing.mean_interval_s == pytest.approx(mean_s)


def specs(low, high):
    numbers = st.lists(st.integers(low, high), min_size=1, max_size=4).map(lambda found: ",".join(map(str, found)))
    return st.one_of(st.just("*"), numbers, st.integers(2, 20).map(lambda step: f"*/{step}"))


@settings(max_examples=40, deadline=None)
@given(minute=specs(0, 59), hour=specs(0, 23), day_of_week=specs(0, 6))
def test_the_mean_interval_is_that_of_the_times_at_which_celery_itself_is_due(minute, hour, day_of_week):
    """Celery's own arithmetic, asked for one due time after the other over a week."""
    began = datetime(2025, 3, 2, 23, 59, 59, tzinfo=UTC)
    now = began
    due = crontab(minute, hour, day_of_week, nowfun=lambda: now, app=APP)
    times = 0
    while True:
        last, delta, _ = due.remaining_delta(now)
        now = last + delta
        if now > began + timedelta(days=7):
            break
        times += 1

    mean_s = mean_interval_s(crontab_of({"minute": minute, "hour": hour, "day_of_week": day_of_week}, UTC))
    assert times == round(7 * DAY_S / mean_s)


@pytest.mark.parametrize(
    ("zone", "offset_s"),
    [
        (ZoneInfo("Europe/Berlin"), 3600.0),
        (ZoneInfo("America/New_York"), -18000.0),
        (ZoneInfo("Asia/Kolkata"), 19800.0),
        (ZoneInfo("Australia/Sydney"), 36000.0),
        (timezone(timedelta(hours=2)), 7200.0),
    ],
)
def test_a_zone_is_told_by_its_name_and_its_offset_outside_summer_time(zone, offset_s):
    timing = seen(crontab(minute=0), zone)

    assert timing.crontab.timezone == str(zone)
    assert timing.crontab.utc_offset_s == offset_s


@pytest.mark.parametrize("fields", [{"minute": []}, {"day_of_month": "30", "month_of_year": "2"}, {"hour": ()}])
def test_a_crontab_that_no_time_matches_never_comes_due(fields):
    timing = crontab_timing(fields, UTC)

    assert timing.never.startswith("no time matches its crontab")
    assert timing.mean_interval_s is None


@pytest.mark.parametrize(
    "fields", [{"minute": "61"}, {"minute": "every"}, {"minute": ""}, {"hour": 24}, {"minute": 1.5}, {"minute": [None]},
               {"day_of_week": "7"}, {"minute": "*/"}, {"minute": "*/0"}]
)  # fmt: skip
def test_a_field_that_celery_would_not_take_is_trouble(fields):
    assert crontab_timing(fields, UTC).trouble.startswith("its crontab ")


def test_what_comes_once_has_no_interval():
    timing = clocked_timing(datetime(2030, 1, 1, 12, tzinfo=UTC))

    assert timing.text == "once, at 2030-01-01T12:00:00+00:00"
    assert timing.mean_interval_s is None


@pytest.mark.parametrize(
    ("fields", "mean_s"),
    [
        ({"freq": 5, "interval": 10}, 600.0),
        ({"freq": "DAILY"}, DAY_S),
        ({"freq": 3, "count": 1}, None),
        ({"freq": 1, "interval": 1}, Unknown),
        ({"freq": 4, "byminute": [0, 30]}, Unknown),
        ({"freq": "OFTEN"}, Unknown),
        ({"freq": 5, "interval": 0}, Unknown),
        ({"freq": 5, "interval": -1}, Unknown),
    ],
)
def test_a_recurrence_rule_has_a_mean_where_it_is_plain(fields, mean_s):
    mean = rrule_timing(fields).mean_interval_s

    assert isinstance(mean, Unknown) if mean_s is Unknown else mean == mean_s
