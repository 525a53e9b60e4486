"""When a new firing may start beside those that are open, and how a firing is counted that fans out."""

import time
from functools import partial

import pytest
from overlap_lua import FORGET, Place, Told, child, root


@pytest.fixture
def place(redis_client):
    place = Place(redis_client)
    place.lives("w1")
    return place


def run(place: Place, m: Told, *children: Told, queue: str = "") -> None:
    """One run from the list to its end, with early acknowledgement; it publishes these."""
    taken = place.take(queue=queue)
    assert taken.id == m.id
    place.release(taken, "runs")
    for one in children:
        place.publish(one)
    place.tell("ended", taken)


def in_progress(place: Place, r: Told, children: int = 2) -> list[Told]:
    """A firing whose root has run, and whose children wait."""
    assert place.publish(r, queue="roots") == ["admitted"]
    made = [child(r) for _ in range(children)]
    run(place, r, *made, queue="roots")
    return made


@pytest.mark.parametrize("policy", ["buffer_one", "skip"])
def test_a_firing_whose_root_waits_or_is_held_keeps_the_next_one_out(place, policy):
    first = root(overlap=policy)
    place.publish(first)
    assert place.publish(root(overlap=policy)) == ["overlap_skipped", first.id]
    place.take()

    assert place.publish(root(overlap=policy)) == ["overlap_skipped", first.id]


def test_with_buffer_one_a_second_one_may_wait_beside_the_first_and_no_third(place):
    first, second = root(), root()
    in_progress(place, first)
    assert place.admits(second)
    assert place.publish(root()) == ["overlap_skipped", second.id]


def test_with_buffer_one_two_in_progress_keep_a_third_out_until_one_is_done(place):
    first, second, third = root(), root(), root()
    children = in_progress(place, first)
    place.publish(second)
    for one in children[:1]:
        run(place, one)
    assert place.publish(third) == ["overlap_skipped", second.id]
    run(place, children[1])
    assert place.publish(third) == ["overlap_skipped", second.id], "the second is pending still"
    run(place, second, child(second))

    assert place.open() == {second.id}
    assert place.admits(third)
    assert place.publish(root()) == ["overlap_skipped", third.id]


def test_with_skip_the_next_one_enters_when_the_last_child_has_ended_and_not_before(place):
    first = root(overlap="skip")
    children = in_progress(place, first)
    again = partial(root, overlap="skip")
    run(place, children[0])
    assert place.publish(again()) == ["overlap_skipped", first.id]
    last = place.take()
    assert place.publish(again()) == ["overlap_skipped", first.id]
    place.release(last, "runs")
    assert place.publish(again()) == ["overlap_skipped", first.id]
    place.tell("ended", last)

    assert place.admits(again())


@pytest.mark.parametrize("policy", ["buffer_one", "skip"])
def test_a_firing_is_open_while_its_root_runs_and_has_published_nothing_yet(place, policy):
    first = root(overlap=policy)
    place.publish(first)
    taken = place.take()
    place.release(taken, "runs")

    assert place.open() == {first.id}
    assert place.admits(root(overlap=policy)) == (policy == "buffer_one")


def test_children_of_children_keep_the_firing_open_and_nothing_of_it_is_left_at_the_end(place):
    first = root()
    (one,) = in_progress(place, first, children=1)
    grandchild = child(first)
    run(place, one, grandchild)
    assert place.open() == {first.id}
    run(place, grandchild)

    assert place.open() == set()
    assert set(place.client.scan_iter()) == {place.key("worker:w1").encode()}


def test_with_late_acknowledgement_the_start_of_the_root_makes_room_for_one_that_waits(place):
    first, second = root(), root()
    place.publish(first)
    place.take()
    place.tell("started", first)

    assert place.admits(second)
    place.release(first)
    assert place.open() == {second.id}


def test_a_child_with_an_overlap_of_its_own_counts_in_its_firing_too(place):
    first = root(overlap="skip")
    place.publish(first)
    own = child(first, key="own", overlap="buffer_one")
    run(place, first, own)
    assert place.publish(own.again()) == ["overlap_skipped", own.id]
    assert place.publish(root(overlap="skip")) == ["overlap_skipped", first.id]
    run(place, own)

    assert place.open() == set()
    assert place.mark("own") is None


def test_children_are_never_refused(place):
    first = root(overlap="skip")
    in_progress(place, first)

    assert all(place.admits(child(first)) for _ in range(5))


def test_a_retry_of_the_root_keeps_its_firing_open(place):
    first = root(overlap="skip")
    place.publish(first)
    run(place, first, first.again(id=first.id, retries=1))

    assert place.open() == {first.id}
    assert place.publish(root(overlap="skip")) == ["overlap_skipped", first.id]


def gone(place: Place, r: Told) -> None:
    place.client.delete(place.queue)


def gone_and_others_came(place: Place, r: Told) -> None:
    place.client.delete(place.queue)
    place.publish(Told(key=""))


def gone_with_a_stock_worker(place: Place, r: Told) -> None:
    while m := place.pop():
        place.register(m)
        place.acknowledge_as_stock(m)


def gone_with_a_dead_worker(place: Place, r: Told) -> None:
    while place.waiting():
        place.take()
    place.dies("w1")


