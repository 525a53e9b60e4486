"""How an interval gets to its aim: at once where it widens, gently where it narrows, and without ringing."""

import random

import pytest

from tidegate.model.pacing.aims import Aim, Bounds
from tidegate.model.pacing.holding import why_held
from tidegate.model.pacing.law import DEAD_BAND, begun, stepped

BOUNDS = Bounds(declared_s=1.0, min_s=0.1, max_s=10.0)


def driven(track, aim_s, seconds, bounds=BOUNDS, **options):
    """The intervals of so many seconds, two steps a second."""
    intervals = []
    for _ in range(int(seconds * 2)):
        track = stepped(track, aim_s, bounds, track.at_s + 0.5, **options)
        intervals.append(track.interval_s)
    return track, intervals


def test_it_widens_at_once():
    track, _ = driven(begun(1.0, BOUNDS, 0.0), 2.0, 0.5)
    assert track.interval_s == 2.0


def test_it_narrows_gently_and_is_within_ten_per_cent_in_fifteen_seconds():
    track, intervals = driven(begun(2.0, BOUNDS, 0.0), 1.0, 15, changed=True)
    assert intervals == sorted(intervals, reverse=True)
    assert intervals[0] > 1.8
    assert track.interval_s <= 1.1


def test_a_trifle_moves_nothing():
    _, intervals = driven(begun(1.0, BOUNDS, 0.0), 1.0 + DEAD_BAND * 0.9, 600)
    assert set(intervals) == {1.0}


@pytest.mark.parametrize(("aim_s", "bound_s"), [(0.01, 0.1), (99.0, 10.0), (float("inf"), 10.0)])
def test_it_ends_at_its_bounds(aim_s, bound_s):
    track, _ = driven(begun(1.0, BOUNDS, 0.0), aim_s, 300)
    assert track.interval_s == pytest.approx(bound_s, rel=DEAD_BAND)


@pytest.mark.parametrize("noise", [0.02, 0.05])
def test_noisy_measurements_make_no_oscillation_in_thirty_minutes(noise):
    luck, track, intervals = random.Random(5), begun(1.0, BOUNDS, 0.0), []
    for number in range(3600):
        if number % 20 == 0:  # the plan is made every ten seconds
            aim_s = 1.0 * (1 + luck.gauss(0, noise))
        track = stepped(track, aim_s, BOUNDS, track.at_s + 0.5)
        intervals.append(track.interval_s)
    settled = intervals[240:]
    assert max(settled) / min(settled) <= 1.1


def test_runs_that_are_held_back_for_long_widen_it_and_it_comes_back():
    track, _ = driven(begun(1.0, BOUNDS, 0.0), 1.0, 300, held=1.0)
    assert 1.3 < track.interval_s <= 2.0
    track, _ = driven(track, 1.0, 900, held=0.0)
    assert track.interval_s == pytest.approx(1.0, rel=DEAD_BAND)


def test_a_run_is_held_back_behind_more_than_a_firing_of_work():
    aims = {"a": Aim(interval_s=1.0, why="", work={"q": 4.0}, per_message={"q": 1.0})}
    assert why_held("a", aims, {"q": 4}, []) == ""
    assert why_held("a", aims, {"q": 5}, []) == "5 messages, 5 s of work, wait in front of it; a firing takes 4 s"
    assert why_held("a", aims, {"q": 1}, ["a"])
    assert why_held("b", aims, {"q": 99}, []) == ""


def test_entries_that_share_a_queue_leave_room_for_one_firing_each():
    shared = {"q": 1.0}
    aims = {
        name: Aim(interval_s=1.0, why="", work={"q": work}, per_message=shared)
        for name, work in (("a", 9.0), ("b", 1.0))
    }
    assert why_held("b", aims, {"q": 9}, []) == ""
    assert why_held("b", aims, {"q": 11}, [])
