"""Rule TG205: entries that come due in the same moment, against a calendar that is walked minute by minute."""

from collections import Counter
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from rule_table import INFO, OK, WARNING, Row, table
from schedules import REFRESH, a_case, a_crontab, a_schedule, an_entry, check, many, unread

from tidegate.model.lint.herds import MANY, crontab_herds


def hourly(number, minute=0, **changes):
    return many(number, every_s=3600.0, crontab=a_crontab(minutes=(minute,), **changes))


def apart(number):
    return [an_entry(f"e{place}", crontab=a_crontab(minutes=(place,))) for place in range(number)]


@table(
    Row("four at minute 0", a_case(*hourly(4)), OK, [f"No {MANY} entries"]),
    Row(
        "twelve at minute 0", a_case(*hourly(12)), WARNING,
        ["12 entries come due in the same moment, at 00:00 UTC (e0, e1", "no free slot", "up to 23 more minutes of the day"],
        {"burst": 12, "times_a_day": 24.0}, remedy="e0: minute=0, e1: minute=5, e2: minute=10",
    ),
    Row("twelve with minutes of their own", a_case(*apart(12)), OK),
    Row(
        "every minute", a_case(*many(6, crontab=a_crontab())), WARNING, ["6 entries", "1,439 more minutes"], remedy="1-59/2",
    ),
    Row(
        "a second of work each, on two slots", a_case(*hourly(12), times={REFRESH: 1.0}, slots=2), INFO,
        ["busy with them for 6 s"], {"busy_s": 6.0}, remedy="minute=0",
    ),
    Row(
        "a minute of work each", a_case(*hourly(12), times={REFRESH: 60.0}, slots=2), WARNING,
        ["for 6 minutes, and the last one waits nearly as long"], {"busy_s": 360.0},
    ),
    Row("the same minute of other days", a_case(*[
        an_entry(f"e{day}", crontab=a_crontab(minutes=(0,), hours=(3,), days_of_month=(day,))) for day in range(1, 29)
    ]), OK),
    Row("midnight of one zone is another minute elsewhere", a_case(*[
        an_entry(f"e{n}", crontab=a_crontab(minutes=(0,), hours=(0,), timezone=f"zone{n}", utc_offset_s=3600.0 * n))
        for n in range(6)
    ]), OK),
    Row(
        "midnight of one zone and six o'clock of another are the same", a_case(*hourly(3, hours=(0,)), *[
            an_entry(f"i{n}", crontab=a_crontab(minutes=(30,), hours=(5,), timezone="Asia/Kolkata", utc_offset_s=19800.0))
            for n in range(3)
        ]), WARNING, ["6 entries", "at 00:00 UTC"],
    ),
    Row("told in their own zone", a_case(*hourly(5, hours=(9,), timezone="Europe/Berlin", utc_offset_s=3600.0)), WARNING,
        ["at 09:00 Europe/Berlin"]),
    Row(
        "equal intervals that started together", a_case(*many(5, every_s=300.0)), WARNING,
        ["5 entries", "every 5 minutes, in step since beat started"], {"times_a_day": 288.0}, remedy="61 and 67 for 60",
    ),
    Row("intervals of their own", a_case(*[an_entry(f"e{n}", every_s=300.0 + n) for n in range(9)]), OK),
    Row("last sent at other times", a_case(*[an_entry(f"e{n}", every_s=300.0, last_run_at=7.0 * n) for n in range(9)]), OK),
    Row("last sent together", a_case(*many(5, every_s=300.0, last_run_at=1000.0)), WARNING),
    Row("a scheduler of ours spreads them", a_case(app=a_schedule(*many(9, every_s=300.0), ours=True, spreads=True)), OK),
    Row("but for crontabs", a_case(app=a_schedule(*hourly(9), ours=True, spreads=True)), WARNING),
    Row("short intervals are a load, not a burst", a_case(*many(9, every_s=1.0)), OK),
    Row("one that never comes due is in no herd", a_case(*hourly(5, months=())[:4], *hourly(1)), OK),
    Row("the database is away", a_case(app=a_schedule(schedulers=(unread(),))), INFO, unknown=["django-celery-beat"]),
)  # fmt: skip
def test_a_herd(row):
    check("TG205", row)


def fields(low, high):
    return st.frozensets(st.integers(low, high), min_size=1, max_size=2)


CRONTABS = st.builds(
    a_crontab,
    minutes=fields(0, 3),
    hours=fields(0, 1),
    days_of_week=st.one_of(st.just(frozenset(range(7))), fields(0, 6)),
    days_of_month=st.one_of(st.just(frozenset(range(1, 32))), fields(1, 5)),
    months=st.one_of(st.just(frozenset(range(1, 13))), fields(1, 2)),
)


def walked(crontabs):
    """The most that come due in one minute, over 28 years of the first weeks of January and February."""
    most = Counter()
    for year in range(2001, 2029):
        for month in (1, 2):
            for day in range(31 if month == 1 else 28):
                here = date(year, month, 1) + timedelta(days=day)
                due = [
                    c for c in crontabs
                    if here.month in c.months and here.day in c.days_of_month and here.isoweekday() % 7 in c.days_of_week
                ]  # fmt: skip
                for crontab in due:
                    most.update((here, h, m) for h in crontab.hours for m in crontab.minutes)
    return max(most.values(), default=0)


@settings(max_examples=40, deadline=None)
@given(st.lists(CRONTABS, min_size=5, max_size=12))
def test_the_largest_herd_is_the_one_that_a_walk_through_the_calendar_meets(crontabs):
    entries = [an_entry(f"e{place}", crontab=crontab) for place, crontab in enumerate(crontabs)]
    found = list(crontab_herds(entries))
    most = walked(crontabs)

    assert [len(herd.entries) for herd in found] == ([most] if most >= MANY else [])
