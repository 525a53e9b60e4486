"""The fluid mode against the event loop where both can go, against formulas, and alone where only it can."""

from dataclasses import replace

import pytest

from model.scenarios import a_host, a_scenario, a_task, an_entry, dies, fluid, outcome, returns, visitors
from tidegate.facts.diagnosis import State
from tidegate.facts.laws import Constant, Exponential
from tidegate.facts.overlap import Overlap, Scope
from tidegate.facts.scenario import BrokerSettings, Retry
from tidegate.facts.unknown import known
from tidegate.model.plan.waiting import erlang_c
from tidegate.model.simulate.fluid.flow import moments
from tidegate.model.simulate.fluid.sharing import Offer, share
from tidegate.model.simulate.fluid.stream import STEPS, stream_of
from tidegate.model.simulate.fluid.waits import scattered_wait_s, waits_probability

FAN_OUT = (a_task(name="parent", run=Constant(0.005), children={"child": 20}), a_task(name="child", run=Constant(0.06)))


def both(scenario):
    return outcome(scenario), fluid(scenario)


def queue(answer, name="celery"):
    return next(each for each in answer.queues if each.name == name)


def pool(answer, *queues):
    return next(each for each in answer.pools if set(each.queues) == set(queues))


def a_fleet(hosts, per_s, **changes):
    return a_scenario(visitors(per_s), hosts=(a_host(slots=8, count=hosts),), tasks=(a_task(run=Exponential(0.07)),),
                      **{"lasts_s": 3600.0, "mode": "fluid"} | changes)  # fmt: skip


def test_ten_thousand_hosts_and_a_million_tasks_a_second():
    answer = outcome(a_fleet(10_000, 1e6))

    assert answer.verdict is State.OK
    assert answer.messages.published == 3_600_000_000
    assert answer.messages.done == 3_600_000_000 - answer.messages.running
    assert pool(answer, "celery").busy_share.mean == pytest.approx(0.875)


def test_the_number_of_steps_depends_neither_on_hosts_nor_on_messages():
    small, large = a_fleet(1, 100), a_fleet(10_000, 1e6)

    assert len(list(moments(small))) == len(list(moments(large))) <= STEPS + 1
    assert len(stream_of(small).nodes) == len(stream_of(large).nodes) == 1


def test_a_fleet_that_loses_too_many_hosts_grows_by_what_it_can_no_longer_do():
    hosts = (a_host(slots=8, count=9000), a_host(name="other", slots=8, count=1000))
    scenario = a_scenario(
        visitors(1e6), hosts=hosts, tasks=(a_task(run=Exponential(0.075)),), events=(dies(1800.0, "other"),), lasts_s=7200.0,
        mode="fluid",
    )  # fmt: skip
    answer = outcome(scenario)

    assert answer.verdict is State.GROWING
    assert queue(answer).growth_per_s.mean == pytest.approx(1e6 - 72_000 / 0.075, rel=0.01)
    assert answer.tasks[0].lost == pytest.approx(75_000 / 10, rel=0.02)


def test_errors_and_quantiles_are_unknown_with_the_reason():
    answer = outcome(a_fleet(10, 100))

    assert "fluid" in answer.tasks[0].wait.error.why
    assert "fluid" in answer.tasks[0].wait.p99_s.why
    assert known(answer.tasks[0].wait.mean)


@pytest.mark.parametrize("every_s", [0.7, 1.0, 1.15])
def test_a_firing_that_fans_out_grows_as_fast_as_event_by_event(every_s):
    """The swings of first in, first out have no part in it: their mean is the fluid's."""
    scenario = a_scenario(an_entry(every_s, task="parent"), tasks=FAN_OUT, lasts_s=7200.0, warmup_s=720.0)
    events, means = both(scenario)

    assert events.verdict is means.verdict is State.GROWING
    assert queue(means).growth_per_s.mean == pytest.approx(queue(events).growth_per_s.mean, rel=0.1)
    assert queue(means).depth.mean == pytest.approx(queue(events).depth.mean, rel=0.15)
    assert means.tasks[1].wait.mean == pytest.approx(events.tasks[1].wait.mean, rel=0.15)
    assert means.messages.done == pytest.approx(events.messages.done, rel=0.01)


@pytest.mark.parametrize("every_s", [1.5, 2.5])
def test_a_firing_that_fits_is_said_to_and_waits_for_itself(every_s):
    events, means = both(a_scenario(an_entry(every_s, task="parent"), tasks=FAN_OUT, lasts_s=3600.0, warmup_s=360.0))

    assert events.verdict is means.verdict is State.OK
    assert pool(means, "celery").busy_share.mean == pytest.approx(pool(events, "celery").busy_share.mean, rel=0.01)
    assert means.tasks[1].wait.mean == pytest.approx(events.tasks[1].wait.mean, rel=0.1)
    assert means.entries[0].age_read_at_run_s.mean == pytest.approx(events.entries[0].age_read_at_run_s.mean, rel=0.05)
    assert means.entries[0].age_read_at_publish_s.mean == pytest.approx(
        events.entries[0].age_read_at_publish_s.mean, rel=0.1
    )


