"""Rates against what is known without measuring: closed forms, and streams drawn from a known law."""

import itertools
import math
import random

import pytest
from builders import unread_flow
from simulated import Cluster, Job

from tidegate.facts.seen import NOT_LOOKED, FlowSeen, Step
from tidegate.facts.unknown import Unknown, known
from tidegate.model.rates import Tally, event_rate, measure, regular_rate

POLL_S = 0.1


def tallied(times, window_s=10.0):
    """The counts of events at those times, polled ten times a second."""
    steps = [(number / 10, (number + 1) / 10) for number in range(round(window_s * 10))]
    return [Tally(since, until, sum(since < at <= until for at in times)) for since, until in steps]


def periodic(interval_s, phase, window_s=10.0):
    return [phase + number * interval_s for number in range(int((window_s - phase) / interval_s) + 1)]


def poisson(per_s, seed, window_s=10.0):
    rng, at, times = random.Random(seed), 0.0, []
    while (at := at + rng.expovariate(per_s)) < window_s:
        times.append(at)
    return times


@pytest.mark.parametrize("interval_s", [0.03, 0.1, 0.12, 0.25, 0.37, 1.0, 1.2, 2.0])
def test_a_periodic_stream_is_known_to_one_percent_plus_the_polls_wherever_the_window_cuts_it(interval_s):
    for phase in [number * interval_s / 20 for number in range(20)]:
        rate = event_rate(tallied(periodic(interval_s, phase)))
        assert rate.per_s == pytest.approx(1 / interval_s, rel=0.01 + POLL_S / 9)
        assert abs(rate.per_s - 1 / interval_s) <= rate.error_per_s + 1e-9


@pytest.mark.parametrize("interval_s", [0.1, 0.5, 1.0, 2.0])
def test_an_interval_that_is_a_multiple_of_the_polls_is_known_exactly(interval_s):
    for phase in (0.01, 0.05, 0.09):
        assert event_rate(tallied(periodic(interval_s, phase))).per_s == pytest.approx(1 / interval_s, rel=1e-6)


@pytest.mark.parametrize("per_s", [0.5, 2, 8, 40])
def test_the_error_of_independent_arrivals_covers_the_truth_in_at_least_nine_of_ten_windows(per_s):
    rates = [event_rate(tallied(poisson(per_s, seed))) for seed in range(500)]

    assert sum(abs(rate.per_s - per_s) <= rate.error_per_s for rate in rates) >= 450


@pytest.mark.parametrize("per_s", [2, 8, 40])
def test_independent_arrivals_are_not_overstated(per_s):
    rates = [event_rate(tallied(poisson(per_s, seed))).per_s for seed in range(500)]

    assert sum(rates) / 500 == pytest.approx(per_s, rel=0.03)


def test_messages_in_heaps_are_counted_once_a_heap():
    for phase in (0.03, 0.4, 0.93):
        heaps = [at + number * 0.0005 for at in periodic(1.0, phase) for number in range(20)]
        rate = event_rate(tallied(heaps))
        assert rate.per_s == pytest.approx(20, rel=0.06)
        assert abs(rate.per_s - 20) <= rate.error_per_s + 1e-9


def test_the_error_of_independent_heaps_covers_the_truth():
    covered = 0
    for seed in range(300):
        heaps = [at for at in poisson(2, seed) for _ in range(10)]
        rate = event_rate(tallied(heaps))
        covered += abs(rate.per_s - 20) <= rate.error_per_s
    assert covered >= 0.85 * 300


def test_one_burst_is_spread_over_the_window_with_an_error_that_is_larger():
    rate = event_rate(tallied([5.05] * 100))

    assert rate.per_s == pytest.approx(10)
    assert 2 * rate.per_s < rate.error_per_s < 5 * rate.per_s


@pytest.mark.parametrize(("times", "per_s"), [((), 0.0), ((4.0,), 0.1), ((2.0, 9.0), 0.2)])
def test_fewer_than_three_events_are_counted_plainly_and_the_error_admits_twice_as_many(times, per_s):
    rate = event_rate(tallied(times))

    assert rate.per_s == pytest.approx(per_s)
    assert rate.error_per_s >= per_s


def test_no_event_gives_nought_and_the_rule_of_three():
    assert event_rate(tallied(())).error_per_s == pytest.approx(0.3)


def test_no_window_gives_nought_and_no_idea():
    assert event_rate([]).error_per_s == math.inf


