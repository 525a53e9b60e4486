"""What may enter beside a message that is in some state: every state a message can be in, every policy."""

from collections.abc import Callable

import pytest
from overlap_lua import FORGET, Place, Told
from overlap_states import (
    FORGOTTEN,
    GONE,
    MOMENT_MS,
    PENDING,
    RUNNING,
    SURE,
    UNSURE,
    back_by_the_hand_of_stock,
    back_from_a_worker_that_ended,
    held,
    held_by_a_dead_worker,
    requeued,
    waiting,
    waiting_behind_others,
)


@pytest.fixture
def place(redis_client):
    place = Place(redis_client)
    place.lives("w1")
    return place


CASES = [(state, policy) for state in (*PENDING, *RUNNING, *GONE) for policy in ("buffer_one", "skip")]


@pytest.mark.parametrize(("state", "policy"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_a_message_enters_where_none_of_its_key_is_pending_or_for_skip_running(place, state, policy):
    m = Told(overlap=policy)
    state(place, m)
    blocked = state in PENDING or (state in RUNNING and policy == "skip")

    assert place.publish(m.again()) == (["overlap_skipped", m.id] if blocked else ["admitted"])


@pytest.mark.parametrize("state", [*PENDING, *RUNNING, *GONE], ids=lambda value: value.__name__)
def test_allow_all_and_another_key_always_enter(place, state):
    m = Told()
    state(place, m)

    assert place.admits(m.again(overlap="allow_all"))
    assert place.admits(m.again(key="another"))


@pytest.mark.parametrize("state", [*PENDING, *RUNNING, *GONE], ids=lambda value: value.__name__)
def test_a_retry_of_the_same_task_always_enters_and_takes_the_mark_with_it(place, state):
    m = Told(overlap="skip")
    state(place, m)
    retry = m.again(id=m.id, retries=1)

    assert place.admits(retry)
    assert place.mark()["tag"] == retry.tag
    assert place.publish(m.again()) == ["overlap_skipped", m.id]


@pytest.mark.parametrize("state", SURE, ids=lambda value: value.__name__)
def test_what_may_not_be_refused_enters_and_leaves_the_mark_to_the_run_that_is_pending(place, state):
    m = Told()
    state(place, m)

    assert place.admits(m.again(exempt="workflow"))
    assert place.admits(m.again(retries=2))
    assert place.mark()["id"] == m.id


@pytest.mark.parametrize("state", GONE, ids=lambda value: value.__name__)
def test_sweeping_clears_what_nothing_is_left_of_although_nobody_publishes(place, state):
    m = Told(overlap="skip")
    state(place, m)
    place.sweep()
    place.later(MOMENT_MS)
    place.sweep()

    assert place.mark() is None
    assert place.client.hlen(place.key("bodies")) == 0


@pytest.mark.parametrize("state", [*PENDING, *RUNNING], ids=lambda value: value.__name__)
def test_sweeping_leaves_what_is_pending_or_running(place, state):
    m = Told(overlap="skip")
    state(place, m)
    place.sweep()

    assert place.publish(m.again()) == ["overlap_skipped", m.id]


REPLACEABLE = [waiting, waiting_behind_others, back_from_a_worker_that_ended, requeued, back_by_the_hand_of_stock]


@pytest.mark.parametrize("state", PENDING, ids=lambda value: value.__name__)
def test_a_newer_payload_takes_the_place_of_one_that_waits_in_the_list_and_of_no_other(place, state):
    m = Told(payload="replace")
    state(place, m)
    before = place.waiting()
    newer = m.again(args="bmV3")
    answer = place.publish(newer)

    if state in REPLACEABLE:
        assert answer == ["replaced", m.id]
        assert place.waiting() == [newer.again(id=m.id, tag=newer.tag) if one.id == m.id else one for one in before]
    else:
        assert answer == ["overlap_skipped", m.id]
        assert place.waiting() == before


@pytest.mark.parametrize("prefix", ["", "shop:"])
def test_one_that_was_replaced_is_followed_like_any_other(redis_client, prefix):
    place = Place(redis_client, prefix)
    place.lives("w1")
    m = Told(payload="replace")
    place.publish(m)
    for number in range(3):
        assert place.publish(m.again(args=f"v{number}")) == ["replaced", m.id]
    taken = place.take()

    assert (taken.id, taken.args, place.waiting()) == (m.id, "v2", [])
    assert place.publish(m.again()) == ["overlap_skipped", m.id]
    place.release(taken)
    assert place.admits(m.again())
    assert all(key.startswith(prefix.encode()) for key in redis_client.scan_iter())


def test_an_id_that_is_a_short_word_is_replaced_where_it_is_an_id_and_nowhere_else(place):
    m = Told(payload="replace", id="task")
    place.publish(m)

    assert place.publish(m.again(id="id", args="id")) == ["replaced", "task"]
    assert place.waiting()[0].id == "task"
    assert place.waiting()[0].args == "id"


EVENTS: list[Callable[[Place, Told], object]] = [
    lambda place, m: place.release(m),
    lambda place, m: place.release(m, "runs"),
    lambda place, m: place.tell("ended", m),
    lambda place, m: place.tell("started", m),
    lambda place, m: place.hold(m),
]


@pytest.mark.parametrize("event", range(len(EVENTS)))
@pytest.mark.parametrize("state", [*PENDING, *RUNNING], ids=lambda value: value.__name__)
def test_whatever_happens_to_an_older_message_of_the_key_the_mark_stays_with_the_newer(place, state, event):
    older = Told(overlap="skip")
    held_by_a_dead_worker(place, older)
    place.lives("w1")
    newer = older.again()
    place.client.hdel(place.key("marks"), "k")
    state(place, newer)
    EVENTS[event](place, older)

    assert place.publish(older.again()) == ["overlap_skipped", newer.id]


@pytest.mark.parametrize("state", [*SURE, *RUNNING], ids=lambda value: value.__name__)
def test_one_that_comes_back_while_a_newer_one_is_pending_or_running_is_dropped(place, state):
    older = Told(overlap="skip")
    held_by_a_dead_worker(place, older)
    place.client.hdel(place.key("marks"), "k")
    newer = older.again()
    state(place, newer)
    place.lives("w1") if state not in (back_from_a_worker_that_ended, back_by_the_hand_of_stock) else None
    waits = place.waiting()

    assert place.restore(older) == ["superseded", newer.id]
    assert place.waiting() == waits
    assert not place.client.hexists(place.taken[1], older.tag)
    assert place.client.hgetall(place.key("counts")) == {b"superseded|celery": b"1"}
    assert [fields[b"what"] for _, fields in place.client.xrange("tidegate:journal")] == [b"superseded"]


@pytest.mark.parametrize("state", [*UNSURE, *FORGOTTEN], ids=lambda value: value.__name__)
def test_one_that_comes_back_while_none_is_surely_pending_takes_its_mark_again(place, state):
    older = Told(overlap="skip")
    held_by_a_dead_worker(place, older)
    place.client.hdel(place.key("marks"), "k")
    place.lives("w1")
    state(place, older.again())

    assert place.restore(older) == ["restored"]
    assert place.waiting()[0].id == older.id
    assert place.publish(older.again()) == ["overlap_skipped", older.id]


def test_a_retry_that_comes_back_is_never_dropped(place):
    retry = Told(retries=1)
    held_by_a_dead_worker(place, retry)
    newer = retry.again(retries=0)
    assert place.admits(newer)

    assert place.restore(retry) == ["restored"]
    assert place.mark()["id"] == newer.id


def test_what_somebody_else_has_restored_is_not_restored_again(place):
    m = Told()
    held(place, m)
    place.restore(m)

    assert place.restore(m) == ["gone"]
    assert len(place.waiting()) == 1


def test_a_message_that_is_dropped_to_make_room_takes_its_mark_along(place):
    m = Told()
    place.publish(m)
    FORGET.run(place.client, [place.queue], [""])

    assert place.mark() is None
    assert place.admits(m.again())
