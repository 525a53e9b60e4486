"""Which due times are sent and which are passed over, and how they are spread; times in µs."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.model.beat.due import LATE_US, SECOND_US, Turn, is_stale, next_on_grid, turn_among, turn_on_grid
from tidegate.model.beat.spread import WIDEST_US, jitter, phases

S = SECOND_US

intervals = st.integers(10_000, 100 * S)
delays = st.integers(0, 1000 * S)
windows = st.one_of(st.none(), st.integers(0, 2000 * S))


@pytest.mark.parametrize(
    ("interval_s", "late_s", "catchup_s", "expected"),
    [
        (10, 0, None, (0, 0)),
        (10, 0.9, None, (0, 0)),
        # Down for 35 s: the newest of four is made up for, the next one being 5 s away.
        (10, 35, None, (3, 3)),
        # The next one is half a second away: none is made up for.
        (10, 39.5, None, (4, None)),
        # A second of delay is no outage: all of them go out.
        (0.1, 0.55, None, (0, 0)),
        # Ten seconds are: what is older than a second is missed.
        (0.1, 10, None, (90, 90)),
        (10, 35, 3600, (0, 0)),
        (10, 35, 20, (2, 2)),
        # Nothing within the window, and no newest one either, for the window is what was asked for.
        (3600, 1000, 60, (1, None)),
        (86400, 7200, None, (0, 0)),
    ],
)
def test_what_is_sent_of_the_due_times_that_have_come(interval_s, late_s, catchup_s, expected):
    due_us, interval_us = 1_000 * S, int(interval_s * S)
    catchup_us = None if catchup_s is None else catchup_s * S
    turn = turn_on_grid(due_us, interval_us, due_us + int(late_s * S), catchup_us)
    missed, sent = expected
    assert turn.missed == missed
    assert turn.send_us == (0 if sent is None else due_us + sent * interval_us)


@given(interval_us=intervals, late_us=delays, catchup_us=windows)
def test_every_due_time_is_either_sent_or_missed_and_only_once(interval_us, late_us, catchup_us):
    first_us, now_us = 10**15, 10**15 + late_us
    due_us, sent, missed = first_us, [], 0
    while due_us <= now_us:
        turn = turn_on_grid(due_us, interval_us, now_us, catchup_us)
        missed += turn.missed
        sent += [turn.send_us] if turn.send_us else []
        last_us = turn.send_us or turn.missed_us
        assert last_us >= due_us
        due_us = last_us + interval_us
        if len(sent) > 200:
            return
    assert len(sent) + missed == late_us // interval_us + 1
    assert all(later > earlier for earlier, later in pairwise(sent))
    assert all((us - first_us) % interval_us == 0 for us in sent)


@given(interval_us=intervals, late_us=delays, catchup_us=windows)
def test_nothing_older_than_the_window_is_sent_but_the_newest(interval_us, late_us, catchup_us):
    now_us = 10**15 + late_us
    turn = turn_on_grid(10**15, interval_us, now_us, catchup_us)
    window_us = max(catchup_us or 0, LATE_US)
    if turn.send_us and now_us - turn.send_us > window_us:
        assert catchup_us is None
        assert turn.send_us + interval_us > now_us + SECOND_US


@given(interval_us=st.integers(S // 2, 100 * S), late_us=st.integers(0, 200 * S), catchup_us=windows)
def test_a_grid_and_the_same_due_times_one_by_one_are_decided_on_alike(interval_us, late_us, catchup_us):
    due_us, now_us = 10**15, 10**15 + late_us
    dues = list(range(due_us, now_us + 1, interval_us))
    assert turn_on_grid(due_us, interval_us, now_us, catchup_us) == turn_among(
        dues, dues[-1] + interval_us, now_us, catchup_us
    )


def test_nothing_older_than_the_starting_deadline_is_made_up_for():
    dues = [1000 * S]
    assert turn_among(dues, 5000 * S, 1100 * S, None).send_us == 1000 * S
    assert turn_among(dues, 5000 * S, 1100 * S, None, 120 * S).send_us == 1000 * S
    assert turn_among(dues, 5000 * S, 1100 * S, None, 60 * S) == Turn(0, 1, 1000 * S)
    assert turn_among(dues, 5000 * S, 1100 * S, 3600 * S, 60 * S) == Turn(0, 1, 1000 * S)


@given(interval_us=intervals, many=st.integers(1, 50))
def test_the_next_due_time_is_the_last_one_and_the_interval_whenever_that_was_sent(interval_us, many):
    us = 10**15
    for _ in range(many):
        us = next_on_grid(us, interval_us, us + interval_us // 3)
    assert us == 10**15 + many * interval_us


def test_a_grid_begins_anew_where_the_clock_went_back_behind_it():
    now_us = 10**15
    assert next_on_grid(now_us + 3600 * S, 10 * S, now_us) == now_us + 10 * S
    # An interval ahead is what the last due time may be.
    assert next_on_grid(now_us + 10 * S, 10 * S, now_us) == now_us + 20 * S


@pytest.mark.parametrize(
    ("late_s", "expires_s", "following_s", "stale"),
    [(5, 3, 0.5, True), (5, 3, 10, False), (2, 3, 0.5, False), (5, 0, 0.5, False), (5, 3, None, False)],
)
def test_a_run_is_stale_when_it_comes_later_than_it_is_good_for_and_a_newer_one_is_near(
    late_s, expires_s, following_s, stale
):
    now_us = 10**15
    following_us = None if following_s is None else now_us + int(following_s * S)
    assert is_stale(now_us - late_s * S, following_us, now_us, expires_s * S) is stale


@given(names=st.sets(st.text(min_size=1), min_size=1, max_size=60), interval_us=intervals)
def test_phases_are_the_same_for_the_same_names_and_within_the_interval(names, interval_us):
    found = phases(names, interval_us)
    assert found == phases(sorted(names, reverse=True), interval_us)
    assert all(0 <= us < min(interval_us, WIDEST_US) for us in found.values())


@pytest.mark.parametrize("many", [2, 10, 100, 1000])
def test_each_tenth_of_the_interval_gets_its_share_of_the_entries(many):
    us = phases((f"entry {number}" for number in range(many)), S).values()
    for tenth in range(10):
        inside = sum(1 for one in us if tenth * S // 10 <= one < (tenth + 1) * S // 10)
        assert abs(inside - many / 10) <= 2


@given(entry=st.text(), due_us=st.integers(1, 10**16), most_us=st.integers(0, 10**9), interval_us=intervals)
def test_jitter_is_a_matter_of_the_due_time_alone_and_ends_before_the_next_one(entry, due_us, most_us, interval_us):
    us = jitter(entry, due_us, most_us, interval_us)
    assert us == jitter(entry, due_us, most_us, interval_us)
    assert 0 <= us <= most_us
    assert us < interval_us


def test_jitter_differs_from_one_due_time_to_the_next():
    assert len({jitter("refresh", number * 60 * S, 30 * S, 60 * S) for number in range(100)}) == 100
