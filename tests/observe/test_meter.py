"""The meter's arithmetic against a list that counts the truth, under pushes, pops, restores and deletions."""

from collections.abc import Callable, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from list_model import ListModel, acts, fresh, put_back

from tidegate.facts.seen import Step
from tidegate.observe.meter import MOST_READ, QUIET_READ, ListMeter, Reading

Acts = Sequence[tuple[str, int]]
Truth = tuple[int, int, int]
ENDS = st.integers(1, 12)


def look(meter: ListMeter, model: ListModel, ends: int, search: int) -> Step | None:
    """One reading as the flow meter makes it: the server is asked for the marker where it is not among those read."""
    now = model.read(0.0, ends)
    if meter.misses(now):
        now = model.read(0.0, ends, meter.marker(), search)
    return meter.feed(now)


def follow(model: ListModel, rounds: Sequence[Acts], ends: int, search: int) -> list[tuple[Step, Truth]]:
    """Every step of the meter beside what really happened in it: (pushed, left, restored)."""
    meter, seen, before = ListMeter(), [], model.counted
    look(meter, model, ends, search)
    for happened in rounds:
        model.do(happened)
        step = look(meter, model, ends, search)
        assert step is not None
        pushed, left, restored = (now - then for now, then in zip(model.counted, before, strict=True))
        seen.append((step, (pushed, left, restored)))
        before = model.counted
    return seen


@settings(max_examples=1500, deadline=None)
@given(start=st.integers(0, 40), rounds=st.lists(acts(), max_size=8), ends=ENDS, search=st.integers(0, 60))
def test_an_exact_step_is_the_truth_and_any_other_a_lower_bound(
    start: int, rounds: list[Acts], ends: int, search: int
) -> None:
    model = ListModel()
    model.push(start)
    for step, (pushed, left, restored) in follow(model, rounds, ends, search):
        if step.exact:
            assert step.arrivals == pushed
            assert step.departures - step.restores == left - restored
        assert 0 <= step.arrivals <= pushed
        assert 0 <= step.departures <= left
        assert 0 <= step.restores <= restored


@settings(max_examples=1000, deadline=None)
@given(
    start=st.integers(0, 12),
    rounds=st.lists(acts(4), max_size=8),
    ends=ENDS,
    search=st.integers(0, 60),
    kinds=st.integers(1, 3),
)
def test_elements_that_equal_one_another_are_never_called_exact(
    start: int, rounds: list[Acts], ends: int, search: int, kinds: int
) -> None:
    numbers = iter(range(10_000))
    model = ListModel(make=lambda: b'{"odd": %d}' % (next(numbers) % kinds))
    model.push(start)
    for step, (pushed, left, restored) in follow(model, rounds, ends, search):
        assert not step.exact
        assert 0 <= step.arrivals <= pushed
        assert 0 <= step.departures <= left
        assert 0 <= step.restores <= restored


@settings(max_examples=300, deadline=None)
@given(start=st.integers(1, 40), rounds=st.lists(acts(), max_size=8), ends=ENDS)
def test_while_the_newest_message_waits_every_step_is_exact(start: int, rounds: list[Acts], ends: int) -> None:
    model = ListModel()
    model.push(start)
    meter = ListMeter()
    look(meter, model, ends, 10_000)
    for happened in rounds:
        mark = meter.marker()
        # A restored message may be the newest one; then nothing vouches for it.
        vouched = mark is not None and b"redelivered" not in mark
        survives = vouched and outlives(mark, model, happened)
        step = look(meter, model, ends, 10_000)
        assert step is not None
        assert step.exact == survives


def outlives(mark: bytes | None, model: ListModel, happened: Acts) -> bool:
    model.do(happened)
    return mark in model.elements


@settings(max_examples=300, deadline=None)
@given(start=st.integers(20, 60), rounds=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=5))
def test_with_both_ends_in_sight_the_messages_that_came_and_left_are_named(
    start: int, rounds: list[tuple[int, int]]
) -> None:
    model = ListModel()
    model.push(start)
    meter = ListMeter()
    look(meter, model, QUIET_READ, 0)
    for pushes, pops in rounds:
        model.do([("push", pushes), ("pop", pops)])
        look(meter, model, QUIET_READ, 0)
        assert meter.arrived == model.elements[:pushes]
        assert list(reversed(meter.departed)) == model.taken[len(model.taken) - pops :]


