"""Waits with publishers whose clocks are wrong: told, corrected, and never made up."""

from math import inf, nan

import pytest
from runs import START_S, a_firing, a_run, counted

from tidegate.facts.measured import Key, Lag
from tidegate.observe.probe.run import NO_TIME, Flag, said_of

KEY = Key("proj.task", "celery")


def seen(*runs):
    slice_ = counted(*runs).slices[START_S]
    return slice_, slice_.runs[KEY]


def test_a_wait_is_the_time_from_publication_to_start():
    assert seen(a_run(1, wait_s=0.25))[1].wait.total_ns == 250_000_000


def test_a_message_with_an_eta_waits_from_then_on():
    assert seen(a_run(10, wait_s=9.0, eta_s=START_S + 9.5))[1].wait.total_ns == 500_000_000


def test_a_start_before_the_stamp_says_that_the_publisher_is_ahead_and_corrects_what_follows():
    slice_, runs = seen(a_run(1, wait_s=-0.4), a_run(2, wait_s=0.1), a_run(3, wait_s=-0.3))

    assert slice_.ahead == {"web-1": 0.4}
    assert runs.odd_stamps == 0
    assert runs.wait.total_ns == (0 + 500_000_000 + 100_000_000)


def test_the_lead_of_one_machine_says_nothing_of_another():
    _, runs = seen(a_run(1, wait_s=-0.4), a_run(2, wait_s=0.1, machine="web-2"))

    assert runs.wait.total_ns == 100_000_000


def test_a_stamp_of_the_brokers_clock_is_neither_corrected_nor_tells_of_a_clock():
    slice_, runs = seen(a_run(1, wait_s=-0.4), a_run(2, wait_s=0.1, flags=Flag.BROKER_CLOCK))

    assert slice_.ahead == {"web-1": 0.4}
    assert runs.wait.total_ns == 100_000_000


def test_a_first_stamp_far_ahead_is_odd_and_known_from_then_on():
    slice_, runs = seen(a_run(1, wait_s=-100.0), a_run(2, wait_s=-99.5))

    assert slice_.ahead == {"web-1": 100.0}
    assert (runs.odd_stamps, runs.wait.total_ns) == (1, 500_000_000)


@pytest.mark.parametrize("stamp_s", [nan, inf, -inf, -5.0, 1.0, START_S - 400 * 86400.0, START_S + 3 * 86400.0, 1e300])
def test_an_absurd_stamp_is_odd_and_nobodys_clock(stamp_s):
    slice_, runs = seen(a_run(1, stamp_s=stamp_s))

    assert (runs.odd_stamps, runs.wait.count, runs.run.count) == (1, 0, 1)
    assert (slice_.ahead, slice_.lags) == ({}, {})


def test_no_stamp_is_no_wait_and_not_odd():
    _, runs = seen(a_run(1, stamp_s=NO_TIME))

    assert (runs.odd_stamps, runs.wait.count) == (0, 0)


def test_the_smallest_wait_at_an_idle_worker_tells_of_a_publisher_that_is_behind():
    slice_, _ = seen(a_run(1), a_firing(2, wait_s=3.2), a_firing(3, wait_s=3.1), a_firing(4, wait_s=7.0))

    assert slice_.lags == {"web-1": Lag(3, 3.1)}


@pytest.mark.parametrize(
    "second",
    [
        {"busy": 2},
        {"flags": 0},
        {"flags": Flag.FIRST | Flag.REDELIVERED},
        {"flags": Flag.FIRST | Flag.BROKER_CLOCK},
        {"eta_s": START_S + 1.0},
        {"start_us": (START_S + 1) * 1_000_000 + 102_000},
    ],
    ids=["others run", "a child", "redelivered", "the broker's clock", "an ETA", "right behind another run"],
)
def test_a_wait_that_may_have_another_reason_tells_of_no_clock(second):
    slice_, _ = seen(a_run(1, 0.1), a_run(2, **{"flags": Flag.FIRST, **second}))

    assert slice_.lags == {}


def test_the_first_run_of_a_worker_tells_of_no_clock():
    assert seen(a_firing(2, wait_s=3.2))[0].lags == {}


def test_a_publisher_that_is_behind_makes_no_turnaround():
    idle = [a_firing(n, wait_s=5.0) for n in range(1, 6)]
    slice_, _ = seen(*idle)

    # Each of them seems to have been there before the run before it ended; from the third one on that is seen through.
    assert slice_.turnaround["celery"].count <= 3


REQUEST = {
    "id": "a",
    "root_id": "a",
    "delivery_info": {"exchange": "", "routing_key": "celery"},
    "origin": "gen1@web-1",
}


@pytest.mark.parametrize(
    ("said", "stamp_s"),
    [
        ({"enqueued_at": 1_700_000_000.5}, 1_700_000_000.5),
        ({"enqueued_at": "1700000000.5"}, 1_700_000_000.5),
        ({"enqueued_at": "2023-11-14T22:13:20.5+00:00"}, 1_700_000_000.5),
        ({"enqueued_at": 1_700_000_000}, 1_700_000_000.0),
        ({"sentry-task-enqueued-time": "1700000000.5"}, 1_700_000_000.5),
        ({"properties": {"published_at": 1_700_000_000.5}}, 1_700_000_000.5),
        ({}, NO_TIME),
    ],
)
def test_the_stamps_of_others_are_read_as_well(said, stamp_s):
    *_, read, _, flags = said_of({**REQUEST, **said}, "proj.task")

    assert (read, flags & Flag.ODD_STAMP) == (stamp_s, 0)


@pytest.mark.parametrize("stamp", ["yesterday", "", -1, 0, 10**400, True, {"a": 1}, [1], b"x", "9" * 5000])
def test_a_stamp_that_is_no_time_is_odd_and_never_raises(stamp):
    *_, read, _, flags = said_of({**REQUEST, "enqueued_at": stamp}, "proj.task")

    assert (read, flags & Flag.ODD_STAMP) == (NO_TIME, Flag.ODD_STAMP)


@pytest.mark.parametrize("eta", [5, "soon", [], {}, "9" * 5000, "2023-13-45"])
def test_an_eta_that_is_no_time_is_none(eta):
    assert said_of({**REQUEST, "eta": eta}, "proj.task")[4] == NO_TIME


@pytest.mark.parametrize("delivery", [None, 5, "x", [], {"redelivered": True}])
def test_an_odd_delivery_info_is_none(delivery):
    names, *_ = said_of({**REQUEST, "delivery_info": delivery}, "proj.task")

    assert names == ("proj.task", None, None, None)


@pytest.mark.parametrize(
    ("said", "flags"),
    [
        ({}, Flag.FIRST),
        ({"retries": 1}, 0),
        ({"root_id": "b"}, 0),
        ({"delivery_info": {"redelivered": True}}, Flag.REDELIVERED),
        ({"enqueued_at": 1.5, "enqueued_clock": "broker"}, Flag.FIRST | Flag.BROKER_CLOCK),
    ],
)
def test_a_firing_is_the_first_try_of_a_message_that_is_its_own_root(said, flags):
    assert said_of({**REQUEST, **said}, "proj.task")[5] == flags
