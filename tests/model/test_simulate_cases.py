"""Small cases that can be worked out by hand: who takes what, when it is acknowledged, and what becomes of it."""

import pytest

from model.scenarios import (
    a_host,
    a_scenario,
    a_task,
    an_entry,
    at,
    dies,
    outcome,
    played,
    returns,
    visitors,
)
from tidegate.facts.diagnosis import State
from tidegate.facts.laws import Constant, Samples
from tidegate.facts.scenario import BrokerSettings, Retry
from tidegate.facts.unknown import known

SOON = BrokerSettings(visibility_timeout_s=10.0, restore_every_s=1.0)


def waits(cluster, task="work"):
    return cluster.kinds[task].waits.fresh


def depth(cluster, queue="celery"):
    return cluster.lines[queue].depth.value


def unacked(cluster, queue="celery"):
    return cluster.lines[queue].unacked.value


def test_messages_start_in_the_order_of_their_arrival():
    cluster = played(a_scenario(at(0.0, 0.1, 0.2, 5.0)))

    assert waits(cluster) == pytest.approx([0.0, 0.9, 1.8, 0.0])


def test_two_slots_run_two_at_once():
    cluster = played(a_scenario(at(0.0, 0.0, 0.0), hosts=(a_host(slots=2),)))

    assert waits(cluster) == pytest.approx([0.0, 0.0, 1.0])


# Prefetch and acknowledgement


@pytest.mark.parametrize(("prefetch", "late", "held", "waiting"), [
    (4, False, 4, 5),  # one runs, acknowledged; four are reserved
    (4, True, 4, 6),  # the one that runs is among the four
    (1, False, 1, 8),
    (1, True, 1, 9),
    (0, False, 9, 0),  # no limit
])  # fmt: skip
def test_what_a_busy_host_reserves_is_unacked_and_not_in_the_queue(prefetch, late, held, waiting):
    scenario = a_scenario(at(*[0.0] * 10), hosts=(a_host(prefetch=prefetch),), tasks=(a_task(acks_late=late),))
    cluster = played(scenario, until_s=0.5)

    assert (unacked(cluster), depth(cluster)) == (held, waiting)


def test_without_prefetch_nothing_is_reserved():
    cluster = played(a_scenario(at(*[0.0] * 10), hosts=(a_host(slots=2, disable_prefetch=True),)), until_s=0.5)

    assert (unacked(cluster), depth(cluster)) == (0, 8)


def test_a_reserved_message_waits_for_its_host_although_another_one_is_idle():
    """Redis serves blocked workers in turn: the third message goes to the first host again, which is busy for long."""
    long_then_short = Samples((10.0, 1.0, 1.0), replay=True)
    prefetching = a_scenario(at(0.0, 0.1, 3.0), hosts=(a_host(count=2),), tasks=(a_task(run=long_then_short),))
    plain = a_scenario(
        at(0.0, 0.1, 3.0), hosts=(a_host(count=2, disable_prefetch=True),), tasks=(a_task(run=long_then_short),)
    )

    assert waits(played(prefetching)) == pytest.approx([0.0, 0.0, 7.0])
    assert waits(played(plain)) == pytest.approx([0.0, 0.0, 0.0])


def test_a_lower_priority_list_is_emptied_first_but_what_is_reserved_stays_reserved():
    tasks = (a_task(), a_task(name="urgent", priority=0), a_task(name="later", priority=9))
    sources = (
        at(*[0.0] * 2),
        at(*[0.1] * 3, name="l", task="later"),
        at(*[0.2] * 2, name="u", task="urgent"),
    )
    plain = played(a_scenario(*sources, hosts=(a_host(disable_prefetch=True),), tasks=tasks))
    prefetching = played(a_scenario(*sources, tasks=tasks))

    assert waits(plain, "urgent") == pytest.approx([1.8, 2.8])
    assert waits(plain, "later") == pytest.approx([3.9, 4.9, 5.9])
    assert waits(prefetching, "later") == pytest.approx([1.9, 2.9, 3.9])
    assert waits(prefetching, "urgent") == pytest.approx([4.8, 5.8])