@pytest.mark.parametrize(("slots", "utilisation"), [(1, 0.5), (1, 0.8), (4, 0.8), (20, 0.9), (400, 0.97)])
def test_the_wait_by_chance_is_that_of_the_event_loop(slots, utilisation):
    scenario = a_scenario(visitors(slots * utilisation), hosts=(a_host(slots=slots),), tasks=(a_task(run=Exponential(1.0)),),
                          lasts_s=max(4000.0, 60_000.0 / slots), warmup_s=400.0)  # fmt: skip
    events, means = both(scenario)

    assert means.tasks[0].wait.mean == pytest.approx(events.tasks[0].wait.mean, abs=1.5 * events.tasks[0].wait.error)


@pytest.mark.parametrize("slots", [50, 200, 1000])
@pytest.mark.parametrize("utilisation", [0.8, 0.95, 0.99])
def test_the_chance_to_wait_with_many_slots_is_erlang_s(slots, utilisation):
    assert waits_probability(slots, slots * utilisation) == pytest.approx(
        erlang_c(slots, slots * utilisation), abs=0.025
    )


def test_near_the_edge_chance_makes_no_more_than_a_random_walk_of_that_time():
    assert scattered_wait_s(1, 0.9999, 1.0, 1.0, 1.0, 100.0) < 0.01 * scattered_wait_s(1, 0.9999, 1.0, 1.0, 1.0, 1e9)
    assert scattered_wait_s(1, 1.0, 1.0, 1.0, 1.0, 100.0) == 0.0


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("overlap", [Overlap.BUFFER_ONE, Overlap.SKIP])
@pytest.mark.parametrize("every_s", [0.3, 1.0, 1.5])
def test_what_an_overlap_policy_lets_pass_is_what_it_does_event_by_event(scope, overlap, every_s):
    if (scope, overlap) == (Scope.MESSAGE, Overlap.SKIP):
        return  # the parent's own run alone: nothing for means to show
    entry = an_entry(every_s, task="parent", overlap=overlap, scope=scope)
    events, means = both(a_scenario(entry, tasks=FAN_OUT, lasts_s=3600.0, warmup_s=360.0))

    assert events.verdict is means.verdict is State.OK
    assert means.entries[0].published == pytest.approx(events.entries[0].published, rel=0.03)
    assert sum(means.entries[0].skipped.values()) == pytest.approx(
        sum(events.entries[0].skipped.values()), rel=0.05, abs=20
    )
    assert queue(means).depth.mean < 4 * 21


def test_a_lost_host_makes_the_same_backlog_and_the_same_recovery():
    scenario = a_scenario(
        visitors(12.0), hosts=(a_host(slots=4, count=2),), tasks=(a_task(run=Exponential(0.5)),),
        events=(dies(1000.0, count=1), returns(1600.0, count=1)), lasts_s=3600.0,
        broker=BrokerSettings(visibility_timeout_s=300.0),
    )  # fmt: skip
    events, means = both(scenario)

    assert queue(means).most_depth == pytest.approx(600 * (12.0 - 8.0), rel=0.02)
    assert queue(means).most_depth == pytest.approx(queue(events).most_depth, rel=0.15)
    assert queue(means).depth.mean == pytest.approx(queue(events).depth.mean, rel=0.25)
    assert means.messages.lost == pytest.approx(3, abs=1)


def test_runs_that_share_cores_take_as_long_as_event_by_event():
    scenario = a_scenario(visitors(6.0), hosts=(a_host(slots=4, count=2, cores=2, disable_prefetch=True),),
                          tasks=(a_task(run=Exponential(0.5)),), lasts_s=6000.0)  # fmt: skip
    events, means = both(scenario)

    assert means.tasks[0].run.mean == pytest.approx(events.tasks[0].run.mean, rel=0.12)
    assert pool(means, "celery").busy_share.mean == pytest.approx(pool(events, "celery").busy_share.mean, rel=0.12)


def test_a_full_host_does_only_what_its_cores_can():
    scenario = a_scenario(visitors(6.0), hosts=(a_host(slots=4, cores=2),), tasks=(a_task(run=Exponential(0.5)),),
                          lasts_s=2000.0)  # fmt: skip
    events, means = both(scenario)

    assert queue(means).growth_per_s.mean == pytest.approx(2.0, rel=0.02)
    assert queue(events).growth_per_s.mean == pytest.approx(2.0, abs=0.3)