def gone_in_a_session_that_ended(place: Place, r: Told) -> None:
    while place.waiting():
        place.take()
    place.lives("w1", sessions=("2",), as_of=place.now_ms() + 1)


def gone_in_runs_that_were_lost(place: Place, r: Told) -> None:
    while place.waiting():
        place.release(place.take(), "runs")
    place.lives("w1", as_of=place.now_ms() + 1)


GONE = [
    gone,
    gone_and_others_came,
    gone_with_a_stock_worker,
    gone_with_a_dead_worker,
    gone_in_a_session_that_ended,
    gone_in_runs_that_were_lost,
]


@pytest.mark.parametrize("how", GONE, ids=lambda value: value.__name__)
@pytest.mark.parametrize("policy", ["buffer_one", "skip"])
def test_a_firing_of_which_nothing_is_left_does_not_count_at_the_second_try(place, policy, how):
    for _ in range(2 if policy == "buffer_one" else 1):
        in_progress(place, root(overlap=policy))
    how(place, root())
    place.publish(root(overlap=policy, entry="e", id="probe", firing="probe"))
    place.client.hdel(place.key("marks"), "e")
    place.later(600)

    assert place.admits(root(overlap=policy))


@pytest.mark.parametrize("how", GONE, ids=lambda value: value.__name__)
def test_sweeping_closes_a_firing_of_which_nothing_is_left(place, how):
    in_progress(place, root())
    how(place, root())
    place.sweep()
    place.later(600)
    place.sweep()

    assert place.open() == set()
    assert list(place.client.scan_iter(place.key("firing:*"))) == []


@pytest.mark.parametrize("end", ["oldest", "newest"])
def test_a_child_that_comes_back_keeps_the_firing_open_until_it_is_done(place, end):
    first = root(overlap="skip")
    (one,) = in_progress(place, first, children=1)
    place.take()
    place.dies("w1")
    assert place.restore(one, end) == ["restored"]
    place.lives("w2")
    assert place.publish(root(overlap="skip")) == ["overlap_skipped", first.id]
    place.release(place.take("w2/1"), who="w2/1")

    assert place.open() == set()


def test_a_root_that_comes_back_while_a_newer_one_waits_is_dropped_and_its_firing_closed(place):
    first, second = root(), root()
    place.publish(first)
    place.take()
    place.dies("w1")
    assert place.admits(second)

    assert place.restore(first) == ["superseded", second.id]
    assert place.open() == {second.id}


@pytest.mark.parametrize("how", GONE, ids=lambda value: value.__name__)
def test_a_root_that_comes_back_is_not_dropped_for_a_firing_that_may_be_gone(place, how):
    first, second = root(overlap="skip"), root(overlap="skip")
    assert place.publish(first, queue="roots") == ["admitted"]
    place.take("dead/1", queue="roots")
    in_progress(place, second)
    how(place, second)

    assert place.restore(first) == ["restored"]


def test_a_newer_root_takes_the_place_of_one_that_waits(place):
    first = root(payload="replace")
    place.publish(first)
    second = root(payload="replace", args="bmV3")
    assert place.publish(second) == ["replaced", first.id]
    (waits,) = place.waiting()

    assert (waits.id, waits.firing, waits.args) == (first.id, first.id, "bmV3")
    assert place.open() == {first.id}


def test_children_in_several_queues_are_all_counted(place):
    first = root(overlap="skip")
    place.publish(first)
    there = child(first)
    run(place, first, child(first))
    place.publish(there, queue="another")
    place.client.delete(place.queue)
    place.later(600)
    place.publish(root(overlap="skip"))
    place.later(600)
    assert place.publish(root(overlap="skip")) == ["overlap_skipped", first.id]
    place.client.delete("another")
    place.publish(root(overlap="skip"))
    place.later(600)

    assert place.admits(root(overlap="skip"))


def test_dropping_the_newest_child_to_make_room_closes_its_firing(place):
    first = root()
    in_progress(place, first, children=1)
    FORGET.run(place.client, [place.queue], [""])

    assert place.open() == set()


def test_a_firing_of_three_thousand_children_takes_no_more_memory_than_one_of_ten(place):
    sizes = []
    for children in (10, 3000):
        first = root(entry=f"e{children}")
        in_progress(place, first, children)
        sizes.append(place.client.memory_usage(place.key(f"firing:{first.id}")))
        place.client.delete(place.queue)

    assert sizes[1] <= sizes[0] + 64
    assert sizes[1] < 2000


@pytest.mark.quiet
def test_three_thousand_children_in_a_dead_workers_hands_are_put_down_in_steps_of_some_milliseconds(place):
    first = root(overlap="skip")
    in_progress(place, first, 1)
    place.take("dead/1")
    pipe = place.client.pipeline(transaction=False)
    for number in range(3000):
        pipe.hset(place.key(f"firing:{first.id}"), f"t:{number}", f"held dead/1 {number} 1")
        pipe.zadd(place.taken[0], {str(number): number})
    pipe.execute()
    worst_s, tries = 0.0, 0
    while place.open():
        before = time.perf_counter()
        place.sweep()
        worst_s, tries = max(worst_s, time.perf_counter() - before), tries + 1

    assert 1 < tries <= 3
    assert worst_s < 0.1