def test_priorities_between_two_steps_share_a_list():
    tasks = (a_task(name="four", priority=4), a_task(name="five", priority=5))
    sources = (
        at(0.0, name="a", task="five"), at(0.1, 0.2, name="b", task="four"), at(0.15, name="c", task="five"),
    )  # fmt: skip
    cluster = played(a_scenario(*sources, hosts=(a_host(disable_prefetch=True),), tasks=tasks))

    assert len(cluster.lines["celery"].lists) == 1
    assert waits(cluster, "four") == pytest.approx([0.9, 2.8])
    assert waits(cluster, "five") == pytest.approx([0.0, 1.85])


@pytest.mark.parametrize(("order", "expected"), [("round_robin", ([0.0, 2.0, 4.0], [1.0, 3.0, 5.0])),
                                                 ("priority", ([0.0, 1.0, 2.0], [3.0, 4.0, 5.0]))])  # fmt: skip
def test_a_host_takes_from_its_queues_in_turn_or_in_their_order(order, expected):
    tasks = (a_task(name="a", queue="a"), a_task(name="b", queue="b"))
    host = a_host(queues=("a", "b"), queue_order=order, disable_prefetch=True)
    sources = (at(0.0, 0.0, 0.0, name="x", task="a"), at(0.0, 0.0, 0.0, name="y", task="b"))
    cluster = played(a_scenario(*sources, hosts=(host,), tasks=tasks))

    assert (waits(cluster, "a"), waits(cluster, "b")) == (pytest.approx(expected[0]), pytest.approx(expected[1]))


def test_the_worker_s_own_time_between_two_runs_and_before_an_idle_one_starts_counts():
    cluster = played(a_scenario(at(0.0, 0.0, 0.0, 10.0), hosts=(a_host(turnaround_s=0.2, latency_s=0.1),)))

    assert waits(cluster) == pytest.approx([0.1, 1.3, 2.5, 0.1])
    assert cluster.kinds["work"].runs.fresh == pytest.approx([1.0] * 4)


# Contention


@pytest.mark.parametrize(("cores", "cpu", "expected"), [(2, 1.0, 2.0), (4, 1.0, 1.0), (1, 1.0, 4.0), (2, 0.5, 1.0),
                                                        (1, 0.5, 1.5), (2, 0.0, 1.0)])  # fmt: skip
def test_four_runs_on_few_cores_slow_one_another_down_by_what_they_compute(cores, cpu, expected):
    cluster = played(a_scenario(at(*[0.0] * 4), hosts=(a_host(slots=4, cores=cores),), tasks=(a_task(cpu=cpu),)))

    assert cluster.kinds["work"].runs.fresh == pytest.approx([expected] * 4)


def test_a_run_that_is_joined_by_another_one_halfway_takes_half_as_long_again():
    """Alone until 0.5 s, half the core until the first one ends at 1.5 s, alone again until 2 s."""
    cluster = played(a_scenario(at(0.0, 0.5), hosts=(a_host(slots=2, cores=1),)))

    assert cluster.kinds["work"].runs.fresh == pytest.approx([1.5, 1.5])


def test_a_measured_curve_of_slowing_down_is_taken_as_it_is():
    host = a_host(slots=3, slowdown=((1.0, 1.0), (3.0, 2.0)))
    two = played(a_scenario(at(0.0, 0.0), hosts=(host,)))
    three = played(a_scenario(at(0.0, 0.0, 0.0), hosts=(host,)))

    assert two.kinds["work"].runs.fresh == pytest.approx([1.5] * 2)
    assert three.kinds["work"].runs.fresh == pytest.approx([2.0] * 3)


def test_hosts_do_not_slow_one_another_down():
    cluster = played(a_scenario(at(0.0, 0.0), hosts=(a_host(slots=2, cores=1, count=2, disable_prefetch=True),)))

    assert cluster.kinds["work"].runs.fresh == pytest.approx([1.0] * 2)


# Children, retries, expiry


def test_a_run_publishes_its_children_when_it_ends():
    tasks = (a_task(name="parent", children={"child": 3}, run=Constant(2.0)), a_task(name="child"))
    cluster = played(a_scenario(at(0.0, task="parent"), hosts=(a_host(slots=2),), tasks=tasks))

    assert waits(cluster, "child") == pytest.approx([0.0, 0.0, 1.0])
    assert cluster.kinds["child"].published == 3


