"""Every state that a message can be in: how it gets there, step by step, on a real server."""

from overlap_lua import Place, Told

MOMENT_MS = 600


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
#: Nowhere at the moment, and nobody knows whether for good.
UNSURE = [popped_by_stock, queue_deleted, acknowledged_by_stock]
FORGOTTEN = [state for state in GONE if state is not database_flushed]
SURE = [state for state in PENDING if state not in UNSURE]
