"""What passes through an empty queue is found again in the server's count of pushes, and nothing else is."""

from hypothesis import given
from hypothesis import strategies as st

from tidegate.facts.seen import Step
from tidegate.observe.attribution import attribute


def counted(arrivals: int, at: int = 0) -> Step:
    return Step(at, at + 1, depth=5, arrivals=arrivals, departures=0)


def empty(seen: int = 0, depth: int = 0, at: int = 0) -> Step:
    return Step(at, at + 1, depth=depth, arrivals=seen, departures=0, exact=False)


def test_what_an_empty_queue_let_through_is_filled_in_from_the_pushes():
    [step] = attribute({"q": [empty(seen=15, depth=15)]}, [20])["q"]
    assert (step.arrivals, step.departures, step.exact, step.waiting) == (20, 5, True, False)


def test_an_empty_queue_to_which_nobody_pushed_is_counted_at_nothing():
    [step] = attribute({"q": [empty()]}, [0])["q"]
    assert (step.arrivals, step.exact) == (0, True)


def test_counted_queues_take_their_share_of_the_pushes_first():
    filled = attribute({"busy": [counted(7)], "idle": [empty()]}, [10])
    assert filled["busy"][0].arrivals == 7
    assert (filled["idle"][0].arrivals, filled["idle"][0].exact) == (3, True)


def test_where_two_queues_could_have_let_them_through_it_stays_open():
    filled = attribute({"a": [empty()], "b": [empty()]}, [10])
    assert [rows[0].exact for rows in filled.values()] == [False, False]


def test_a_push_between_the_reads_of_lists_and_count_belongs_to_the_next_step():
    filled = attribute({"q": [counted(3), counted(4, at=1), empty(seen=2, depth=2, at=2)]}, [5, 2, 2])["q"]
    assert [step.arrivals for step in filled] == [3, 4, 2]
    assert filled[2].exact


def test_a_server_to_whose_lists_others_push_is_not_believed():
    steps = [*(counted(1, at) for at in range(50)), empty(at=50)]
    filled = attribute({"q": steps}, [20] * 51)["q"]
    assert not filled[-1].exact


def test_without_the_server_statistics_nothing_is_filled_in():
    assert attribute({"q": [empty(), empty(at=1)]}, [])["q"] == [empty(), empty(at=1)]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10), st.booleans()), min_size=1, max_size=40))
def test_filled_in_arrivals_are_the_truth_where_one_queue_alone_is_pushed_to(rows):
    """Each step: so many pushed, so many of them taken unseen, and whether messages waited so that all were seen."""
    truth = [pushed for pushed, _, _ in rows]
    steps = [
        counted(pushed, at) if waited else empty(seen=max(0, pushed - unseen), at=at)
        for at, (pushed, unseen, waited) in enumerate(rows)
    ]
    assert [step.arrivals for step in attribute({"q": steps}, truth)["q"]] == truth
