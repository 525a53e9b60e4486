"""Whatever happens, no message is lost sight of: published + duplicated = done + everything else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.scenarios import a_scenario, outcome, played
from tidegate.facts.laws import Bimodal, Constant, Exponential, Lognormal, Pareto, Samples, Uniform
from tidegate.facts.overlap import Overlap, Payload, Scope
from tidegate.facts.scenario import (
    Arrivals,
    BrokerSettings,
    Entry,
    HostEvent,
    HostGroup,
    Retry,
    TaskLoad,
)
from tidegate.model.simulate.fluid.flow import account_of, moments
from tidegate.model.simulate.fluid.stream import stream_of

QUEUES = ("celery", "slow")
short = st.floats(0.01, 3.0)
laws = st.one_of(
    st.builds(Constant, short),
    st.builds(Exponential, short),
    st.builds(lambda low, more: Uniform(low, low + more), short, short),
    st.builds(Lognormal, short, st.floats(0.1, 2.0)),
    st.builds(Pareto, short, st.floats(1.2, 4.0)),
    st.builds(Bimodal, short, short, st.floats(0, 1)),
    st.builds(Samples, st.lists(short, min_size=1, max_size=5).map(tuple), st.booleans()),
)
some_queues = st.sampled_from([("celery",), ("slow",), ("celery", "slow"), ("slow", "celery")])
maybe = st.one_of(st.none(), st.floats(0.1, 30.0))


@st.composite
def hosts(draw, name):
    cores = draw(st.sampled_from([0.0, 0.0, 1.0, 2.0]))
    return HostGroup(
        name=name, count=draw(st.integers(1, 3)), slots=draw(st.integers(1, 4)), queues=draw(some_queues),
        prefetch=draw(st.integers(0, 4)), disable_prefetch=draw(st.booleans()), cores=cores,
        queue_order=draw(st.sampled_from(["round_robin", "priority"])), turnaround_s=draw(st.sampled_from([0.0, 0.01])),
        latency_s=draw(st.sampled_from([0.0, 0.02])),
    )  # fmt: skip


@st.composite
def tasks(draw, name, children=()):
    retry = st.builds(Retry, share=st.floats(0, 1), delay_s=st.floats(0.1, 20.0), most=st.integers(0, 3))
    return TaskLoad(
        name=name, queue=draw(st.sampled_from(QUEUES)), run=draw(laws), priority=draw(st.integers(0, 9)),
        children={child: draw(st.floats(0, 4)) for child in children}, acks_late=draw(st.booleans()),
        expires_s=draw(maybe), retry=draw(st.one_of(st.none(), retry)), cpu=draw(st.sampled_from([0.0, 0.5, 1.0])),
        overlap=draw(st.sampled_from(Overlap)), payload=draw(st.sampled_from(Payload)),
    )  # fmt: skip


@st.composite
def scenarios(draw):
    names = ("a", "b")
    entry = Entry(
        name="entry", task="parent", every_s=draw(st.floats(0.2, 5.0)), count=draw(st.integers(1, 3)),
        overlap=draw(st.sampled_from(Overlap)), payload=draw(st.sampled_from(Payload)), scope=draw(st.sampled_from(Scope)),
        expires_s=draw(maybe), priority=draw(st.one_of(st.none(), st.integers(0, 9))),
    )  # fmt: skip
    arrivals = Arrivals(name="visitors", task=draw(st.sampled_from(["parent", "child", "other"])),
                        rate_per_s=draw(st.floats(0.05, 5.0)))  # fmt: skip
    events = st.builds(
        HostEvent, at_s=st.floats(0, 60), kind=st.sampled_from(["kill", "return"]), host=st.sampled_from(names),
        count=st.one_of(st.none(), st.integers(1, 2)),
    )  # fmt: skip
    broker = BrokerSettings(visibility_timeout_s=draw(st.sampled_from([3.0, 20.0])), restore_every_s=2.0)
    return a_scenario(
        entry, arrivals, hosts=tuple(draw(hosts(name)) for name in names),
        tasks=(draw(tasks("parent", ("child", "other"))), draw(tasks("child", ("other",))), draw(tasks("other"))),
        events=tuple(draw(st.lists(events, max_size=4))), broker=broker, lasts_s=draw(st.floats(1.0, 80.0)),
    )  # fmt: skip


def left(account):
    return (
        account.done + account.waiting + account.unacked + account.running + account.deferred + account.lost
        + account.expired
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(scenarios(), st.integers(0, 5))
def test_every_message_is_somewhere(scenario, seed):
    cluster = played(scenario, seed)
    account = cluster.account()

    assert account.published + account.duplicated == left(account)
    for line in cluster.lines.values():
        assert line.depth.value == sum(map(len, line.lists)) >= 0
        assert line.bytes == 1000 * line.depth.value
        held = [message for _, message in cluster.unacked.values() if message.kind.line is line]
        assert line.unacked.value == len(held)
    for host in cluster.hosts:
        assert host.alive or not (host.running or host.reserved or host.blocked)
        assert len(host.running) + host.idle == (host.group.slots if host.alive else 0)
        assert not host.blocked or host.room > 0
    for pool in cluster.pools:
        assert pool.busy.value == sum(len(host.running) for host in pool.hosts)


@settings(max_examples=50, deadline=None)
@given(scenarios(), st.integers(0, 5))
def test_no_slot_is_idle_while_its_host_holds_messages_or_could_take_one(scenario, seed):
    cluster = played(scenario, seed)

    for host in cluster.hosts:
        if host.alive and host.idle:
            assert not host.reserved
        if host.alive and host.room > 0:
            assert all(line.depth.value == 0 for line in host.lines)


@settings(max_examples=50, deadline=None)
@given(scenarios(), st.integers(0, 5))
def test_the_marks_of_policies_count_what_is_there(scenario, seed):
    """When everything has come to rest no mark says that something is pending or running."""
    cluster = played(scenario, seed)
    marks = [mark for source in cluster.sources for mark in source.marks or ()]
    marks += [mark for kind in cluster.kinds.values() for mark in (kind.marks or {}).values()]
    account = cluster.account()

    assert all(mark.alive >= 0 and mark.waiting >= 0 for mark in marks)
    if account.waiting + account.unacked + account.running + account.deferred == 0:
        assert all(mark.alive == mark.waiting == 0 and mark.pending is None for mark in marks)


@settings(max_examples=50, deadline=None)
@given(scenarios())
def test_nothing_of_a_fluid_is_lost_on_the_way(scenario):
    stream = stream_of(scenario)
    events = sorted(scenario.events, key=lambda event: event.at_s)
    for until_s in moments(scenario):
        before_s = stream.now
        stream.step(until_s)
        for event in [event for event in events if before_s < event.at_s <= until_s]:
            stream.happens(event)
    nodes = stream.nodes
    later = sum(amount for _, _, _, amount, _ in stream.later)
    published = sum(node.published for node in nodes)
    entered = sum(node.waiting + node.started + node.expired + node.entering for node in nodes) + later

    assert entered == pytest.approx(published, abs=1e-6 * max(1.0, published))
    assert all(node.waiting >= -1e-6 and node.started >= -1e-6 for node in nodes)
    account = account_of(stream)
    assert account.published == left(account)


@settings(max_examples=20, deadline=None)
@given(scenarios(), st.integers(0, 5))
def test_what_is_said_adds_up(scenario, seed):
    answer = outcome(scenario, seed)

    assert sum(task.published for task in answer.tasks) == answer.messages.published
    assert sum(task.done for task in answer.tasks) == answer.messages.done
    assert sum(task.lost for task in answer.tasks) == answer.messages.lost
    assert sum(queue.end_depth for queue in answer.queues) == answer.messages.waiting
    for entry, source in zip(answer.entries, scenario.entries, strict=True):
        by_task = sum(task.skipped.get(rule, 0) for task in answer.tasks for rule in task.skipped)
        assert entry.published + sum(entry.skipped.values()) + by_task >= entry.fired * source.count
        assert entry.published + sum(entry.skipped.values()) <= entry.fired * source.count
