"""When the scheduler sends: grids without drift, what is made up for, jitter, orders, clocks that are set."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from beat_desk import desk, every
from celery.schedules import crontab

from tidegate.facts.beat import AUTO, Ask, BeatOutcome, EntryPolicy, Order, Paced

DRY = {"dry": True}
PLAIN = EntryPolicy(spread=False)
HOUR_S = 3600.0


def gaps(times):
    return [later - earlier for earlier, later in pairwise(times)]


def test_ten_thousand_firings_at_a_tenth_of_a_second_end_on_the_grid(broker_url):
    with desk(broker_url, {"a": every(0.1)}, **DRY) as beat:
        beat.run(0.2)
        begun = beat.dues("a")[0]
        beat.run(1000)
        dues = beat.dues("a")
        assert len(dues) >= 10_000
        assert dues[10_000] == pytest.approx(begun + 1000, abs=1e-5)
        assert max(sent_s - due_s for _, due_s, sent_s in beat.sent) < 0.1


def test_due_times_follow_one_another_by_the_interval_however_late_one_was_sent(broker_url):
    with desk(broker_url, {"a": every(10)}, **DRY) as beat:
        beat.run(21)
        beat.stand.at_s += 9.7  # the machine was busy
        beat.run(40)
        assert gaps(beat.dues("a")) == pytest.approx([10.0] * (len(beat.dues("a")) - 1))


def test_entries_of_one_interval_are_spread_over_it(broker_url):
    spread = EntryPolicy()
    schedule = {f"e{number}": every(10) for number in range(100)}
    with desk(broker_url, schedule, policies=dict.fromkeys(schedule, spread), **DRY) as beat:
        beat.run(20)
        first = {name: due_s for name, due_s, _ in reversed(beat.sent)}
        by_tenth = [sum(1 for due_s in first.values() if int(due_s % 10) == second) for second in range(10)]
        assert len(first) == 100
        assert max(by_tenth) <= 12


def test_each_due_time_of_an_entry_with_jitter_is_sent_that_much_later_and_counted_so(broker_url):
    policies = {"a": EntryPolicy(spread=False, jitter_s=4)}
    with desk(broker_url, {"a": every(10)}, policies=policies, **DRY) as beat:
        beat.run(205)
        late = [sent_s - due_s for _, due_s, sent_s in beat.sent]
        assert gaps(beat.dues("a")) == pytest.approx([10.0] * (len(late) - 1))
        assert 0 <= min(late) < 1.5 and 2.5 < max(late) <= 4.02
        assert set(beat.outcomes("a")) == {BeatOutcome.JITTERED}


def test_of_what_was_missed_the_newest_is_made_up_for_and_the_rest_is_counted(broker_url):
    with desk(broker_url, {"a": every(10)}, **DRY) as beat:
        beat.run(11)
        beat.stand.leads = False
        beat.run(34)
        beat.stand.leads, beat.stand.term = True, 2
        beat.stand.held = {"a": beat.book.entries["a"].cursor}
        beat.run(1)
        assert beat.outcomes("a") == [BeatOutcome.SENT, BeatOutcome.MISSED, BeatOutcome.MISSED, BeatOutcome.SENT]
        assert gaps(beat.dues("a")) == pytest.approx([30.0])


def test_within_a_catch_up_window_each_one_is_made_up_for_the_oldest_first(broker_url):
    policies = {"a": EntryPolicy(spread=False, catchup_s=25)}
    with desk(broker_url, {"a": every(10)}, policies=policies, **DRY) as beat:
        beat.run(11)
        beat.stand.at_s += 54
        beat.run(1)
        assert beat.outcomes("a").count(BeatOutcome.MISSED) == 3
        assert gaps(beat.dues("a")) == pytest.approx([40.0, 10.0])


def test_what_others_have_decided_on_is_not_decided_on_again(broker_url):
    with desk(broker_url, {"a": every(10)}, **DRY) as beat:
        ahead_s = beat.stand.at_s + 9
        beat.stand.held = {"a": str(int(ahead_s * 1e6))}
        beat.run(18)
        assert beat.sent == []
        beat.run(2)
        assert beat.dues("a") == pytest.approx([ahead_s + 10])


def test_a_cursor_that_a_clock_left_far_ahead_is_no_reason_to_wait(broker_url):
    with desk(broker_url, {"a": every(10)}, **DRY) as beat:
        beat.stand.held = {"a": str(int((beat.stand.at_s + HOUR_S) * 1e6))}
        beat.run(21)
        assert len(beat.sent) == 2


def test_an_order_holds_from_the_last_due_time_on(broker_url):
    with desk(broker_url, {"a": every(100)}, **DRY) as beat:
        beat.run(130)
        last_s = beat.dues("a")[-1]
        beat.stand.order_of, beat.stand.edition = {"a": Order(every=40.0)}, 1
        beat.run(80)
        assert beat.dues("a")[1:] == pytest.approx([last_s + 40, last_s + 80])
        beat.stand.order_of, beat.stand.edition = {}, 2
        beat.run(80)
        assert beat.dues("a")[-1] == pytest.approx(last_s + 180)


def test_an_order_that_would_have_been_due_already_is_due_now(broker_url):
    with desk(broker_url, {"a": every(100)}, **DRY) as beat:
        beat.run(150)
        beat.stand.order_of, beat.stand.edition = {"a": Order(every=1.0)}, 1
        now_s = beat.stand.at_s
        beat.run(0.5)
        assert beat.dues("a")[1:] == pytest.approx([now_s], abs=0.01)
        assert BeatOutcome.MISSED not in beat.outcomes("a")


def test_a_paused_entry_passes_its_due_times_and_says_by_whom(broker_url):
    with desk(broker_url, {"a": every(10)}, **DRY) as beat:
        beat.stand.order_of, beat.stand.edition = {"a": Order(paused=True, who="ann@ops")}, 1
        beat.run(31)
        assert beat.outcomes("a") == [BeatOutcome.PAUSED] * 3
        assert beat.decided[0].why == "by ann@ops"
        assert beat.sent == []
        beat.stand.order_of, beat.stand.edition = {}, 2
        beat.run(10)
        assert beat.outcomes("a")[3:] == [BeatOutcome.SENT]


def test_a_run_that_was_asked_for_comes_at_once_and_once_and_moves_nothing(broker_url):
    with desk(broker_url, {"a": every(10)}, **DRY) as beat:
        beat.run(15)
        beat.stand.ask_of, beat.stand.edition = {"a": Ask(id="1"), "gone": Ask(id="2")}, 1
        beat.run(3)
        assert beat.dues("a")[1:] == [0.0]
        beat.run(5)
        assert len(beat.sent) == 3 and beat.dues("a")[2] - beat.dues("a")[0] == pytest.approx(10)


def test_an_interval_that_follows_the_workers_is_asked_for_and_kept_within_its_bounds(broker_url):
    policies = {"a": EntryPolicy(spread=False, auto=True, min_s=2, max_s=30)}
    with desk(broker_url, {"a": every(10), "b": every(10)}, policies=policies, **DRY) as beat:
        beat.run(11)
        (follower,) = beat.pacer.followed[-1]
        assert (follower.entry, follower.declared_s, follower.min_s, follower.max_s) == ("a", 10, 2, 30)
        for wanted_s, had_s in ((20.0, 20.0), (500.0, 30.0), (0.1, 2.0)):
            beat.pacer.paced["a"] = Paced(interval_s=wanted_s, why="")
            beat.run(65)
            assert gaps(beat.dues("a"))[-1] == pytest.approx(had_s)


def test_an_order_makes_an_entry_follow_the_workers(broker_url):
    with desk(broker_url, {"a": every(10)}, **DRY) as beat:
        beat.pacer.paced["a"] = Paced(interval_s=3.0, why="")
        beat.stand.order_of, beat.stand.edition = {"a": Order(every=AUTO, min_s=1.0)}, 1
        beat.run(30)
        assert gaps(beat.dues("a"))[-1] == pytest.approx(3.0)


def test_what_is_held_back_says_why(broker_url):
    policies = {"a": EntryPolicy(spread=False, auto=True, min_s=1)}
    with desk(broker_url, {"a": every(10)}, policies=policies, **DRY) as beat:
        beat.pacer.held_back["a"] = "two firings wait"
        beat.run(11)
        assert [(one.outcome, one.why) for one in beat.decided] == [(BeatOutcome.HELD_BACK, "two firings wait")]


def test_entries_come_change_and_go_while_it_runs(broker_url):
    with desk(broker_url, {"a": every(10), "b": every(10)}, **DRY) as beat:
        beat.run(11)
        beat.add(name="c", task="work", schedule=timedelta(seconds=3))
        del beat.schedule["b"]
        beat.update_from_dict({"a": every(2)})
        beat.run(4)
        assert {name for name, _, _ in beat.sent[2:]} == {"a", "c"}


def test_an_interval_does_not_care_for_a_wall_clock_that_is_set(broker_url):
    with desk(broker_url, {"a": every(10)}, **DRY) as beat:
        for ahead_s in (0, HOUR_S, -HOUR_S, 0):
            beat.wall_ahead_s = ahead_s
            beat.run(20)
        assert set(beat.outcomes("a")) == {BeatOutcome.SENT}
        assert gaps(beat.dues("a")) == pytest.approx([10.0] * 7)


def at(beat, moment):
    """The time is that, by every clock."""
    beat.stand.at_s = moment.timestamp()
    for entry in beat.schedule.values():
        entry.last_run_at = moment


def test_a_crontab_is_not_sent_twice_when_the_clock_goes_back_and_made_up_for_when_it_goes_on(broker_url):
    with desk(broker_url, {"a": {"task": "work", "schedule": crontab(minute=0)}}, **DRY) as beat:
        at(beat, datetime(2026, 3, 3, 11, 59, 0, tzinfo=UTC))
        beat.run(120)
        assert [datetime.fromtimestamp(due_s, UTC).hour for due_s in beat.dues("a")] == [12]
        beat.wall_ahead_s = -HOUR_S  # 11:01 again
        beat.run(2 * HOUR_S)
        assert [datetime.fromtimestamp(due_s, UTC).hour for due_s in beat.dues("a")] == [12, 13]
        beat.wall_ahead_s = HOUR_S - 600  # over 14:00
        beat.run(60)
        assert [datetime.fromtimestamp(due_s, UTC).hour for due_s in beat.dues("a")] == [12, 13, 14]
        assert set(beat.outcomes("a")) == {BeatOutcome.SENT}


@pytest.mark.parametrize(
    ("midnight", "hours"),
    [
        (datetime(2026, 3, 28, 23, 0, tzinfo=UTC), ["00:30", "01:30", "03:30", "04:30"]),
        (datetime(2026, 10, 24, 22, 0, tzinfo=UTC), ["00:30", "01:30", "02:30", "03:30"]),
    ],
)
def test_days_with_a_change_of_summer_time_have_the_due_times_that_celery_has(broker_url, midnight, hours):
    entry = {"task": "work", "schedule": crontab(minute=30, hour="*")}
    with desk(broker_url, {"a": entry}, settings={"timezone": "Europe/Berlin"}, **DRY) as beat:
        at(beat, midnight)
        beat.run(6 * HOUR_S)
        zone = beat.app.timezone
        found = [datetime.fromtimestamp(due_s, UTC).astimezone(zone).strftime("%H:%M") for due_s in beat.dues("a")]
        assert found[:4] == hours
        assert len(set(beat.dues("a"))) == len(beat.dues("a"))


def test_a_crontab_that_was_missed_longer_ago_than_the_starting_deadline_is_not_made_up_for(broker_url):
    entry = {"task": "work", "schedule": crontab(minute=0, hour=12)}
    for deadline_s, outcomes in ((None, [BeatOutcome.SENT]), (600, [BeatOutcome.MISSED]), (7200, [BeatOutcome.SENT])):
        with desk(broker_url, {"a": entry}, settings={"beat_cron_starting_deadline": deadline_s}, **DRY) as beat:
            at(beat, datetime(2026, 3, 3, 11, 0, tzinfo=UTC))
            beat.stand.at_s += 2 * HOUR_S
            beat.run(10)
            assert beat.outcomes("a") == outcomes


def test_a_day_of_missed_crontabs_is_counted_and_the_newest_made_up_for(broker_url):
    with desk(broker_url, {"a": {"task": "work", "schedule": crontab()}}, **DRY) as beat:
        at(beat, datetime(2026, 3, 3, 11, 0, 30, tzinfo=timezone(timedelta(hours=2))))
        beat.stand.at_s += 24 * HOUR_S
        beat.run(5)
        assert beat.outcomes("a").count(BeatOutcome.MISSED) == 24 * 60 - 1
        assert beat.outcomes("a").count(BeatOutcome.SENT) == 1
