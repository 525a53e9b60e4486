"""Rows of a schedule: which interval holds and why, when the next one is due, and when a crontab is."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import crontab as celery_crontab
from hypothesis import given
from hypothesis import strategies as st
from schedules import a_crontab, an_entry

from tidegate.facts.beat import AUTO, EntryPolicy, Order, Paced
from tidegate.facts.scheduled import BeatSeen, Rules
from tidegate.facts.unknown import Unknown, known
from tidegate.model.crontab import next_due_s
from tidegate.model.scheduled import rows_of

EVERY = EntryPolicy(every_s=5.0)
FOLLOWS = EntryPolicy(auto=True, min_s=1.0, max_s=30.0)
PACED = Paced(interval_s=2.5, why="80 % of 4 slots", basis="plan")


def row(entry=None, policy=None, order=None, **seen):
    entry = entry or an_entry()
    rules = Rules(name="shop", ours=True, policies={entry.name: policy} if policy else {})
    nothing = {name: {} for name in ("cursors", "last", "counts", "orders", "asks", "paced")}
    facts = nothing | {name: {entry.name: value} for name, value in seen.items() if value is not None}
    if order is not None:
        facts["orders"] = {entry.name: order}
    [made] = rows_of([entry], rules, BeatSeen(name="shop", at_s=100.0, **facts))
    return made


@pytest.mark.parametrize(
    ("policy", "order", "paced", "interval_s", "why"),
    [
        (None, None, None, 60.0, "as declared"),
        (EVERY, None, None, 5.0, "set in tidegate_entries"),
        (EVERY, Order(every=2.0, who="ann@ops"), None, 2.0, "ordered by ann@ops"),
        (FOLLOWS, None, None, 60.0, "auto: no beat follows the workers yet"),
        (FOLLOWS, None, PACED, 2.5, "auto: 80 % of 4 slots"),
        (FOLLOWS, Order(every=2.0, who="ann@ops"), PACED, 2.0, "ordered by ann@ops"),
        (None, Order(every=AUTO, who="ann@ops"), PACED, 2.5, "auto, ordered by ann@ops: 80 % of 4 slots"),
        (FOLLOWS, Order(paused=True), PACED, 2.5, "auto: 80 % of 4 slots"),
        (None, None, PACED, 60.0, "as declared"),
    ],
)
def test_an_order_holds_before_the_settings_and_these_before_the_schedule(policy, order, paced, interval_s, why):
    made = row(policy=policy, order=order, paced=paced)
    assert (made.interval_s, made.interval_why) == (interval_s, why)


def test_bounds_that_are_ordered_hold_before_those_of_the_settings():
    made = row(policy=FOLLOWS, order=Order(max_s=60.0))
    assert (made.min_s, made.max_s, made.auto) == (1.0, 60.0, True)


def test_the_next_due_time_is_the_last_one_and_the_interval_in_force():
    assert row(cursors=100.0).next_due_s == 160.0
    assert row(cursors=100.0, order=Order(every=2.0)).next_due_s == 102.0
    assert row(cursors=100.0, order=Order(paused=True)).next_due_s is None
    assert row(an_entry(enabled=False), cursors=100.0).next_due_s is None
    assert not known(row().next_due_s)
    nightly = an_entry(crontab=a_crontab(minutes=(30,), hours=(3,)))
    assert row(nightly, cursors=100.0).next_due_s == 3.5 * 3600
    assert row(nightly).next_due_s == 3.5 * 3600  # by the calendar, also before it ever came due


def test_an_interval_that_is_ordered_of_a_crontab_is_trouble_to_be_reset():
    made = row(an_entry(crontab=a_crontab()), order=Order(every=2.0))
    assert made.interval_s is None
    assert "reset it" in made.trouble


def test_what_can_not_be_seen_of_orders_hides_what_follows_from_them():
    entry, why = an_entry(), Unknown("HMGET may not be run")
    [made] = rows_of(
        [entry], Rules(name="shop", ours=True), BeatSeen(name="shop", at_s=1.0, cursors={entry.name: 1.0}, orders=why)
    )
    assert [made.interval_s, made.paused, made.next_due_s, made.ordered_by] == [why] * 4


def test_trouble_comes_first_then_what_is_paused_then_names():
    entries = [an_entry("b"), an_entry("a"), an_entry("d"), an_entry("c", registered=False)]
    seen = BeatSeen(name="shop", at_s=1.0, orders={"d": Order(paused=True)}, last={}, counts={})
    assert [made.entry for made in rows_of(entries, Rules(name="shop", ours=True), seen)] == ["c", "d", "a", "b"]


@given(
    minutes=st.frozensets(st.integers(0, 59), min_size=1, max_size=3),
    hours=st.frozensets(st.integers(0, 23), min_size=1, max_size=3),
    weekdays=st.frozensets(st.integers(0, 6), min_size=1, max_size=3),
    after=st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001  made aware below
)
def test_a_crontab_is_due_when_celery_says_so(minutes, hours, weekdays, after):
    """In UTC, where no clock changes: what Celery's own remaining estimate ends at."""
    last = after.replace(tzinfo=UTC)
    theirs = celery_crontab(minute=set(minutes), hour=set(hours), day_of_week=set(weekdays), nowfun=lambda: last)
    start, gap, _ = theirs.remaining_delta(last, tz=UTC)
    ours = a_crontab(minutes=minutes, hours=hours, days_of_week=weekdays)
    assert next_due_s(ours, last.timestamp()) == (start + gap).timestamp()


def test_a_crontab_goes_by_its_own_zone_over_a_change_of_the_clock():
    berlin = ZoneInfo("Europe/Berlin")
    daily = a_crontab(minutes=(30,), hours=(2,), timezone="Europe/Berlin", utc_offset_s=3600.0)
    before = datetime(2026, 3, 28, 2, 30, tzinfo=berlin)
    # On the 29th there is no 02:30.
    assert next_due_s(daily, before.timestamp()) == datetime(2026, 3, 30, 2, 30, tzinfo=berlin).timestamp()
    noon = a_crontab(minutes=(0,), hours=(12,), timezone="Europe/Berlin")
    first = next_due_s(noon, datetime(2026, 3, 28, 12, tzinfo=berlin).timestamp())
    assert first == datetime(2026, 3, 28, 12, tzinfo=berlin).timestamp() + timedelta(hours=23).total_seconds()


def test_a_day_that_no_year_has_is_never_due():
    assert next_due_s(a_crontab(days_of_month=(31,), months=(2,)), 0.0) is None
    assert next_due_s(a_crontab(timezone="nowhere", utc_offset_s=3600.0, hours=(0,), minutes=(0,)), 0.0) == 23 * 3600
