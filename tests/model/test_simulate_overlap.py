"""Overlap policies: what is published while an earlier one is pending or running."""

import pytest

from model.scenarios import a_host, a_scenario, a_task, an_entry, at, dies, outcome, played, returns, visitors
from tidegate.facts.diagnosis import State
from tidegate.facts.laws import Constant, Samples
from tidegate.facts.overlap import Overlap, Payload, Scope
from tidegate.facts.scenario import BrokerSettings, Retry

FAN_OUT = (a_task(name="parent", run=Constant(0.005), children={"child": 20}), a_task(name="child", run=Constant(0.06)))


def counts(scenario, until_s=None):
    """(fired, published, skipped) of the first source."""
    source = played(scenario, until_s=until_s).sources[0]
    return source.fired, source.published, sum(source.skipped.values())


def test_allow_all_publishes_every_firing():
    assert counts(a_scenario(an_entry(1.0), tasks=(a_task(run=Constant(2.5)),), lasts_s=9.5)) == (10, 10, 0)


def test_skip_publishes_none_while_one_is_pending_or_running():
    """Runs of 2.5 s at 0, 3, 6 and 9: the firings at 1 and 2, 4 and 5, 7 and 8 are skipped."""
    scenario = a_scenario(an_entry(1.0, overlap=Overlap.SKIP), tasks=(a_task(run=Constant(2.5)),), lasts_s=9.5)

    assert counts(scenario) == (10, 4, 6)


def test_buffer_one_lets_one_wait_behind_the_one_that_runs():
    """At 0 one runs, at 1 one waits, at 2 one is skipped; it starts at 2.5, so at 3 one waits again, …: never idle."""
    scenario = a_scenario(an_entry(1.0, overlap=Overlap.BUFFER_ONE), tasks=(a_task(run=Constant(2.5)),), lasts_s=1000.0)
    cluster = played(scenario)

    assert cluster.kinds["work"].done == 400
    assert cluster.account().waiting + cluster.account().unacked <= 1
    assert outcome(scenario).pools[0].busy_share.mean == pytest.approx(1.0)


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("overlap", [Overlap.SKIP, Overlap.BUFFER_ONE])
@pytest.mark.parametrize("every_s", [0.1, 0.5, 1.0, 1.2])
def test_with_a_policy_any_interval_is_safe_where_parents_wait_with_their_children(scope, overlap, every_s):
    entry = an_entry(every_s, task="parent", overlap=overlap, scope=scope)
    answer = outcome(a_scenario(entry, tasks=FAN_OUT, lasts_s=600.0))

    if (scope, overlap) == (Scope.MESSAGE, Overlap.SKIP):
        return  # asks only for the parent: see below
    assert answer.verdict is State.OK
    assert answer.queues[0].most_depth <= 2 * 21


def test_a_guard_that_asks_only_for_the_parent_lets_the_children_pile_up_in_another_queue():
    """What would not have helped in the story; the same policy over the whole firing does."""
    tasks = (FAN_OUT[0], a_task(name="child", run=Constant(0.06), queue="slow"))
    hosts = (a_host(), a_host(name="slow", queues=("slow",)))
    found = {}
    for scope in Scope:
        entry = an_entry(1.0, task="parent", overlap=Overlap.BUFFER_ONE, scope=scope)
        found[scope] = outcome(a_scenario(entry, hosts=hosts, tasks=tasks, lasts_s=600.0)).verdict

    assert found == {Scope.MESSAGE: State.GROWING, Scope.FIRING: State.OK}


def test_the_workers_clock_the_schedule_with_buffer_one_over_the_firing():
    """A firing is 1.205 s of work: with one waiting behind the one in progress the slot never idles."""
    entry = an_entry(1.0, task="parent", overlap=Overlap.BUFFER_ONE, scope=Scope.FIRING)
    answer = outcome(a_scenario(entry, tasks=FAN_OUT, lasts_s=2410.0))

    assert answer.pools[0].busy_share.mean == pytest.approx(1.0, abs=0.001)
    assert answer.tasks[0].done == pytest.approx(2410 / 1.205, abs=2)


def test_skip_over_the_firing_waits_for_its_last_child():
    """1.205 s of work: of firings every second each second one is published."""
    entry = an_entry(1.0, task="parent", overlap=Overlap.SKIP, scope=Scope.FIRING)

    assert counts(a_scenario(entry, tasks=FAN_OUT, lasts_s=99.5)) == (100, 50, 50)


@pytest.mark.parametrize(("payload", "captured"), [(Payload.KEEP, 1.0), (Payload.REPLACE, 9.0)])
def test_the_pending_one_keeps_its_payload_or_gets_the_newer_one_in_place(payload, captured):
    entry = an_entry(1.0, overlap=Overlap.BUFFER_ONE, payload=payload)
    cluster = played(a_scenario(entry, tasks=(a_task(run=Constant(9.5)),), lasts_s=9.2))
    [pending] = cluster.hosts[0].reserved

    assert (pending.published_at, pending.captured_at) == (1.0, captured)


