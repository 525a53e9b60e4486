"""How runs become slices: by the minute of their end, by task, queue and entry, with nothing counted twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import KIND, START_S, SetClock, a_firing, a_run, counted

from tidegate.facts.measured import OTHERS, Busy, Followed, Key, Tick
from tidegate.observe.probe.counting import Counting
from tidegate.observe.probe.recorder import NO_SLOT
from tidegate.observe.probe.run import FAILURE, LOST, Flag, Kind, Names
from tidegate.observe.probe.tally import rounded_busy

KEY = Key("proj.task", "celery")


def the_slice(counting: Counting):
    (slice_,) = counting.slices.values()
    return slice_


def the_runs(counting: Counting):
    (runs,) = the_slice(counting).runs.values()
    return runs


def test_a_run_is_counted_in_the_minute_and_the_tick_of_its_end():
    counting = counted(a_run(58.0, run_s=9.0))

    assert list(counting.slices) == [START_S + 60]
    assert counting.slices[START_S + 60].runs[KEY].ticks == {1: Tick(1, 9_000_000_000, 0)}


def test_runs_waits_outcomes_and_load_are_those_of_the_runs():
    runs = the_runs(
        counted(
            a_run(1, 0.1, 0.5),
            a_run(2, 0.3, 1.5, busy=2, busy_at_end=3, outcome=FAILURE),
            a_run(3, 0.2, None, busy=3, busy_at_end=2, cpu_us=0, outcome=LOST),
        )
    )

    assert (runs.run.count, runs.run.total_ns) == (3, 600_000_000)
    assert (runs.wait.count, runs.wait.total_ns) == (2, 2_000_000_000)
    assert runs.outcomes == {"success": 1, "failure": 1, "lost": 1}
    # Half of the slots at the start and half of those at the end, rounded up.
    assert runs.busy == {1: Busy(1, 100_000_000, 50_000_000), 3: Busy(2, 500_000_000, 50_000_000)}
    assert runs.ticks == {0: Tick(3, 600_000_000, 0)}


def test_a_run_that_is_found_twice_is_counted_once():
    """As what its killed process had finished, and as what the next one found unfinished."""
    counting = counted(a_run(1, serial=7), a_run(1, serial=7, outcome=LOST), a_run(2, serial=8))
    counting.add([a_run(3, serial=8), a_run(4, serial=1, slot=1)])

    assert the_runs(counting).run.count == 3


def test_runs_without_a_slot_are_all_counted():
    counting = counted(a_run(1, slot=NO_SLOT, serial=5), a_run(2, slot=NO_SLOT, serial=4))

    assert the_runs(counting).run.count == 2
    assert the_slice(counting).turnaround == {}


def test_firings_are_first_tries_of_their_own_root_in_the_tick_of_their_begin():
    runs = the_runs(counted(a_firing(1, run_s=20.0, slot=1), a_run(2), a_run(3, flags=Flag.REDELIVERED)))

    assert runs.firings == 1
    assert {number: tick.firings for number, tick in runs.ticks.items()} == {0: 1, 4: 0}


def test_a_firing_that_ends_in_the_next_minute_is_counted_where_it_began_while_that_is_open():
    clock = SetClock(START_S + 62.0)
    counting = counted(a_run(1), clock=clock)
    counting.add([a_firing(57, run_s=4.0)])

    assert counting.slices[START_S].runs[KEY].firings == 1
    assert counting.slices[START_S].runs[KEY].ticks[11].firings == 1
    assert counting.slices[START_S + 60].runs[KEY].firings == 0


def test_a_firing_that_began_long_ago_is_counted_at_the_start_of_the_minute_of_its_end():
    counting = counted(a_firing(1, run_s=3600.0), clock=SetClock(START_S + 3602.0))

    assert the_runs(counting).ticks == {0: Tick(1, 3_600_000_000_000, 1)}


def test_children_are_counted_by_task():
    runs = the_runs(counted(a_run(1, children={"a": 20}), a_run(2, children={"a": 1, "b": 2})))

    assert runs.children == {"a": 21, "b": 2}


def test_firings_of_an_entry_are_followed_by_their_root():
    kind = Kind(Names("proj.task", "", "celery", "every second"))
    counting = counted(a_run(1, kind=kind, root=5), a_run(2, kind=kind, root=5), a_run(3, kind=kind, root=9), a_run(4))

    assert the_slice(counting).followed == {"every second": {5: Followed(2, 200_000_000), 9: Followed(1, 100_000_000)}}


@given(st.lists(st.integers(0, 2**32 - 1), max_size=80))
def test_the_firings_that_are_followed_are_those_of_the_smallest_hashes(roots):
    kind = Kind(Names("proj.task", "", "celery", "entry"))
    counting = counted(*(a_run(number / 100, kind=kind, root=root) for number, root in enumerate(roots)))
    followed = counting.slices[START_S].followed["entry"] if roots else {}

    assert sorted(followed) == sorted(set(roots))[:32]
    assert all(followed[root].runs <= roots.count(root) for root in followed)


def test_the_turnaround_is_what_a_slot_stands_although_the_next_message_was_there():
    turnaround = the_slice(counted(a_run(1, 0.1), a_run(1.102, 0.1, 0.05), a_run(1.3, 0.1, 0.01))).turnaround

    assert list(turnaround) == ["celery"]
    # The third message was published when the second run had ended.
    assert (turnaround["celery"].count, turnaround["celery"].total_ns) == (1, 2_000_000)


@pytest.mark.parametrize(
    "second",
    [
        {"flags": Flag.FRESH},
        {"flags": Flag.REDELIVERED},
        {"slot": 1},
        {"stamp_s": 0.0},
        {"eta_s": START_S + 1.101},
    ],
    ids=["first of its process", "redelivered", "another slot", "no stamp", "its ETA came later"],
)
def test_there_is_no_turnaround_where_something_else_may_have_made_the_slot_wait(second):
    assert the_slice(counted(a_run(1, 0.1), a_run(1.102, 0.1, 0.05, **second))).turnaround == {}


def test_a_rate_limit_is_no_turnaround():
    assert the_slice(counted(a_run(1, 0.1), a_run(1.102, 0.1, 0.05), limited=True)).turnaround == {}


def test_messages_that_were_taken_and_not_run_are_outcomes_without_a_run():
    counting = counted()
    counting.skipped("expired", KIND.names)

    assert the_runs(counting).outcomes == {"expired": 1}
    assert the_runs(counting).run.count == 0


def test_looks_at_a_queue_are_counted_in_their_tick():
    counting = counted(clock=SetClock(START_S + 11.0))
    counting.depth("celery", 40)
    counting.depth("celery", 2)

    assert the_slice(counting).depths == {"celery": {2: (2, 42)}}


def test_a_flood_of_names_is_counted_as_others():
    counting = Counting(SetClock(), lambda _, key: key, lambda _: False, most_keys=20)
    counting.add([a_run(1, serial=n, kind=Kind(Names(f"t{n}", "", "q", ""))) for n in range(1, 100)])
    runs = the_slice(counting).runs

    assert len(runs) == 41
    assert runs[OTHERS].run.count == 99 - 40


def test_a_flood_of_children_is_counted_as_others():
    counting = counted(*(a_run(n / 100, children={f"child{n}": 1}) for n in range(150)))
    children = the_runs(counting).children

    assert len(children) == 101
    assert children[OTHERS.task] == 50


def test_busy_slots_are_exact_up_to_32_and_within_a_sixteenth_beyond():
    assert [rounded_busy(slots) for slots in range(33)] == list(range(33))
    assert all(abs(rounded_busy(slots) - slots) <= slots / 32 for slots in range(33, 5000))
    assert len({rounded_busy(slots) for slots in range(5000)}) < 160