def test_a_fraction_of_a_child_is_a_chance():
    tasks = (a_task(name="parent", children={"child": 1.5}, run=Constant(0.1)), a_task(name="child", run=Constant(0.1)))
    cluster = played(a_scenario(an_entry(1.0, task="parent"), tasks=tasks, lasts_s=2000.0))

    assert 1.45 < cluster.kinds["child"].published / cluster.kinds["parent"].done < 1.55


def test_a_run_that_is_retried_comes_again_after_its_delay_and_at_most_so_often():
    task = a_task(retry=Retry(share=1.0, delay_s=5.0, most=2))
    cluster = played(a_scenario(at(0.0), tasks=(task,)))
    kind = cluster.kinds["work"]

    assert (kind.published, kind.done, kind.retried) == (3, 3, 2)
    assert waits(cluster) == pytest.approx([0.0, 0.0, 0.0])


def test_a_message_expires_when_a_worker_gets_it_too_late_and_not_when_it_was_reserved_in_time():
    """Celery looks when the message is received: the second was reserved at once, so it runs; the last are dropped."""
    host = a_host(prefetch=1)
    cluster = played(a_scenario(at(*[0.0] * 5), hosts=(host,), tasks=(a_task(expires_s=1.5),)))
    kind = cluster.kinds["work"]

    assert (kind.done, kind.expired) == (3, 2)
    assert waits(cluster) == pytest.approx([0.0, 1.0, 2.0])


def test_the_expiry_of_an_entry_goes_before_that_of_its_task():
    scenario = a_scenario(an_entry(100.0, count=3, expires_s=0.5), hosts=(a_host(disable_prefetch=True),),
                          tasks=(a_task(expires_s=50.0),))  # fmt: skip

    assert played(scenario).kinds["work"].expired == 2


# Hosts that die


def test_with_early_acknowledgement_what_ran_is_lost_and_what_was_reserved_comes_back_after_the_timeout():
    scenario = a_scenario(at(*[0.0] * 4), hosts=(a_host(), a_host(name="other", queues=("else",))), events=(dies(0.5),),
                          broker=SOON)  # fmt: skip
    early, later = played(scenario, until_s=9.5), played(scenario, until_s=10.5)

    assert (early.account().lost, early.account().unacked, depth(early)) == (1, 3, 0)
    assert (later.account().lost, later.account().unacked, depth(later)) == (1, 0, 3)


def test_with_late_acknowledgement_what_ran_comes_back_too():
    scenario = a_scenario(
        at(*[0.0] * 4),
        hosts=(a_host(),),
        tasks=(a_task(acks_late=True),),
        events=(dies(0.5), returns(20.0)),
        broker=SOON,
    )
    cluster = played(scenario)

    assert (cluster.account().lost, cluster.account().done) == (0, 4)
    assert waits(cluster) == pytest.approx([0.0, 20.0, 21.0, 22.0, 23.0])


def test_nobody_puts_messages_back_while_no_worker_lives():
    scenario = a_scenario(at(*[0.0] * 4), events=(dies(0.5),), broker=SOON)
    cluster = played(scenario)

    assert (cluster.account().unacked, depth(cluster)) == (3, 0)


def test_a_host_that_is_back_takes_what_waits():
    cluster = played(a_scenario(at(1.0, 2.0), events=(dies(0.5), returns(8.0))))

    assert waits(cluster) == pytest.approx([7.0, 7.0])


def test_the_other_hosts_of_a_group_go_on():
    scenario = a_scenario(at(0.0, 1.5, 3.0), hosts=(a_host(count=2),), events=(dies(0.5, count=1),))

    assert played(scenario).kinds["work"].done + played(scenario).kinds["work"].lost == 3


def test_a_run_longer_than_the_visibility_timeout_with_late_acknowledgement_is_run_again_while_it_still_runs():
    """Nobody asks whether the worker still lives. The first one's acknowledgement goes for the second as well."""
    scenario = a_scenario(
        at(0.0),
        hosts=(a_host(slots=2),),
        tasks=(a_task(run=Constant(15.5), acks_late=True),),
        broker=SOON,
        lasts_s=40.0,
    )
    kind = played(scenario).kinds["work"]

    assert (kind.published, kind.duplicated, kind.done) == (1, 1, 2)


def test_what_is_reserved_for_longer_than_the_timeout_runs_twice_even_with_early_acknowledgement():
    scenario = a_scenario(at(0.0, 0.0), tasks=(a_task(run=Constant(15.5)),), broker=SOON, lasts_s=200.0)
    kind = played(scenario).kinds["work"]

    assert (kind.published, kind.duplicated, kind.done) == (2, 1, 3)
    assert outcome(scenario).messages.duplicated == 1