def test_replacing_the_payload_makes_what_was_captured_at_publish_fresher_and_nothing_else():
    """Runs of 2.5 s, a firing every second, one pending all the time."""
    ages = {}
    for payload in Payload:
        entry = an_entry(1.0, overlap=Overlap.BUFFER_ONE, payload=payload)
        answer = outcome(a_scenario(entry, tasks=(a_task(run=Constant(2.5)),), lasts_s=1000.0, warmup_s=100.0))
        ages[payload] = answer.entries[0]

    kept, replaced = ages[Payload.KEEP], ages[Payload.REPLACE]
    assert replaced.age_read_at_publish_s.mean < kept.age_read_at_publish_s.mean - 0.5
    assert replaced.age_read_at_run_s.mean == pytest.approx(kept.age_read_at_run_s.mean)
    assert replaced.age_read_at_run_s.mean == pytest.approx(2.5 + 2.5 / 2, rel=0.01)


def test_a_policy_of_the_task_holds_for_all_that_publish_it_each_argument_apart():
    """Children at the same place of a firing have the same arguments: of each at most one waits."""
    tasks = (FAN_OUT[0], a_task(name="child", run=Constant(0.06), overlap=Overlap.BUFFER_ONE))
    answer = outcome(a_scenario(an_entry(0.5, task="parent"), tasks=tasks, lasts_s=600.0))

    assert answer.verdict is State.OK
    assert answer.queues[0].most_depth <= 21
    assert answer.tasks[1].skipped["buffer_one"] > 1000


def test_visitors_of_a_task_with_a_policy_are_skipped_too():
    cluster = played(a_scenario(at(0.0, 0.1, 0.2, 5.0), tasks=(a_task(overlap=Overlap.SKIP),)))

    assert cluster.kinds["work"].published == 2
    assert cluster.kinds["work"].skipped == {"skip": 2}


def test_the_mark_of_a_lost_run_goes_with_it():
    """With early acknowledgement the run is gone for good, so the next firing after the host is back is published."""
    entry = an_entry(1.0, overlap=Overlap.SKIP)
    scenario = a_scenario(entry, tasks=(a_task(run=Constant(0.7)),), events=(dies(2.5), returns(4.5)), lasts_s=8.5)
    cluster = played(scenario)

    assert cluster.account().lost == 1
    assert cluster.kinds["work"].done == 2 + 3  # at 0 and 1; that of 3 at 4.5, then 6 and 7; that of 8 still runs
    assert cluster.sources[0].skipped["skip"] == 2


def test_the_mark_of_a_run_that_comes_back_stays_until_it_is_done():
    entry = an_entry(1.0, overlap=Overlap.SKIP)
    soon = BrokerSettings(visibility_timeout_s=10.0, restore_every_s=1.0)
    scenario = a_scenario(
        entry,
        tasks=(a_task(run=Constant(0.7), acks_late=True),),
        events=(dies(2.5), returns(4.2)),
        broker=soon,
        lasts_s=12.9,
    )
    source = played(scenario).sources[0]

    assert source.published == 3 + 0
    assert source.skipped["skip"] == 10


def test_a_firing_that_waits_for_a_retry_is_still_in_progress():
    task = a_task(run=Constant(0.1), retry=Retry(share=1.0, delay_s=5.0, most=1))
    source = played(a_scenario(an_entry(1.0, overlap=Overlap.SKIP), tasks=(task,), lasts_s=11.5)).sources[0]

    assert (source.published, source.skipped["skip"]) == (2, 10)


def test_a_message_that_expires_unstarted_leaves_room_for_the_next():
    entry = an_entry(1.0, overlap=Overlap.BUFFER_ONE, expires_s=1.5)
    first_is_long = a_task(run=Samples((5.0, *[0.1] * 20), replay=True))
    cluster = played(a_scenario(entry, hosts=(a_host(disable_prefetch=True),), tasks=(first_is_long,), lasts_s=9.5))

    assert cluster.kinds["work"].expired == 1
    assert cluster.sources[0].published == 2 + 5


def test_policies_do_not_touch_what_has_none():
    entry = an_entry(1.0, overlap=Overlap.SKIP, task="guarded")
    tasks = (a_task(), a_task(name="guarded", run=Constant(3.0)))
    answer = outcome(a_scenario(entry, visitors(0.5), hosts=(a_host(slots=8),), tasks=tasks, lasts_s=500.0))

    assert answer.tasks[0].skipped == {}
    assert answer.tasks[0].published == answer.tasks[0].done + answer.messages.waiting + answer.messages.running - 1
