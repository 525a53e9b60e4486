"""Merging what probes counted: nothing is lost and nothing counted twice, at whichever command whoever is killed."""

import random
import time
from collections import Counter
from contextlib import suppress

import pytest

from tidegate.broker import ledger
from tidegate.broker.address import parse_address
from tidegate.broker.client import Broker, connect
from tidegate.broker.ledger import LATE, MERGED, Stretch, writing
from tidegate.broker.merging import SETTLED_S, Turn, take_turn
from tidegate.broker.records import encode_slice
from tidegate.facts.measured import Key, Runs, Slice, Tick
from tidegate.facts.unknown import known
from tidegate.observe.measured import read_measured

KEEP_S = 90_000
#: A day that lies ahead, or the server would let the records of the past go at once.
DAY_S = (int(time.time()) // 21_600 + 2) * 21_600


@pytest.fixture
def broker(broker_url):
    with connect(parse_address(broker_url)) as opened:
        yield opened


TASK = Key("proj.task", "celery")


def minute(start_s: int, runs: int = 1, key: Key = TASK) -> Slice:
    slice_ = Slice(start_s)
    counted = slice_.runs[key] = Runs(firings=runs)
    for number in range(runs):
        counted.run.add(0.001 * (number + 1))
    counted.outcomes["success"] += runs
    counted.ticks[start_s // 60 % 12] = Tick(runs, counted.run.total_ns, 0)
    return slice_


def write(broker: Broker, slice_: Slice, field: str) -> None:
    stretch = Stretch(slice_.length_s, slice_.start_s)
    broker.ask(*writing(broker.layout, stretch, field, encode_slice(slice_), KEEP_S))


def turn(broker: Broker, now_s: float, **settings: int) -> None:
    settings = {"keep_s": KEEP_S, "most_bytes": 10**9, "most_keys": 2000, **settings}
    Turn(broker, now_s, work_s=60.0, **settings).run()


def counted(broker: Broker) -> Counter[str]:
    """All that a reader sees, in sums that merging has to keep."""
    total: Counter[str] = Counter()
    for slice_ in read_measured(broker).slices:
        for key, runs in slice_.runs.items():
            total[f"runs of {key.task}"] += runs.run.count
            total[f"ns of {key.task}"] += runs.run.total_ns
            total["success"] += runs.outcomes["success"]
            total["in ticks"] += sum(tick.runs for tick in runs.ticks.values())
        total.update(slice_.counts)
    return total


def lengths(broker: Broker) -> Counter[int]:
    return Counter(slice_.length_s for slice_ in read_measured(broker).slices)


class Killed(Exception):
    """The process is gone."""


class Mortal(Broker):
    """A connection whose process is killed before its n-th request; before each of them somebody may look."""

    def __init__(self, whole: Broker, lives: int, looks) -> None:
        super().__init__(whole.address, whole._connection, whole.timeout_s)
        self.lives = lives
        self.looks = looks

    def ask(self, *commands):
        self.looks()
        self.lives -= 1
        if self.lives < 0:
            raise Killed
        return super().ask(*commands)


def test_a_day_of_several_processes_is_kept_whole_in_ever_longer_slices(broker):
    for number in range(0, 24 * 60, 5):
        for process in ("a", "b"):
            write(broker, minute(DAY_S + number * 60, runs=number % 7 + 1), process)
    before = counted(broker)
    turn(broker, DAY_S + 86_400)

    assert counted(broker) == before
    assert lengths(broker)[7200] >= 8
    assert sum(lengths(broker).values()) < 60
    assert read_measured(broker).unreadable == 0


def test_slices_never_overlap_and_stay_in_order(broker):
    for number in range(300):
        write(broker, minute(DAY_S + number * 60), "a")
    turn(broker, DAY_S + 300 * 60)
    slices = read_measured(broker).slices

    ends = [slice_.start_s + slice_.length_s for slice_ in slices]
    assert all(end <= after.start_s for end, after in zip(ends, slices[1:], strict=False))


def two_processes_and_one_that_is_late(broker):
    for number in range(50):
        for process in ("a", "b"):
            write(broker, minute(DAY_S + number * 60, runs=number % 3 + 1), process)
    write(broker, minute(DAY_S + 60, runs=5), "c" + LATE)
    return DAY_S + 3 * 3600


def test_whoever_reads_while_somebody_merges_sees_all_of_it_once(broker):
    now_s = two_processes_and_one_that_is_late(broker)
    before, looks = counted(broker), []

    def look():
        looks.append(counted(broker) == before)

    turn(Mortal(broker, 10_000, look), now_s)

    assert len(looks) > 100
    assert all(looks)


@pytest.mark.parametrize("lives", range(0, 180, 7))
def test_whoever_is_killed_while_merging_loses_nothing_and_counts_nothing_twice(broker, lives):
    now_s = two_processes_and_one_that_is_late(broker)
    before = counted(broker)
    with suppress(Killed):
        turn(Mortal(broker, lives, lambda: None), now_s)

    assert counted(broker) == before
    turn(broker, now_s)
    assert counted(broker) == before
    assert lengths(broker) == {1800: 2}


def test_what_comes_late_is_counted_once_wherever_its_minute_has_gone_meanwhile(broker):
    chance = random.Random(1)
    for number in range(120):
        write(broker, minute(DAY_S + number * 60), "a")
    expected = counted(broker)
    for hours in range(1, 24):
        turn(broker, DAY_S + hours * 3600)
        late = minute(DAY_S + chance.randrange(120) * 60, runs=2)
        write(broker, late, f"late{hours}" + LATE)
        expected += Counter({"runs of proj.task": 2, "ns of proj.task": 3_000_000, "success": 2, "in ticks": 2})
        assert counted(broker) == expected
        turn(broker, DAY_S + hours * 3600 + 60)
        # A repeated write of what was merged already, as after a timeout.
        assert counted(broker) == expected


def test_a_late_record_that_is_written_again_after_it_was_merged_is_not_counted_twice(broker):
    write(broker, minute(DAY_S), "a")
    late = minute(DAY_S, runs=3)
    write(broker, late, "b" + LATE)
    turn(broker, DAY_S + 7200)
    write(broker, late, "b" + LATE)

    assert counted(broker)["runs of proj.task"] == 4
    turn(broker, DAY_S + 14_400)
    assert counted(broker)["runs of proj.task"] == 4


def test_a_process_that_writes_a_minute_after_it_was_merged_changes_nothing(broker):
    write(broker, minute(DAY_S, runs=2), "a")
    write(broker, minute(DAY_S, runs=1), "b")
    turn(broker, DAY_S + 60 + SETTLED_S)
    write(broker, minute(DAY_S, runs=2), "a")

    assert counted(broker)["runs of proj.task"] == 3


def test_minutes_that_may_still_change_are_left_alone(broker):
    write(broker, minute(DAY_S, runs=2), "a")
    write(broker, minute(DAY_S, runs=1), "b")
    turn(broker, DAY_S + 60 + SETTLED_S - 1)
    stretch = Stretch(60, DAY_S)

    assert {record.field for record in ledger.records(broker, [stretch])} == {"a", "b"}
    turn(broker, DAY_S + 60 + SETTLED_S)
    assert {record.field for record in ledger.records(broker, [stretch])} == {MERGED}


def test_above_the_cap_older_stretches_are_merged_earlier_and_nothing_is_lost(broker):
    for number in range(600):
        write(broker, minute(DAY_S + number * 60), "a")
    before = counted(broker)
    now_s = DAY_S + 600 * 60
    turn(broker, now_s)
    gentle, size = sum(lengths(broker).values()), read_measured(broker).bytes
    turn(broker, now_s, most_bytes=int(size * 0.6))

    assert sum(lengths(broker).values()) < gentle
    assert read_measured(broker).bytes <= size * 0.6
    assert counted(broker) == before


def test_what_does_not_fit_even_so_loses_its_least_busy_keys_and_says_how_many(broker):
    whole, chance = Slice(DAY_S), random.Random(1)
    for number in range(400):
        key = Key(f"proj.task{chance.getrandbits(64)}", "celery")
        whole.runs.update(minute(DAY_S, runs=number % 9 + 1, key=key).runs)
    write(broker, whole, "a")
    runs = counted(broker)["success"]
    turn(broker, DAY_S + 86_400, most_bytes=3_000)
    (slice_,) = read_measured(broker).slices

    assert counted(broker)["success"] == runs
    assert 50 <= len(slice_.runs) < 400
    # The one key that was folded first made the key of the others, which took its place.
    assert slice_.counts["keys_folded"] >= 400 - len(slice_.runs)


def test_a_cap_that_nothing_fits_under_drops_the_oldest_and_says_so(broker):
    for hour in range(0, 48, 6):
        write(broker, minute(DAY_S + hour * 3600), "a")
    # Each of them has been merged already.
    turn(broker, DAY_S + 48 * 3600, keep_s=10**6)
    before = read_measured(broker).slices
    turn(broker, DAY_S + 48 * 3600, keep_s=10**6, most_bytes=2500)
    after = read_measured(broker).slices

    assert 0 < len(after) < len(before)
    assert after[-1].start_s == before[-1].start_s
    assert sum(slice_.counts["stretches_dropped"] for slice_ in after) == len(before) - len(after)


def test_the_cap_holds_also_where_the_server_weighs_nothing(private_broker):
    server = private_broker()
    with connect(parse_address(server.url)) as broker:
        for number in range(120):
            write(broker, minute(DAY_S + number * 60), "a")
        turn(broker, DAY_S + 120 * 60)
        before, runs = read_measured(broker), counted(broker)
        server.ask("ACL", "SETUSER", "default", "-memory")
        turn(broker, DAY_S + 120 * 60, most_bytes=1_800)
        after = read_measured(broker)

        assert not known(after.bytes)
        assert len(after.slices) < len(before.slices)
        assert counted(broker) == runs


def test_what_is_older_than_is_kept_goes_and_every_key_expires(broker, redis_client):
    write(broker, minute(DAY_S), "a")
    write(broker, minute(DAY_S + KEEP_S), "a")
    turn(broker, DAY_S + KEEP_S + 120)

    assert [slice_.start_s for slice_ in read_measured(broker).slices] == [DAY_S + KEEP_S]
    data = [key for key in redis_client.scan_iter() if b"stretches" not in key]
    assert all(redis_client.ttl(key) > 0 for key in data)


def test_one_process_merges_at_a_time(broker):
    assert take_turn(broker, "a")
    assert not take_turn(broker, "b")
    assert 0 < broker.one("PTTL", ledger.merging_key(broker.layout)) <= 20_000


def test_records_that_nobody_can_read_are_counted_and_left_alone(broker, redis_client):
    write(broker, minute(DAY_S), "a")
    key = ledger.stretch_key(broker.layout, Stretch(60, DAY_S))
    redis_client.hset(key, "x", b"\x01garbage")
    redis_client.hset(key, "y", encode_slice(minute(DAY_S + 60)))
    redis_client.zadd(ledger.stretches_key(broker.layout), {"60:61": DAY_S, "nonsense": DAY_S, "7:0": DAY_S})
    redis_client.hset(ledger.workers_key(broker.layout), "z", b"\xff")
    turn(broker, DAY_S + 7200)
    measured = read_measured(broker)

    assert measured.unreadable == 3 - 1  # the worker's record went with those that are gone
    assert counted(broker)["runs of proj.task"] == 1