@pytest.mark.parametrize("interval_s", [0.35, 0.5, 1.0, 1.2, 3.0])
def test_a_timer_is_known_to_the_resolution_even_where_some_firings_were_missed(interval_s):
    for phase, lost in itertools.product((0.0, 0.03, 0.07), (None, 2)):
        times = [math.ceil(at * 10) / 10 for at in periodic(interval_s, phase, 20.0)]
        kept = [at for number, at in enumerate(times) if number != lost]
        rate = regular_rate(kept, POLL_S)
        assert rate is not None
        assert rate.per_s == pytest.approx(1 / interval_s, rel=0.02)
        assert abs(rate.per_s - 1 / interval_s) <= rate.error_per_s + 1e-9


def test_a_timer_too_fast_for_the_polls_is_none_rather_than_the_polls_own_rhythm():
    seen = [math.ceil(at * 10) / 10 for at in periodic(0.12, 0.05)]

    assert regular_rate(seen, POLL_S) is None


def test_independent_arrivals_are_seldom_taken_for_a_timer():
    """Three gaps may be alike by chance; that happens less than twice in a hundred windows."""
    assert sum(regular_rate(poisson(1, seed), POLL_S) is not None for seed in range(500)) < 10


def test_many_independent_arrivals_are_never_taken_for_a_timer():
    assert [seed for seed in range(200) if regular_rate(poisson(2, seed), POLL_S)] == []


@pytest.mark.parametrize("times", [(), (1.0,), (1.0, 2.0), (1.0, 2.0, 3.0), (1.0, 1.0, 1.0, 1.0, 1.0)])
def test_too_few_moments_keep_no_interval(times):
    assert regular_rate(times, POLL_S) is None


def measured(cluster, since, window_s=10.0):
    return measure(cluster.watch(since, window_s)["celery"], NOT_LOOKED)


@pytest.mark.parametrize("phase", [0.0, 0.013, 0.05, 0.087])
def test_120_ms_of_work_every_100_ms(phase):
    flow = measured(Cluster().every(0.1, Job(run_s=0.12)), 5 + phase)

    assert known(flow.arrival)
    assert known(flow.service)
    assert known(flow.capacity)
    assert flow.arrival.per_s == pytest.approx(10, rel=0.05)
    assert flow.service.per_s == pytest.approx(1 / 0.12, rel=0.05)
    assert flow.capacity.per_s == pytest.approx(1 / 0.12, rel=0.05)
    assert flow.growth_per_s == pytest.approx(10 - 1 / 0.12, rel=0.1)


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.71])
def test_the_story_at_its_own_pace_shows_its_capacity_within_ten_seconds(phase):
    flow = measured(Cluster().every(1.0, Job(run_s=1.2), until=120), 60 + phase)

    assert known(flow.capacity)
    assert flow.capacity.per_s == pytest.approx(1 / 1.2, rel=0.05)


def test_workers_that_keep_up_do_not_show_what_they_could_do():
    flow = measured(Cluster().every(0.2, Job(run_s=0.12)), 5)

    assert known(flow.arrival)
    assert flow.arrival.per_s == pytest.approx(5, rel=0.02)
    assert isinstance(flow.capacity, Unknown)


def test_a_queue_that_was_not_read_has_no_rates_and_says_why():
    flow = measure(unread_flow("the key is no list"), NOT_LOOKED)

    assert flow.arrival == flow.service == flow.capacity == Unknown("the key is no list")


def test_a_queue_that_was_not_watched_has_no_rates():
    assert measure(FlowSeen(), NOT_LOOKED).arrival == Unknown("the queue was not watched")


def uncounted(arrivals):
    return FlowSeen(steps=tuple(Step(n / 10, (n + 1) / 10, 0, arrivals, arrivals, exact=False) for n in range(100)))


def test_what_could_not_be_counted_is_taken_from_the_servers_count_and_says_so():
    flow = measure(uncounted(0), 5.0)

    assert known(flow.arrival)
    assert (flow.arrival.per_s, flow.arrival.basis) == (5.0, "server statistics")


def test_what_could_be_seen_to_arrive_is_a_lower_bound_of_what_the_server_says():
    flow = measure(uncounted(1), 5.0)

    assert known(flow.arrival)
    assert flow.arrival.per_s == 10.0


def test_without_the_servers_count_it_is_unknown_and_the_least_is_said():
    flow = measure(uncounted(1), Unknown("INFO could not be read"))

    assert isinstance(flow.arrival, Unknown)
    assert "at least 100 arrived in 10.0 s" in flow.arrival.why
