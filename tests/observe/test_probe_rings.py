"""Shared memory between a worker and its pool: nothing is lost when a process is killed, and nothing is waited for."""

import multiprocessing
import os
import signal
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.observe.probe.recorder import QueueRecorder, Recorder, RingRecorder, no_clock
from tidegate.observe.probe.rings import _CELL, CELLS, Rings, SlotWriter
from tidegate.observe.probe.run import FAILURE, LONGEST_NAME, LOST, MOST_CHILDREN, OTHER_CHILDREN, SUCCESS, Flag, Names

SAID = {
    "id": "a",
    "root_id": "a",
    "enqueued_at": 1_700_000_000.5,
    "delivery_info": {"exchange": "", "routing_key": "celery"},
    "origin": "gen1@web-1",
    "periodic_task_name": "every second",
}
fork = multiprocessing.get_context("fork")


def run(recorder: Recorder, outcome: int = SUCCESS, task: str = "proj.task", **said: object) -> None:
    recorder.end(recorder.begin(task, {**SAID, **said}), outcome)


@pytest.fixture(params=["ring", "queue"])
def recording(request):
    """A recorder, and how to take what it recorded."""
    if request.param == "queue":
        recorder = QueueRecorder(time.thread_time_ns, lambda: 0)
        return SimpleNamespace(recorder=recorder, drain=recorder.drain)
    rings = Rings.shared(4)
    return SimpleNamespace(recorder=RingRecorder(rings, 0), drain=rings.drain)


def test_a_run_arrives_as_it_was_recorded(recording):
    began_us = time.monotonic_ns() // 1000
    run(recording.recorder, FAILURE)
    (seen,) = recording.drain()

    assert seen.kind.names == Names("proj.task", "", "celery", "every second")
    assert (seen.machine, seen.outcome, seen.busy, seen.busy_at_end) == ("web-1", FAILURE, 1, 1)
    assert (seen.stamp_s, seen.eta_s, seen.children) == (1_700_000_000.5, 0.0, None)
    assert began_us <= seen.start_us <= seen.end_us <= time.monotonic_ns() // 1000
    assert seen.flags & Flag.FIRST
    assert recording.drain() == []


def test_what_a_run_publishes_are_its_children_and_go_back_to_its_entry(recording):
    recorder = recording.recorder
    begun = recorder.begin("proj.parent", SAID)
    entries = {recorder.published(name) for name in ["proj.child", "proj.child", "x" * 9999, None]}
    recorder.end(begun, SUCCESS)
    run(recorder)
    first, second = recording.drain()

    assert entries == {"every second"}
    assert first.children == {"proj.child": 2, "x" * LONGEST_NAME: 1, "": 1}
    assert second.children is None
    assert recorder.published("proj.child") == ""


def test_a_run_of_many_sorts_of_children_counts_most_of_them_by_name(recording):
    begun = recording.recorder.begin("proj.parent", SAID)
    for number in range(500):
        recording.recorder.published(f"{'x' * 200}{number}"[-LONGEST_NAME:])
    recording.recorder.end(begun, SUCCESS)
    (seen,) = recording.drain()

    assert len(seen.children) == MOST_CHILDREN + 1
    assert seen.children[OTHER_CHILDREN] == 500 - MOST_CHILDREN


@pytest.mark.parametrize(
    "said",
    [
        {"periodic_task_name": ["no", "name"]},
        {"origin": {"a": 1}},
        {"delivery_info": {"exchange": {}, "routing_key": b"x"}},
        {"periodic_task_name": "\ud800 alone", "origin": "\udfff@\ud800"},
        {"root_id": 5, "id": [], "retries": "x"},
        {"root_id": "\ud800"},
        {"shadow": None, "origin": "o" * 100_000},
    ],
    ids=["a list", "an object", "bytes", "half a letter", "odd ids", "an odd root", "a long origin"],
)
def test_odd_headers_are_recorded_without_what_is_odd(recording, said):
    run(recording.recorder, task="t" * 10_240, **said)
    (seen,) = recording.drain()

    assert seen.kind.names.task == "t" * LONGEST_NAME
    assert not recording.recorder.broken
    for name in (*seen.kind.names, seen.machine):
        assert len(name.encode()) <= LONGEST_NAME * 4