def test_urgent_messages_keep_up_while_the_others_grow():
    tasks = (a_task(name="urgent", priority=0, run=Constant(0.5)), a_task(name="later", priority=9, run=Constant(0.5)))
    sources = (visitors(1.2, name="u", task="urgent"), visitors(1.2, name="l", task="later"))
    scenario = a_scenario(*sources, hosts=(a_host(disable_prefetch=True),), tasks=tasks, lasts_s=2000.0)
    events, means = both(scenario)

    for answer in (events, means):
        urgent, later = answer.tasks
        assert urgent.done == pytest.approx(2400, rel=0.06)
        assert later.done == pytest.approx(2000 * 2 - 2400, rel=0.1)
    assert queue(means).growth_per_s.mean == pytest.approx(0.4, abs=0.01)


def test_queues_share_a_pool_and_what_one_does_not_need_the_other_gets():
    tasks = (a_task(name="a", queue="a", run=Constant(0.5)), a_task(name="b", queue="b", run=Constant(0.5)))
    sources = (visitors(0.4, name="a", task="a"), visitors(2.5, name="b", task="b"))
    scenario = a_scenario(
        *sources, hosts=(a_host(queues=("a", "b"), disable_prefetch=True),), tasks=tasks, lasts_s=2000.0
    )
    events, means = both(scenario)

    for answer in (events, means):
        assert queue(answer, "a").state is State.OK
        assert queue(answer, "b").state is State.GROWING
        assert queue(answer, "b").growth_per_s.mean == pytest.approx(2.5 - 1.6, rel=0.15)


def test_what_expires_does_not_wait_longer_than_that():
    scenario = a_scenario(
        visitors(2.0), tasks=(a_task(run=Constant(1.0), expires_s=30.0),), lasts_s=3000.0, warmup_s=300.0
    )
    events, means = both(scenario)

    assert means.verdict is State.OK
    assert means.messages.expired == pytest.approx(events.messages.expired, rel=0.05)
    assert means.tasks[0].wait.mean == pytest.approx(events.tasks[0].wait.mean, rel=0.2)


def test_retries_come_again_and_load_the_workers():
    task = a_task(run=Constant(0.2), retry=Retry(share=0.5, delay_s=60.0, most=2))
    events, means = both(a_scenario(visitors(2.0), tasks=(task,), lasts_s=6000.0, warmup_s=600.0))

    assert means.tasks[0].retried == pytest.approx(events.tasks[0].retried, rel=0.06)
    assert pool(means, "celery").busy_share.mean == pytest.approx(0.2 * 2.0 * 1.75, rel=0.01)
    assert pool(events, "celery").busy_share.mean == pytest.approx(0.2 * 2.0 * 1.75, rel=0.05)


def test_a_queue_that_nobody_consumes_grows_by_all_that_comes():
    answer = fluid(a_scenario(visitors(3.0), hosts=(a_host(queues=("else",)),), lasts_s=1000.0))

    assert queue(answer).state is State.STALLED
    assert queue(answer).growth_per_s.mean == pytest.approx(3.0)
    assert answer.sentence == "nobody consumes celery: it grows by 3/s"


def test_a_herd_is_worked_off_until_the_next_one():
    scenario = a_scenario(an_entry(600.0, count=1200), tasks=(a_task(run=Constant(0.25)),), lasts_s=6000.0)
    events, means = both(scenario)

    assert queue(means).depth.mean == pytest.approx(queue(events).depth.mean, rel=0.1)
    assert means.verdict is State.OK


def test_offers_that_one_queue_does_not_want_go_to_the_others():
    wanted, each = {"a": 1.0, "b": 10.0}, {"a": 1.0, "b": 1.0}
    offers = [Offer(("a", "b"), 6.0), Offer(("b",), 2.0)]

    assert share(offers, wanted, each) == pytest.approx({"a": 1.0, "b": 7.0})
    assert sum(offer.left_s for offer in offers) == pytest.approx(0.0)


def test_a_pool_takes_as_many_messages_of_each_of_its_queues():
    done = share([Offer(("short", "long"), 11.0)], {"short": 100.0, "long": 100.0}, {"short": 0.1, "long": 1.0})

    assert done == pytest.approx({"short": 1.0, "long": 10.0})


def test_a_pool_in_order_gives_its_first_queue_all_it_wants():
    done = share([Offer(("b", "a"), 5.0, in_order=True)], {"a": 4.0, "b": 3.0}, {"a": 1.0, "b": 1.0})

    assert done == pytest.approx({"a": 2.0, "b": 3.0})


def test_the_mode_of_a_scenario_says_which_of_the_two_it_is():
    scenario = a_scenario(visitors(0.5))

    assert outcome(scenario).mode == "events"
    assert outcome(replace(scenario, run=replace(scenario.run, mode="fluid"))).mode == "fluid"


def test_a_task_of_which_a_firing_brings_next_to_none_changes_nothing():
    entry = an_entry(task="parent", overlap=Overlap.BUFFER_ONE, scope=Scope.FIRING)

    def messages(children):
        parent = a_task(name="parent", run=Constant(0.5), children=children)
        return fluid(a_scenario(entry, tasks=(parent, a_task(name="child", run=Constant(0.5))), lasts_s=100.0)).messages

    assert messages({"child": 1e-300}) == messages({})
