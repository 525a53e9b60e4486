"""The state of a queue, for stories whose end is known: simulated at every phase that a window may have to them."""

from collections import Counter
from itertools import groupby

import pytest
from builders import a_flow, a_heartbeat, some_workers
from judged import judged, watched
from simulated import Cluster, Job, Pool, fan_out

from tidegate.facts.diagnosis import State
from tidegate.facts.seen import FlowSeen, Step
from tidegate.facts.unknown import Unknown

OK, DRAINING, SURGE, UNKNOWN, GROWING, STALLED = State
FAST, SLOW = Job(run_s=0.05), Job(run_s=0.5)


def depth_change(cluster, since, window_s=10.0):
    depth_at = cluster.lines["celery"].depth_at
    return depth_at(since + window_s) - depth_at(since)


@pytest.mark.parametrize("run_s", [0.03, 0.12, 0.5])
@pytest.mark.parametrize("factor", [1.05, 1.1, 1.2, 1.5, 2.0, 3.0])
def test_whatever_beat_sends_too_fast_grows_as_soon_as_it_can_be_seen_to(factor, run_s):
    for phase in range(10):
        cluster, since = Cluster().every(run_s / factor, Job(run_s=run_s)), 30 + phase * 0.031
        state = watched(cluster, since).state
        if depth_change(cluster, since) >= 5:
            assert state is GROWING
        assert state is not STALLED


def test_growth_that_is_too_slow_to_be_seen_is_never_called_fine_while_the_backlog_stands():
    states = {watched(Cluster().every(0.12 / 1.05, Job(run_s=0.12)), 40 + phase * 0.031).state for phase in range(20)}

    assert states <= {GROWING, UNKNOWN}


@pytest.mark.parametrize("age_s", [10, 35, 120, 400])
def test_a_fan_out_that_overloads_grows_although_its_depth_swings(age_s):
    cluster = Cluster().every(1.0, fan_out(20, 0.06), until=500)
    swings = Counter()
    for phase in range(5):
        since = age_s + phase * 10.07
        assert watched(cluster, since).state is GROWING
        swings[depth_change(cluster, since) > 0] += 1


def test_a_fan_out_grows_where_its_parent_waits_in_another_queue():
    for phase in range(10):
        cluster = Cluster(Pool(("celery", "parents"))).every(1.0, fan_out(20, 0.06, parents="parents"))
        seen = watched(cluster, 20 + phase * 0.11)
        assert seen.state is GROWING
        assert seen.queue("parents").state is OK


def test_a_fan_out_grows_where_its_parent_has_workers_of_its_own():
    pools = Pool(("celery",)), Pool(("parents",))
    for phase in range(10):
        cluster = Cluster(*pools_again(pools)).every(1.0, fan_out(20, 0.06, parents="parents"))
        assert watched(cluster, 20 + phase * 0.11).state is GROWING


def pools_again(pools):
    return [Pool(tuple(pool.queues)) for pool in pools]


@pytest.mark.parametrize("window_s", [3, 5, 10])
@pytest.mark.parametrize("children", [10, 13, 15])
def test_a_firing_that_clears_each_time_is_fine_at_every_phase(children, window_s):
    """Ten, thirteen and fifteen children of 60 ms a second use the worker to 60, 80 and 90 %."""
    cluster = Cluster().every(1.0, fan_out(children, 0.06), until=200)

    assert {watched(cluster, 10 + n * (window_s + 0.043), window_s).state for n in range(12)} == {OK}


@pytest.mark.parametrize("phases", [61, pytest.param(300, marks=pytest.mark.proof)])
@pytest.mark.parametrize("window_s", [3, pytest.param(5, marks=pytest.mark.proof), 10])
def test_a_burst_is_a_surge_then_drains_and_is_never_taken_for_growth(window_s, phases):
    """150 messages of 50 ms at two slots take 4 s; every second phase beside a steady load."""
    for phase in range(phases):
        cluster = Cluster(Pool(slots=2))
        if phase % 2:
            cluster.every(0.2, FAST)
        cluster.burst(10 + phase * window_s / phases, 150, FAST)
        states = [watched(cluster, 10 + (n - 1) * window_s, window_s).state for n in range(5)]
        assert [state for state, _ in groupby(states)] in PASSES
        assert states[-1] is OK


#: What a burst may look like, window after window; where it clears within one, nothing was to be seen.
PASSES = ([OK], [OK, SURGE, OK], [OK, SURGE, DRAINING, OK], [OK, DRAINING, OK])


@pytest.mark.parametrize("phases", [15, pytest.param(30, marks=pytest.mark.proof)])
@pytest.mark.parametrize("window_s", [3, 5, 10])
def test_a_burst_that_takes_minutes_drains_from_the_window_after_it_came(window_s, phases):
    for phase in range(phases):
        cluster = Cluster().every(0.5, FAST, until=120).burst(10 + phase * window_s / phases, 900, FAST, per_s=5000)
        assert watched(cluster, 10, window_s).state is SURGE
        # The next window may still see the end of it arrive.
        assert watched(cluster, 10 + window_s, window_s).state in (DRAINING, SURGE)
        assert {watched(cluster, 10 + n * window_s, window_s).state for n in (2, 3)} == {DRAINING}


