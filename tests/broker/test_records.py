"""Records come back as they were written, and what is none of ours is None: it never raises."""

import zlib

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from counted import slices
from tidegate.broker.columns import Unpackable, pack, unpack
from tidegate.broker.records import VERSION, decode_slice, decode_worker, encode_slice, encode_worker
from tidegate.facts.measured import Slice, Unfinished, WorkerSeen

WORKER = WorkerSeen(
    node="w1@host",
    machine="host",
    at_s=1_700_000_000.5,
    started_at_s=1_700_000_000.0,
    pool="prefork",
    slots=4,
    queues=("celery", "hipri"),
    cores=1.5,
    busy_cores=0.7,
    busy_slots=2,
    clock_ahead_s=-0.25,
    cpu_per_run_s=0.0012,
    unfinished=(Unfinished(task="proj.long", running_s=99.0),),
)


@given(slices(), st.lists(st.text(max_size=9), max_size=3))
def test_a_slice_comes_back_as_it_was_written(slice_, merged):
    stored = decode_slice(encode_slice(slice_, merged))

    assert stored == (slice_, tuple(merged))


def test_times_that_are_no_whole_microseconds_come_back_to_the_nanosecond():
    slice_ = Slice(0)
    slice_.counts["x"] = 1
    slice_.ahead["host"] = 1.000000001

    assert decode_slice(encode_slice(slice_)).slice == slice_


def test_a_worker_comes_back_as_it_was_written():
    assert decode_worker(encode_worker(WORKER)) == WORKER


@given(st.binary(max_size=200))
@example(VERSION)
@example(VERSION + zlib.compress(b""))
@example(VERSION + zlib.compress(b"\xff" * 64))
@example(b"\x02" + encode_slice(Slice(0))[1:])
@example(encode_slice(Slice(0)) + b"more")
@example(VERSION + msgspec.msgpack.encode({"node": 1}))
@example(VERSION + msgspec.msgpack.encode({**msgspec.to_builtins(WORKER), "at_s": float("nan")}))
@example(VERSION + msgspec.msgpack.encode({**msgspec.to_builtins(WORKER), "every_s": 0.0}))
def test_bytes_of_somebody_else_are_no_record(data):
    assert decode_slice(data) is None
    assert decode_worker(data) is None


@given(slices(), st.data())
def test_a_damaged_record_never_raises(slice_, data):
    """Also where the damage is inside the compression, so that no checksum finds it."""
    whole = bytearray(zlib.decompress(encode_slice(slice_)[1:]))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    for damaged in (whole, whole[:cut]):
        stored = decode_slice(VERSION + zlib.compress(bytes(damaged)))
        assert stored is None or isinstance(stored.slice, Slice)


def test_a_bomb_is_not_unpacked():
    bomb = zlib.compress(bytes(200 << 20))

    with pytest.raises(Unpackable, match="larger"):
        unpack(bomb)


@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=20), max_size=4), st.binary(max_size=9))
def test_columns_come_back_as_they_were(columns, head):
    assert [list(column) for column in unpack(pack(head, columns))[1]] == columns
    assert unpack(pack(head, columns))[0] == head
