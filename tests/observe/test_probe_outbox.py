"""Slices on their way to Redis: over and over while they grow, kept and merged while nobody takes them, never twice."""

from collections import Counter

import pytest
from runs import START_S, a_run

from tidegate.broker import ledger
from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.broker.merging import Turn
from tidegate.facts.measured import Key, Runs, Slice
from tidegate.observe.measured import read_measured
from tidegate.observe.probe.outbox import Outbox

KEEP_S = 90_000
MOST_BYTES = 1_000_000
#: A day that lies ahead, or the server would let the records of the past go at once.
AHEAD_S = START_S + 10 * 365 * 86_400 // 21_600 * 21_600


class Process:
    """One that counts a run a minute, and writes where the server is there."""

    def __init__(self, broker, name: str = "p") -> None:
        self.broker = broker
        self.minutes: dict[int, Slice] = {}
        self.outbox = Outbox(name, self.minutes, KEEP_S, 2000)
        self.counted = 0

    def count(self, at_s: float, runs: int = 1) -> None:
        start_s = int(at_s // 60) * 60
        slice_ = self.minutes.setdefault(start_s, Slice(start_s))
        counted = slice_.runs.setdefault(Key("proj.task", "celery"), Runs())
        for _ in range(runs):
            counted.run.add(0.1)
        counted.outcomes["success"] += runs
        self.counted += runs

    def fold(self, at_s: float, server: str = "there") -> int:
        letters = self.outbox.letters(at_s, MOST_BYTES)
        if server in ("there", "silent"):
            commands = [one for letter in letters for one in ledger.writing(self.broker.layout, *letter, KEEP_S)]
            if commands:
                self.broker.ask(*commands)
        if server == "there":
            self.outbox.sent(letters, at_s)
        if server == "silent":
            self.outbox.in_doubt(letters)
        return len(letters)


@pytest.fixture
def broker(broker_url):
    with connect(parse_address(broker_url)) as opened:
        yield opened


def seen(broker) -> int:
    return sum(runs.run.count for slice_ in read_measured(broker).slices for runs in slice_.runs.values())


def turn(broker, now_s: float) -> None:
    Turn(broker, now_s, KEEP_S, 10**9, 2000, work_s=60.0).run()


def test_every_fold_writes_the_present_minute_whole_and_the_one_before_twice(broker):
    process = Process(broker)
    written = []
    for second in range(0, 180, 10):
        process.count(AHEAD_S + second)
        written.append(process.fold(AHEAD_S + second + 5))

        assert seen(broker) == process.counted
    # After the first fold of a minute the one before is closed, and 50 s later it is final.
    assert written == [1] * 6 + [2, 1, 1, 1, 1, 2] + [2, 1, 1, 1, 1, 2]
    assert sorted(process.minutes) == [AHEAD_S + 120]


def test_the_number_of_records_does_not_depend_on_how_much_was_counted(broker):
    idle, busy = Process(broker, "idle"), Process(broker, "busy")
    for second in range(0, 300, 10):
        for process in (idle, busy):
            process.minutes.setdefault(int((AHEAD_S + second) // 60) * 60, Slice(int((AHEAD_S + second) // 60) * 60))
        busy.count(AHEAD_S + second, runs=500)

        assert idle.fold(AHEAD_S + second) == busy.fold(AHEAD_S + second)


@pytest.mark.parametrize("outage", [1, 5, 14, 60, 300, 1300])
@pytest.mark.parametrize("server", ["away", "silent"])
def test_an_outage_of_any_length_loses_nothing_and_counts_nothing_twice(broker, outage, server):
    """`silent`: the first fold of the outage arrived, and nobody said so."""
    process, other = Process(broker), Process(broker, "other")
    minutes = [*range(3), *range(3 + outage, 8 + outage)]
    for minute in range(8 + outage):
        at_s = AHEAD_S + minute * 60
        process.count(at_s, runs=minute % 3 + 1)
        other.count(at_s)
        there = minute in minutes
        process.fold(at_s + 5, "there" if there else server if minute == 3 else "away")
        other.fold(at_s + 5)
        if minute % 7 == 0:
            turn(broker, at_s + 6)
    for second in range(0, 120, 10):
        process.fold(at_s + 10 + second)
        other.fold(at_s + 10 + second)
    turn(broker, at_s + 200)
    missing = process.counted + other.counted - seen(broker)

    # A minute that was in doubt when the outage began, and has been merged by others since, stays as it had arrived.
    assert 0 <= missing <= (1 if server == "silent" and outage > 4 else 0)


def test_memory_stays_bounded_while_the_server_is_away(broker):
    process = Process(broker)
    for minute in range(24 * 60):
        process.count(AHEAD_S + minute * 60)
        process.fold(AHEAD_S + minute * 60 + 5, "away")

    assert len(process.minutes) <= 15
    assert len(process.outbox._longer) <= 60
    at_s = AHEAD_S + 24 * 3600
    while process.fold(at_s) > 1:
        at_s += 60
    assert seen(broker) == process.counted


def test_what_nobody_would_keep_is_forgotten(broker):
    process = Process(broker)
    process.count(AHEAD_S)
    process.fold(AHEAD_S + 5, "away")
    process.count(AHEAD_S + KEEP_S + 120)
    process.fold(AHEAD_S + KEEP_S + 120)

    assert seen(broker) == 1


def test_a_clock_that_is_set_back_writes_over_nothing(broker):
    process = Process(broker)
    for second in range(0, 180, 10):
        process.count(AHEAD_S + second)
        process.fold(AHEAD_S + second)
    for second in range(0, 240, 10):
        process.count(AHEAD_S + second)
        process.fold(AHEAD_S + second)

    assert seen(broker) == process.counted


def test_a_record_that_would_be_too_large_loses_its_least_busy_keys(broker):
    process = Process(broker)
    slice_ = process.minutes[AHEAD_S] = Slice(AHEAD_S)
    for number in range(500):
        runs = slice_.runs[Key(f"proj.task{number * 7919}", "celery")] = Runs()
        runs.run.add(a_run(number).end_us / 1e15)
    (letter,) = process.outbox.letters(AHEAD_S + 5, 3_000)

    assert len(letter.record) <= 3_000
    assert slice_.counts["keys_folded"] > 0
    assert sum(runs.run.count for runs in slice_.runs.values()) == 500


def test_a_refused_write_is_tried_again(broker):
    process = Process(broker)
    process.count(AHEAD_S)
    letters = process.outbox.letters(AHEAD_S + 5, MOST_BYTES)

    assert letters == process.outbox.letters(AHEAD_S + 15, MOST_BYTES)
    assert Counter(letter.field for letter in letters) == {"p": 1}