@pytest.mark.parametrize("phases", [20, pytest.param(60, marks=pytest.mark.proof)])
@pytest.mark.parametrize("window_s", [3, 5, 10])
def test_not_even_a_burst_that_lasts_a_third_of_the_window_is_taken_for_growth(window_s, phases):
    for phase in range(phases):
        count = int(window_s * 300)
        since = 10 + phase * window_s / (1.5 * phases)
        cluster = Cluster().every(0.5, FAST, until=120).burst(since, count, FAST, per_s=900)
        assert watched(cluster, 10, window_s).state in (SURGE, UNKNOWN)


@pytest.mark.parametrize(("run_s", "count"), [(0.02, 3000), (0.1, 1000), (1.0, 100)])
def test_a_backlog_from_before_the_window_drains_fast_or_slow(run_s, count):
    cluster = Cluster().burst(0, count, Job(run_s=run_s))

    assert watched(cluster, 10).state is DRAINING


def test_an_idle_queue_is_fine():
    assert watched(Cluster(), 5).state is OK
    assert watched(Cluster().every(5.0, FAST), 5).state is OK


def test_independent_visitors_at_half_load_are_hardly_ever_taken_for_trouble():
    states = Counter(
        watched(Cluster(seed=seed).poisson(10, Job(run_s=lambda rng: rng.expovariate(20)), until=40), 20).state
        for seed in range(200)
    )

    assert states[GROWING] + states[STALLED] <= 2
    assert states[OK] >= 195


@pytest.mark.parametrize(("per_s", "slots", "mean_s"), [(2.0, 4, 1.0), (0.5, 1, 1.0), (40, 8, 0.1)])
def test_nor_with_other_pools_and_longer_tasks(per_s, slots, mean_s):
    job = Job(run_s=lambda rng: rng.expovariate(1 / mean_s))
    states = Counter(
        watched(Cluster(Pool(slots=slots), seed=seed).poisson(per_s, job, until=40), 20).state for seed in range(100)
    )

    assert states[GROWING] + states[STALLED] <= 1


@pytest.mark.parametrize("dies_after_s", [0, 1, 3, 5, 6])
def test_a_queue_whose_workers_die_in_the_window_is_stalled(dies_after_s):
    for phase in range(10):
        died = 20 + dies_after_s + phase * 0.013
        cluster = Cluster(Pool(dies_at=died)).every(0.2, FAST).burst(15, 400, FAST)
        assert watched(cluster, 20, workers=some_workers(a_heartbeat(last_at_s=1.0))).state is STALLED


def test_a_queue_that_nobody_ever_took_from_is_stalled_and_not_growing():
    assert watched(Cluster(Pool(dies_at=0)).every(0.1, FAST), 5).state is STALLED


def test_workers_busy_with_long_tasks_are_not_taken_for_dead():
    cluster = Cluster().burst(0, 20, Job(run_s=60))
    seen = watched(cluster, 5, workers=some_workers(a_heartbeat(active=1)))

    assert seen.state is UNKNOWN
    assert "1 task" in seen.queue().state_reason


def test_workers_that_have_gone_silent_are_no_excuse():
    cluster = Cluster().burst(0, 20, Job(run_s=60))

    assert watched(cluster, 5, workers=some_workers(a_heartbeat(active=1, last_at_s=1.0))).state is STALLED


def steps(*depths, **changes):
    return tuple(Step(n / 10, (n + 1) / 10, depth, 0, 0, **changes) for n, depth in enumerate(depths))


def state_of(flow):
    return judged({"celery": flow}).state


def test_messages_of_a_lost_worker_that_are_put_back_are_neither_growth_nor_a_stall():
    rows = [*steps(*range(10, 60)), *(Step(5 + n / 10, 5.1 + n / 10, 60, 0, 0, restores=1) for n in range(50))]

    assert state_of(FlowSeen(steps=tuple(rows))) is UNKNOWN


def test_a_problem_is_said_and_not_guessed_around():
    seen = judged({"celery": FlowSeen(problem=Unknown("the key is no list"))})

    assert seen.state is UNKNOWN
    assert seen.queue().state_reason == "the key is no list"


def test_one_step_is_no_trend():
    assert state_of(FlowSeen(steps=steps(5))) is UNKNOWN


@pytest.mark.parametrize(
    ("depths", "state"), [(range(100), GROWING), (range(100, 0, -1), DRAINING), ([50] * 100, UNKNOWN)]
)
def test_where_only_the_depth_is_known_it_must_move_one_way_all_the_time(depths, state):
    moving = [Step(n / 10, (n + 1) / 10, depth, 1, 1, exact=False) for n, depth in enumerate(depths)]

    assert state_of(FlowSeen(steps=tuple(moving))) is state


def test_a_queue_that_empties_again_and_again_is_fine_though_it_can_not_be_counted():
    rows = [Step(n / 10, (n + 1) / 10, n % 4, 1, 1, exact=False) for n in range(99)]

    assert state_of(FlowSeen(steps=tuple(rows))) is OK


def test_what_just_came_into_a_queue_that_was_empty_is_a_surge():
    rows = [Step(n / 10, (n + 1) / 10, 40 if n > 97 else 0, 1, 1, exact=False) for n in range(100)]

    assert state_of(FlowSeen(steps=tuple(rows))) is SURGE


def test_no_fixed_length_makes_a_queue_bad():
    assert judged({"celery": a_flow(5, 10, depth=2_000_000)}).state is DRAINING
    assert judged({"celery": a_flow(10, 5, depth=3)}).state is GROWING
