"""A queue copied while it is in use: a consistent cut in a file, and nothing written to the server."""

import os
import signal

import pytest
from relief_desk import FRESH, OLD, QUEUE, held, message, mixed, push

from tidegate import relieving
from tidegate.act.relief import acts, backing
from tidegate.backup.reader import BackupReader
from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.errors import Damaged, NothingFound, Refused
from tidegate.facts.relief import Act

URGENT = f"{QUEUE}\x06\x163"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "celery.tgb"


def copy(url, file, **more):
    return relieving.backup(parse_address(url), QUEUE, file, **more)


def oldest_first(file):
    with BackupReader.open(file) as reader:
        by_list = {}
        for batch in reader.batches_oldest_first():
            by_list.setdefault(batch.step, []).extend(batch.elements)
        return by_list


def test_every_message_of_every_priority_is_in_the_copy_in_its_order(broker_url, redis_client, file, monkeypatch):
    monkeypatch.setattr(backing, "_BATCH", 300)
    plain, urgent = push(redis_client, mixed(5000)), push(redis_client, mixed(40), URGENT)
    done = copy(broker_url, file)
    assert oldest_first(file) == {0: plain, 3: urgent}
    assert (done.messages, done.by_priority) == (5040, {0: 5000, 3: 40})
    assert done.bytes == sum(map(len, plain + urgent))
    assert done.file_bytes == file.stat().st_size < done.bytes / 10
    with BackupReader.open(file) as reader:
        assert reader.header.server.startswith(("valkey ", "redis "))
        assert reader.header.depths == {"0": 5000, "3": 40}
    assert oct(file.stat().st_mode)[-3:] == "600"


def test_nothing_is_written_to_the_server(broker_url, redis_client, file):
    push(redis_client, mixed(500))
    before = redis_client.info("persistence")["rdb_changes_since_last_save"]
    copy(broker_url, file)
    assert redis_client.info("persistence")["rdb_changes_since_last_save"] == before


def test_a_queue_in_use_gives_what_was_there_at_the_start_and_was_not_taken_since(
    broker_url, redis_client, file, monkeypatch
):
    monkeypatch.setattr(backing, "_BATCH", 200)
    before, taken = push(redis_client, mixed(20_000)), []

    def busy(copied, expected):
        push(redis_client, [message(OLD, "new"), message(FRESH, "new")])
        taken.append(redis_client.rpop(QUEUE))

    copy(broker_url, file, progress=busy)
    [found] = oldest_first(file).values()
    missing = len(before) - len(found)
    assert found == before[missing:]
    assert before[:missing] == taken[:missing]
    assert len(taken) > 20


def test_an_empty_queue_gives_a_file_without_messages(broker_url, redis_client, file):
    redis_client.sadd("_kombu.binding.celery", b"celery\x06\x16\x06\x16celery")
    assert copy(broker_url, file).messages == 0
    assert oldest_first(file) == {}


def test_a_queue_that_is_not_there_is_told_with_the_nearest_name_and_no_file_is_made(broker_url, redis_client, file):
    push(redis_client, mixed(3))
    redis_client.sadd("_kombu.binding.celery", b"celery\x06\x16\x06\x16celery")
    with pytest.raises(NothingFound, match="did you mean 'celery'"):
        relieving.backup(parse_address(broker_url), "celary", file)
    assert not file.exists()


def test_a_queue_that_is_set_aside_is_not_copied_for_a_part_of_it_would_be_missing(broker_url, redis_client, file):
    push(redis_client, mixed(3))
    with connect(parse_address(broker_url)) as broker:
        acting = acts.begin(broker, Act.PURGE, QUEUE)
    with pytest.raises(Refused, match=acting.id):
        copy(broker_url, file)


def test_ctrl_c_leaves_no_half_of_a_file(broker_url, redis_client, file, monkeypatch):
    monkeypatch.setattr(backing, "_BATCH", 100)
    push(redis_client, mixed(3000))
    with pytest.raises(KeyboardInterrupt):
        copy(broker_url, file, progress=lambda copied, expected: os.kill(os.getpid(), signal.SIGINT))
    assert not file.exists()
    assert len(held(redis_client)) == 3000


def test_a_file_tells_the_same_census_and_the_same_messages_as_its_queue(broker_url, redis_client, file):
    push(redis_client, [*mixed(90), message(OLD, "again"), message(OLD, "again"), b"not a message"])
    copy(broker_url, file)
    found = relieving.inspect(file, 2)
    with connect(parse_address(broker_url)) as broker:
        from tidegate.observe.census import exact_census
        from tidegate.observe.peek import peek_queue

        there = exact_census(broker, QUEUE, [QUEUE])
        assert found.census.by_task == there.by_task
        assert (found.census.messages, found.census.undecodable) == (93, 1)
        assert list(found.shown) == peek_queue(broker, QUEUE, 2)
        assert list(relieving.inspect(file, 2, newest=True).shown) == peek_queue(broker, QUEUE, 2, newest=True)
    assert (found.queue, found.act, found.sealed, found.damage) == (QUEUE, "backup", True, ())


def test_a_damaged_file_is_inspected_only_to_salvage(broker_url, redis_client, file, monkeypatch):
    monkeypatch.setattr(backing, "_BATCH", 100)
    push(redis_client, mixed(9000))
    copy(broker_url, file)
    whole = relieving.inspect(file).census.messages
    altered = bytearray(file.read_bytes())
    altered[len(altered) // 2] ^= 1
    file.write_bytes(altered)
    with pytest.raises(Damaged, match="is damaged at byte"):
        relieving.inspect(file)
    found = relieving.inspect(file, salvage=True)
    assert 0 < found.census.messages < whole
    assert len(found.damage) == 1