# Sources


def test_a_timer_fires_at_its_phase_and_then_at_every_interval():
    cluster = played(a_scenario(an_entry(10.0, phase_s=3.0), lasts_s=50.0))

    assert cluster.sources[0].fired == 5


def test_a_herd_fires_together():
    cluster = played(
        a_scenario(an_entry(60.0, count=7), hosts=(a_host(disable_prefetch=True),), lasts_s=50.0), until_s=0.0
    )

    assert depth(cluster) == 6


def test_a_jitter_delays_each_firing_by_less_than_it():
    source = played(a_scenario(an_entry(10.0, jitter_s=5.0), lasts_s=1000.0)).sources[0]

    assert source.fired == 100
    assert 0 <= next(source.times) - 1010.0 < 5.0


def test_rates_change_when_they_say_so():
    arrivals = visitors(None, rates=((0.0, 0.0), (1000.0, 5.0), (2000.0, 1.0)))
    scenario = a_scenario(arrivals, hosts=(a_host(slots=50),), lasts_s=3000.0)
    first, second, third = (played(scenario, until_s=at_s).sources[0].fired for at_s in (1000.0, 2000.0, 3000.0))

    assert first == 0
    assert 4600 < second < 5400
    assert 850 < third - second < 1150


# What is said of it


def test_a_queue_that_nobody_consumes_is_said_to_be_that_and_to_grow():
    answer = outcome(a_scenario(an_entry(1.0, task="stray"), tasks=(a_task(), a_task(name="stray", queue="stray"))))
    stray = next(queue for queue in answer.queues if queue.name == "stray")

    assert stray.state is State.STALLED
    assert answer.sentence == "nobody consumes stray: it grows by 1/s"


def test_a_queue_that_grows_is_said_never_to_clear_and_when_the_memory_is_full():
    broker = BrokerSettings(memory_limit_bytes=10_000_000, memory_used_bytes=1_000_000)
    answer = outcome(a_scenario(an_entry(0.5), lasts_s=1000.0, broker=broker))

    assert answer.verdict is State.GROWING
    assert answer.queues[0].growth_per_s.mean == pytest.approx(1.0, rel=0.02)
    assert answer.sentence.startswith("celery never clears: it grows by 0.99")
    assert "the memory is full in 2.2 hours" in answer.sentence
    assert answer.memory.full_in_s == pytest.approx((9_000_000 - 1_000_000) / 1000, rel=0.05)


def test_a_firing_that_fans_out_beyond_the_slots_grows_although_its_depth_swings():
    """Parents wait behind the children's backlog and publish late: the depth ends far below its peak, and still grows."""
    tasks = (
        a_task(name="parent", run=Constant(0.005), children={"child": 20}),
        a_task(name="child", run=Constant(0.06)),
    )
    answer = outcome(a_scenario(an_entry(1.0, task="parent"), tasks=tasks, lasts_s=3600.0, warmup_s=360.0))
    [queue] = answer.queues

    assert queue.end_depth < 0.5 * queue.most_depth
    assert queue.state is State.GROWING
    assert queue.growth_per_s.mean == pytest.approx(1.71, rel=0.05)  # r·(1 + 20·r) work a second fills the slot


def test_a_backlog_that_shrinks_is_draining_and_when_it_is_empty_is_said():
    answer = outcome(a_scenario(at(*[0.0] * 1000), an_entry(2.0), lasts_s=500.0))

    assert answer.verdict is State.DRAINING
    assert answer.queues[0].drain_s == pytest.approx(answer.queues[0].end_depth * 2, rel=0.05)


def test_a_queue_that_keeps_up_says_how_long_messages_wait():
    answer = outcome(a_scenario(visitors(0.5), lasts_s=3000.0))

    assert answer.verdict is State.OK
    assert answer.sentence.startswith("celery keeps up: ")


def test_what_never_happened_is_unknown_and_not_zero():
    answer = outcome(a_scenario(an_entry(1000.0, phase_s=500.0), lasts_s=100.0))

    assert not known(answer.tasks[0].wait.mean)
    assert not known(answer.entries[0].age_read_at_run_s.mean)
    assert known(answer.queues[0].depth.mean)
