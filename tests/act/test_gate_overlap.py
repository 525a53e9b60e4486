"""What may enter beside a message that is in some state: every state a message can be in, every policy."""

from collections.abc import Callable

import pytest
from overlap_lua import Place, Told

MOMENT_MS = 600


@pytest.fixture
def place(redis_client):
    place = Place(redis_client)
    place.lives("w1")
    return place


def nothing(place: Place, m: Told) -> None:
    """No message of that key was ever published."""


def waiting(place: Place, m: Told) -> None:
    place.publish(m)


def waiting_behind_others(place: Place, m: Told) -> None:
    place.publish(Told(key=""))
    place.publish(m)
    place.publish(Told(key=""))


def popped_by_stock(place: Place, m: Told) -> None:
    place.publish(m)
    place.pop()


def popped_by_stock_and_never_registered(place: Place, m: Told) -> None:
    popped_by_stock(place, m)
    _looked_at_and_later(place, m)


def taken_by_stock(place: Place, m: Told) -> None:
    place.publish(m)
    place.register(place.pop())


def taken_by_stock_longer_ago_than_the_visibility_timeout(place: Place, m: Told) -> None:
    taken_by_stock(place, m)
    place.later(3_700_000)


def acknowledged_by_stock(place: Place, m: Told) -> None:
    taken_by_stock(place, m)
    place.acknowledge_as_stock(m)


def acknowledged_by_stock_a_moment_ago(place: Place, m: Told) -> None:
    acknowledged_by_stock(place, m)
    _looked_at_and_later(place, m)


def held(place: Place, m: Told) -> None:
    place.publish(m)
    place.take("w1/1")


def fetched(place: Place, m: Told) -> None:
    place.publish(m)
    place.fetch("w1/1")


def held_for_a_day(place: Place, m: Told) -> None:
    held(place, m)
    place.later(86_400_000)


def held_by_a_dead_worker(place: Place, m: Told) -> None:
    held(place, m)
    place.dies("w1")


def held_in_a_session_that_ended(place: Place, m: Told) -> None:
    held(place, m)
    place.lives("w1", sessions=("2",), as_of=place.now_ms() + 1)


def held_in_a_session_that_ended_while_its_run_goes_on(place: Place, m: Told) -> None:
    held(place, m)
    place.lives("w1", sessions=("2",), running=(m.tag,), as_of=place.now_ms() + 1)


def held_by_a_worker_that_spoke_before(place: Place, m: Told) -> None:
    place.lives("w1", sessions=(), as_of=place.now_ms() - 1)
    held(place, m)


def held_by_us_and_acknowledged_by_stock(place: Place, m: Told) -> None:
    held(place, m)
    place.acknowledge_as_stock(m)
    _looked_at_and_later(place, m)


def acknowledged(place: Place, m: Told) -> None:
    held(place, m)
    place.release(m)


def running_after_an_early_acknowledgement(place: Place, m: Told) -> None:
    held(place, m)
    place.release(m, "runs")


def running_and_named(place: Place, m: Told) -> None:
    running_after_an_early_acknowledgement(place, m)
    place.lives("w1", running=(m.tag,), as_of=place.now_ms() + 1)


def running_and_not_named_any_more(place: Place, m: Told) -> None:
    running_after_an_early_acknowledgement(place, m)
    place.lives("w1", as_of=place.now_ms() + 1)


def running_at_a_dead_worker(place: Place, m: Told) -> None:
    running_after_an_early_acknowledgement(place, m)
    place.dies("w1")


def ended(place: Place, m: Told) -> None:
    running_after_an_early_acknowledgement(place, m)
    place.tell("ended", m)


def ended_before_its_acknowledgement_arrived(place: Place, m: Told) -> None:
    held(place, m)
    place.tell("ended", m)
    place.release(m, "runs")


def started_with_late_acknowledgement(place: Place, m: Told) -> None:
    held(place, m)
    place.tell("started", m)


def queue_deleted(place: Place, m: Told) -> None:
    place.publish(m)
    place.client.delete(place.queue)


def queue_deleted_a_moment_ago(place: Place, m: Told) -> None:
    queue_deleted(place, m)
    _looked_at_and_later(place, m)


def queue_deleted_and_full_again(place: Place, m: Told) -> None:
    queue_deleted(place, m)
    for _ in range(3):
        place.publish(Told(key=""))
    _looked_at_and_later(place, m)


def removed_from_among_others(place: Place, m: Told) -> None:
    waiting_behind_others(place, m)
    place.client.lrem(place.queue, 1, m.element)
    _looked_at_and_later(place, m)


def database_flushed(place: Place, m: Told) -> None:
    place.publish(m)
    place.client.flushdb()


def back_from_a_worker_that_ended(place: Place, m: Told) -> None:
    held(place, m)
    place.restore(m)
    place.dies("w1")


def requeued(place: Place, m: Told) -> None:
    held(place, m)
    place.restore(m, "newest")


def back_by_the_hand_of_stock(place: Place, m: Told) -> None:
    held(place, m)
    place.dies("w1")
    place.restore_as_stock(m)
    place.publish(Told(key=""))


def back_and_taken_again(place: Place, m: Told) -> None:
    back_from_a_worker_that_ended(place, m)
    place.lives("w2")
    place.take("w2/1")


def back_and_done(place: Place, m: Told) -> None:
    back_and_taken_again(place, m)
    place.release(m, who="w2/1")


def marks_deleted_while_it_was_waiting_and_then_taken(place: Place, m: Told) -> None:
    place.publish(m)
    place.client.delete(place.key("marks"), place.key("bodies"))
    place.take("w1/1")


def _looked_at_and_later(place: Place, m: Told) -> None:
    place.publish(m.again())
    place.later(MOMENT_MS)


PENDING = [
    waiting,
    waiting_behind_others,
    popped_by_stock,
    taken_by_stock,
    held,
    fetched,
    held_for_a_day,
    held_in_a_session_that_ended_while_its_run_goes_on,
    held_by_a_worker_that_spoke_before,
    queue_deleted,
    acknowledged_by_stock,
    back_from_a_worker_that_ended,
    requeued,
    back_by_the_hand_of_stock,
    back_and_taken_again,
    marks_deleted_while_it_was_waiting_and_then_taken,
]
RUNNING = [running_after_an_early_acknowledgement, running_and_named, started_with_late_acknowledgement]
GONE = [
    nothing,
    popped_by_stock_and_never_registered,
    taken_by_stock_longer_ago_than_the_visibility_timeout,
    acknowledged_by_stock_a_moment_ago,
    held_by_a_dead_worker,
    held_in_a_session_that_ended,
    held_by_us_and_acknowledged_by_stock,
    acknowledged,
    running_and_not_named_any_more,
    running_at_a_dead_worker,
    ended,
    ended_before_its_acknowledgement_arrived,
    queue_deleted_a_moment_ago,
    queue_deleted_and_full_again,
    removed_from_among_others,
    database_flushed,
    back_and_done,
]
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


#: Nowhere at the moment, and nobody knows whether for good.
UNSURE = [popped_by_stock, queue_deleted, acknowledged_by_stock]
FORGOTTEN = [state for state in GONE if state is not database_flushed]
SURE = [state for state in PENDING if state not in UNSURE]


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
    from overlap_lua import FORGET

    m = Told()
    place.publish(m)
    FORGET.run(place.client, [place.queue], [""])

    assert place.mark() is None
    assert place.admits(m.again())