def test_a_recorder_that_breaks_says_so_once_and_the_task_goes_on(recording, caplog):
    for _ in range(3):
        recording.recorder.end(recording.recorder.begin("proj.task", None), SUCCESS)

    assert recording.recorder.broken
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "is off in this process (AttributeError" in caplog.text


def test_a_soft_time_limit_that_strikes_in_the_recorder_does_not_break_it(recording, monkeypatch):
    class SoftTimeLimitExceeded(Exception):
        pass

    def strike(*_):
        raise SoftTimeLimitExceeded

    with monkeypatch.context() as patch:
        patch.setattr("tidegate.observe.probe.recorder.said_of", strike)
        run(recording.recorder)
    run(recording.recorder)

    assert len(recording.drain()) == 1


def test_a_ring_goes_round_many_times_without_losing_a_run():
    rings = Rings.shared(1)
    recorder = RingRecorder(rings, 0)
    serials = []
    for turn in range(9):
        for number in range(CELLS // 3 + turn):
            begun = recorder.begin(f"proj.task{number % 40}", SAID)
            for child in range(number % 5):
                recorder.published(f"child{child}")
            recorder.end(begun, SUCCESS)
            if number % 1000 == 999:
                serials += [seen.serial for seen in rings.drain()]
        serials += [seen.serial for seen in rings.drain()]

    assert serials == list(range(1, len(serials) + 1))
    assert len(serials) == sum(CELLS // 3 + turn for turn in range(9))
    assert (rings.dropped(), rings.unreadable()) == (0, 0)


def test_a_full_ring_drops_runs_and_counts_them_and_keeps_the_earlier_ones():
    rings = Rings.shared(1)
    recorder = RingRecorder(rings, 0)
    for _ in range(CELLS + 500):
        run(recorder)
    seen = rings.drain()

    assert [one.serial for one in seen] == list(range(1, len(seen) + 1))
    assert len(seen) + rings.dropped() == CELLS + 500
    run(recorder)
    assert [one.serial for one in rings.drain()] == [CELLS + 501]


def test_children_for_which_there_is_no_room_cost_only_themselves():
    rings = Rings.shared(1)
    recorder = RingRecorder(rings, 0)
    for _ in range(CELLS - 6):
        run(recorder)
    begun = recorder.begin("proj.task", SAID)
    for number in range(40):
        recorder.published(f"{number}{'x' * 100}")
    recorder.end(begun, SUCCESS)
    seen = rings.drain()

    assert (len(seen), seen[-1].children, rings.dropped()) == (CELLS - 5, None, 0)


def test_more_kinds_of_runs_than_are_remembered_are_all_told_apart():
    rings = Rings.shared(1)
    recorder = RingRecorder(rings, 0)
    names = []
    for number in range(5000):
        run(recorder, task=f"proj.task{number}", origin=f"gen@web-{number}")
        if number % 500 == 499:
            names += [(seen.kind.names.task, seen.machine) for seen in rings.drain()]

    assert names == [(f"proj.task{number}", f"web-{number}") for number in range(5000)]


def test_a_killed_process_leaves_what_it_had_finished_and_what_it_was_running():
    rings = Rings.shared(2)

    def work(ready) -> None:
        recorder = RingRecorder(rings, 1)
        for _ in range(3):
            run(recorder)
        recorder.begin("proj.endless", SAID)
        ready.set()
        time.sleep(60)

    ready = fork.Event()
    process = fork.Process(target=work, args=(ready,))
    process.start()
    assert ready.wait(30)
    assert rings.busy() == 1
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    finished = rings.drain()
    ((pid, running),) = rings.running()

    assert [seen.outcome for seen in finished] == [SUCCESS] * 3
    assert (pid, running.kind.names.task, running.slot) == (process.pid, "proj.endless", 1)
    # The process that takes its place writes it down as lost.
    RingRecorder(rings, 1)
    (lost,) = rings.drain()
    assert (lost.kind.names.task, lost.outcome, lost.serial) == ("proj.endless", LOST, 4)
    assert lost.end_us >= lost.start_us
    assert rings.busy() == 0


def test_a_process_that_was_killed_right_behind_a_run_leaves_none_that_is_lost():
    """The run was in the ring already, its slot still marked as busy; behind it lies what was written a round before."""
    rings = Rings.shared(1)
    recorder = RingRecorder(rings, 0)
    for _ in range(CELLS):
        run(recorder, origin=f"gen@{'x' * 100}")
        rings.drain()
    rings.memory[64] = 1
    assert list(rings.running()) == []
    run(RingRecorder(rings, 0))

    assert [(seen.outcome, seen.serial) for seen in rings.drain()] == [(SUCCESS, CELLS + 1)]
    assert rings.unreadable() == 0


@pytest.mark.parametrize("after_s", [0.0002, 0.001, 0.002, 0.005, 0.01, 0.03])
def test_a_process_that_is_killed_at_any_moment_leaves_a_ring_that_can_be_read(after_s):
    rings = Rings.shared(1)

    def work(ready) -> None:
        recorder = RingRecorder(rings, 0)
        ready.set()
        while True:
            begun = recorder.begin("proj.task", SAID)
            recorder.published("child")
            recorder.end(begun, SUCCESS)

    serials = []
    for _ in range(5):
        ready = fork.Event()
        process = fork.Process(target=work, args=(ready,))
        process.start()
        assert ready.wait(30)
        time.sleep(after_s)
        os.kill(process.pid, signal.SIGKILL)
        process.join(30)
        seen = rings.drain()
        serials += [one.serial for one in seen]
        assert all(one.kind.names.task == "proj.task" and one.children in (None, {"child": 1}) for one in seen)
    SlotWriter(rings, 0)
    serials += [one.serial for one in rings.drain()]

    assert len(set(serials)) == len(serials)
    assert sorted(serials) == serials
    # What is missing was dropped by a full ring, or was being written when the process was killed.
    assert serials[-1] - len(serials) <= rings.dropped() + 5
    assert rings.unreadable() == 0


def test_a_fresh_process_marks_its_first_run():
    rings = Rings.shared(1)
    for _ in range(2):
        recorder = RingRecorder(rings, 0)
        run(recorder)
        run(recorder)

    assert [bool(seen.flags & Flag.FRESH) for seen in rings.drain()] == [True, False, True, False]


def test_a_process_that_inherits_nothing_finds_the_rings_in_a_file(tmp_path):
    rings = Rings.in_file(tmp_path / "rings", 3)
    other = Rings.in_file(tmp_path / "rings")
    run(RingRecorder(other, 2))
    rings.anchor_s = 12.5

    assert [seen.slot for seen in rings.drain()] == [2]
    assert other.anchor_s == 12.5
    assert other.slots == 3


def test_all_processes_of_a_worker_have_the_brokers_clock_once_it_is_known():
    rings = Rings.shared(1)
    before, of_broker = rings.clock()
    assert not of_broker
    assert before == pytest.approx(time.time(), abs=1)
    rings.anchor_s = 1e9
    after, of_broker = rings.clock()
    assert of_broker
    assert after == pytest.approx(1e9 + time.monotonic(), abs=1)


@given(st.lists(st.binary(min_size=64, max_size=64), max_size=20))
def test_whatever_stands_in_the_memory_reading_it_never_raises(cells):
    rings = Rings.shared(1)
    run(RingRecorder(rings, 0))
    rings.drain()
    written = rings.words[4096 // 8]
    for number, cell in enumerate(cells):
        place = 4096 * 2 + (written + number) % CELLS * _CELL.size
        rings.memory[place : place + 64] = cell
    rings.words[4096 // 8] = written + len(cells)
    rings.drain()
    list(rings.running())

    assert rings.drain() == []


def test_a_greenlet_has_no_cpu_time_and_a_queue_that_nobody_empties_is_bounded(monkeypatch):
    monkeypatch.setattr("tidegate.observe.probe.recorder.MOST_WAITING", 10)
    recorder = QueueRecorder(no_clock, lambda: 0)
    for _ in range(15):
        run(recorder)

    assert recorder.dropped == 5
    assert {seen.cpu_us for seen in recorder.drain()} == {0}
    assert recorder.running == {}
