"""When a queue is empty, when the memory is full, and where it goes."""

import pytest
from builders import GB, HIDDEN, MB, a_flow, a_keyspace, a_look, a_queue, a_server, a_task, diagnosed, simulated_look
from simulated import Cluster, fan_out

from tidegate.facts.diagnosis import State
from tidegate.facts.seen import KeyFamily
from tidegate.facts.unknown import Unknown, known
from tidegate.model.forecast import drain_s

DRAINS = a_queue().with_flow(a_flow(1, 10, depth=1000)).with_census()
GROWS = a_queue().with_flow(a_flow(10, 5, depth=100)).with_census().weighing(1000.0)


def memory(*queues, keyspace=a_keyspace(), **server):  # noqa: B008  # frozen
    return diagnosed(a_look(*queues, server=a_server(**server), keyspace=keyspace)).memory


@pytest.mark.parametrize("state", [State.SURGE, State.DRAINING])
def test_a_queue_that_shrinks_is_empty_after_its_depth_by_its_rate(state):
    assert drain_s(900, -9.0, state, 10.0) == pytest.approx(100)


@pytest.mark.parametrize("growth_per_s", [-1.0, 0.0, 0.1])
def test_what_waits_in_a_healthy_queue_is_taken_after_its_depth_by_the_departures(growth_per_s):
    """Five messages are no backlog: whether more or fewer come meanwhile is chance."""
    assert drain_s(5, growth_per_s, State.OK, 10.0) == pytest.approx(0.5)


def test_an_empty_queue_is_empty_now():
    assert drain_s(0, HIDDEN, State.UNKNOWN, HIDDEN) == 0.0


@pytest.mark.parametrize("state", [State.GROWING, State.STALLED])
def test_a_queue_that_grows_or_stands_never_is(state):
    """Also where its depth fell within the window, as that of a fan-out does."""
    assert drain_s(900, 5.0, state, 10.0) is None
    assert drain_s(900, -5.0, state, 10.0) is None


@pytest.mark.parametrize("state", [State.SURGE, State.DRAINING, State.UNKNOWN])
def test_what_did_not_shrink_and_does_not_grow_has_no_known_end(state):
    assert isinstance(drain_s(5, 0.1, state, 10.0), Unknown)


def test_what_could_not_be_seen_has_no_known_end():
    assert drain_s(HIDDEN, -5.0, State.DRAINING, 10.0) == HIDDEN
    assert drain_s(5, HIDDEN, State.DRAINING, 10.0) == HIDDEN


def test_memory_is_full_after_what_is_left_by_the_growth():
    assert memory(GROWS).growth_bytes_per_s == pytest.approx(5000)
    assert memory(GROWS).full_in_s == pytest.approx((4 * GB - 10 * MB) / 5000)


def test_full_memory_is_full_now():
    assert memory(used_memory_bytes=4 * GB).full_in_s == 0.0


def test_memory_that_does_not_grow_is_never_full():
    assert memory().full_in_s is None
    assert memory(DRAINS).full_in_s is None


def test_a_queue_that_shrinks_makes_room_for_one_that_grows():
    both = memory(GROWS, a_queue("mail").with_flow(a_flow(1, 3, depth=500)).weighing(500.0))

    assert both.growth_bytes_per_s == pytest.approx(5 * 1000 - 2 * 500, rel=0.01)


def test_growth_that_could_not_be_weighed_is_unknown():
    assert isinstance(memory(GROWS.weighing(HIDDEN)).full_in_s, Unknown)


@pytest.mark.parametrize("since", [30.03, 47.1, 111.0, 240.0])
def test_a_fan_out_fills_the_memory_whatever_its_depth_does_within_the_window(since):
    """It demands 20 messages a second and 16.5 are done: 3.5 a second remain, 800 bytes each."""
    flows = Cluster().every(1.0, fan_out(20, 0.06), until=400).watch(since, 10)
    report = diagnosed(simulated_look(flows)).memory

    assert report.growth_bytes_per_s == pytest.approx(3.47 * 800, rel=0.3)
    assert known(report.full_in_s)
    assert report.full_in_s == pytest.approx((4 * GB - 10 * MB) / (3.47 * 800), rel=0.35)


def test_the_families_add_up_to_the_memory_in_use():
    keys = a_keyspace(KeyFamily(name="results", count=9, bytes=3 * MB), KeyFamily(name="replies", count=1, bytes=999))
    report = memory(DRAINS, keyspace=keys)

    assert known(report.by_family)
    assert sum(report.by_family.values()) == 10 * MB
    assert report.by_family["queues"] == 910 * 800
    assert report.by_family["results"] == 3 * MB
    assert report.by_family["server"] == 2 * MB


def test_estimates_that_exceed_the_memory_leave_nothing_unexplained():
    report = memory(keyspace=a_keyspace(KeyFamily(name="results", count=9, bytes=30 * MB)))

    assert known(report.by_family)
    assert report.by_family["unexplained"] == 0


def test_without_the_keys_or_the_total_there_are_no_families():
    assert memory(keyspace=HIDDEN).by_family == HIDDEN
    assert memory(used_memory_bytes=HIDDEN).by_family == HIDDEN


def test_a_queue_is_split_by_the_bytes_of_its_tasks_largest_first():
    rows = a_task("small", count=700, bytes=700_000), a_task("large", count=210, bytes=2_100_000)
    report = memory(a_queue().with_flow(a_flow(1, 10, depth=1000)).with_census(*rows))

    assert list(report.by_task) == ["large", "small"]
    assert sum(report.by_task.values()) == pytest.approx(910 * 800, abs=2)
    assert report.by_task["large"] == pytest.approx(910 * 800 * 0.75, rel=0.01)