def step_between(before: list[bytes], now: list[bytes]) -> Step:
    meter = ListMeter()
    meter.feed(Reading(0.0, len(before), before, before))
    step = meter.feed(Reading(1.0, len(now), now, now))
    assert step is not None
    return step


def test_a_lost_worker_s_messages_are_counted_as_put_back() -> None:
    a, b, c, d = (fresh() for _ in range(4))
    step = step_between([a, b], [c, a, b, put_back(d), put_back(fresh())])
    assert (step.arrivals, step.departures, step.restores, step.exact) == (1, 0, 2, True)


def test_a_message_put_back_twice_is_no_mark_since_it_returns_with_the_same_bytes() -> None:
    restored, other = put_back(fresh()), put_back(fresh())
    assert not step_between([restored], [fresh(), other, restored]).exact


def test_a_requeued_message_at_the_head_does_not_cost_the_exactness() -> None:
    requeued, a, b = put_back(fresh()), fresh(), fresh()
    step = step_between([requeued, a], [b, requeued, a])
    assert (step.arrivals, step.departures, step.exact) == (1, 0, True)


def test_a_list_that_was_refilled_from_nothing_only_gives_bounds() -> None:
    step = step_between([fresh(), fresh()], [fresh()])
    assert (step.arrivals, step.departures, step.exact) == (1, 2, False)


def test_a_kept_rest_of_a_cleaned_up_list_is_not_taken_for_arrivals() -> None:
    a, b, c = fresh(), fresh(), fresh()
    step = step_between([a, b, c], [fresh(), b, c])
    assert (step.arrivals, step.departures, step.exact) == (1, 1, False)


@settings(max_examples=500, deadline=None)
@given(start=st.integers(0, 20), rounds=st.lists(acts(), max_size=8))
def test_of_a_list_in_full_sight_every_step_accounts_for_the_change_of_depth(start: int, rounds: list[Acts]) -> None:
    model = ListModel()
    model.push(start)
    depth = start
    for step, _ in follow(model, rounds, 1000, 0):
        assert step.arrivals + step.restores - step.departures == step.depth - depth
        depth = step.depth


def test_a_message_put_back_beside_another_is_counted_as_put_back_though_nothing_marks_the_step() -> None:
    restored = put_back(fresh())
    step = step_between([restored], [restored, put_back(fresh())])
    assert (step.arrivals, step.departures, step.restores, step.exact) == (0, 0, 1, False)


def test_where_only_the_depth_is_read_the_change_is_a_bound() -> None:
    meter = ListMeter()
    meter.feed(Reading(0.0, 10, [], []))
    grown, shrunk = meter.feed(Reading(1.0, 14, [], [])), meter.feed(Reading(2.0, 13, [], []))
    assert grown is not None
    assert shrunk is not None
    assert (grown.arrivals, grown.departures, grown.exact) == (4, 0, False)
    assert (shrunk.arrivals, shrunk.departures, shrunk.exact) == (0, 1, False)


def wants_after(make: Callable[[], bytes], arrivals: int) -> int:
    model, meter = ListModel(make=make), ListMeter(most_bytes=1 << 20)
    model.push(1)
    look(meter, model, MOST_READ, 0)
    model.push(arrivals)
    look(meter, model, MOST_READ, 0)
    return meter.wants()


def test_a_busy_list_is_read_further_but_never_without_bound() -> None:
    assert wants_after(fresh, 0) == QUIET_READ
    assert QUIET_READ < wants_after(fresh, 100) < MOST_READ
    assert wants_after(fresh, 390) == MOST_READ


def test_large_messages_are_read_in_small_numbers() -> None:
    assert wants_after(lambda: fresh() + b"x" * 200_000, 3) == 5
    assert wants_after(lambda: fresh() + b"x" * 2_000_000, 3) == 1
