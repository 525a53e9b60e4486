"""A backup put back: behind what is there, in its order, each message once, wherever the way is cut."""

import json
import random
import subprocess
import sys
import time

import pytest
from relief_desk import FRESH, OLD, QUEUE, held, message, mixed, push, tags

from tidegate import relieving
from tidegate.act.relief import acts, restoring
from tidegate.backup.batch import Batch
from tidegate.backup.header import Header
from tidegate.backup.writer import BackupWriter
from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.errors import Damaged, NotABackup, NotAQueue, Refused, StoppedAnswering, UsageError
from tidegate.facts.relief import Act, State

URGENT = f"{QUEUE}\x06\x163"
OTHER = "other"
YES = relieving.How(yes=True)
Wish = relieving.Wish


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "celery.tgb"


@pytest.fixture
def small_portions(monkeypatch):
    """Many portions of few messages."""
    monkeypatch.setattr(restoring, "_PORTION_BYTES", 9000)


def written(file, *lists, queue=QUEUE, **header):
    """A file with those messages of step 0, and of step 3 where given."""
    with BackupWriter.begin(file, Header(queue=queue, act="purge", **header)) as writer:
        for step, elements in zip((0, 3), lists, strict=False):
            for first in range(0, len(elements), 70):
                own = elements[first : first + 70]
                writer.append(Batch(queue=queue, step=step, positions=range(first, first + len(own)), elements=own))
        writer.seal()
    return file


def restore(url, file, how=YES, stop=lambda: False, **wish):
    return relieving.restore(parse_address(url), file, Wish(**wish), how, stop=stop)


def resumed(url, id_):
    return relieving.resume(parse_address(url), id_, YES)


def rows(url):
    with connect(parse_address(url)) as broker:
        return acts.rows_of(broker)


def test_a_copy_comes_back_with_all_its_priorities_in_their_order(broker_url, redis_client, file):
    plain, urgent = push(redis_client, mixed(3000)), push(redis_client, mixed(30), URGENT)
    relieving.backup(parse_address(broker_url), QUEUE, file)
    redis_client.flushall()
    done = restore(broker_url, file)
    assert (held(redis_client), held(redis_client, URGENT)) == (plain, urgent)
    assert (done.messages, done.restored, done.there, done.left, done.state) == (3030, 3030, 0, 0, State.DONE)
    assert redis_client.smembers("_kombu.binding.celery") == {b"celery\x06\x16\x06\x16celery"}
    [row] = rows(broker_url)
    assert (row.act, row.state, row.kept) == (Act.RESTORE, State.DONE, 3030)


def test_without_yes_nothing_is_written(broker_url, redis_client, file):
    written(file, mixed(30), mixed(3))
    found = restore(broker_url, file, relieving.DRY)
    assert (found.dry_run, found.restored) == (True, 33)
    assert {row.name: row.count for row in found.by_task} == {OLD: 11, FRESH: 22}
    assert redis_client.keys("*") == []


def test_they_go_behind_what_waits_already(broker_url, redis_client, file):
    there, back = push(redis_client, mixed(5)), mixed(200)
    restore(broker_url, written(file, back))
    assert held(redis_client) == there + back


def test_what_waits_or_is_with_a_worker_is_not_put_in_twice(broker_url, redis_client, file):
    back = mixed(100)
    waiting, taken, urgent = back[:40:4], back[50:60], back[70:80]
    push(redis_client, waiting)
    push(redis_client, urgent, URGENT)
    for element, tag in zip(taken, tags(taken), strict=True):
        redis_client.hset("unacked", tag, json.dumps([json.loads(element), "", QUEUE]))
        redis_client.zadd("unacked_index", {tag: time.time()})
    done = restore(broker_url, written(file, back))
    others = [element for element in back if element not in waiting + taken + urgent]
    assert held(redis_client) == waiting + others
    assert (done.restored, done.there) == (70, 30)
    again = restore(broker_url, file)
    assert (again.restored, again.there) == (0, 100)


def test_neither_are_tasks_whose_body_stays_closed(broker_url, redis_client, file):
    closed = json.loads(message(OLD, 1))
    closed["headers"], closed["content-type"], closed["body"] = {}, "application/x-python-serialize", "gASVAAA="
    before = push(redis_client, [json.dumps(closed).encode()])
    relieving.backup(parse_address(broker_url), QUEUE, file)
    assert (restore(broker_url, file).there, held(redis_client)) == (1, before)


@pytest.mark.parametrize("name", ["unacked", "tidegate:journal", f"{QUEUE}\x06\x163"])
def test_nothing_goes_where_no_queue_can_be(name, broker_url, redis_client, file):
    with pytest.raises(UsageError, match="is no name for a queue"):
        restore(broker_url, written(file, mixed(3)), to=name)
    assert redis_client.keys("*") == []


def test_into_another_queue_only_the_address_inside_differs(broker_url, redis_client, file):
    back = [*mixed(20), b"not a message"]
    restore(broker_url, written(file, back, back[:3]), to=OTHER)
    found = held(redis_client, OTHER)
    for before, after in zip(back[:-1], found, strict=False):
        info = json.loads(after)["properties"]["delivery_info"]
        assert info == {"exchange": "", "routing_key": OTHER}
        assert after.replace(b'"routing_key": "other"', b'"routing_key": "celery"') == before
    assert found[-1] == b"not a message"
    assert len(held(redis_client, f"{OTHER}\x06\x163")) == 3
    assert redis_client.smembers("_kombu.binding.other") == {b"other\x06\x16\x06\x16other"}


def test_expired_ones_are_left_out_where_asked_and_an_eta_stays(broker_url, redis_client, file):
    late = message(OLD, 1, expires="2020-01-01T00:00:00+00:00")
    back = [late, message(OLD, 2, expires="2099-01-01T00:00:00+00:00"), message(OLD, 3, eta="2020-01-01T00:00:00")]
    done = restore(broker_url, written(file, back), skip_expired=True)
    assert held(redis_client) == back[1:]
    assert (done.restored, done.expired) == (2, 1)
    assert restore(broker_url, file).restored == 1
    assert held(redis_client)[-1] == late


def test_behind_a_key_prefix_the_lists_of_that_application_are_meant(broker_url, redis_client, file):
    back = mixed(10)
    address = parse_address(broker_url)
    from tidegate.broker.address import with_options

    relieving.restore(with_options(address, {"global_keyprefix": "shop:"}), written(file, back), Wish(), YES)
    assert held(redis_client, f"shop:{QUEUE}") == back


@pytest.mark.usefixtures("small_portions")
@pytest.mark.parametrize("before", [True, False], ids=["before a portion", "after a portion"])
def test_killed_at_every_portion_it_goes_on_without_losing_or_doubling_one(
    broker_url, redis_client, file, monkeypatch, before
):
    plain, urgent = mixed(150), mixed(30)
    written(file, plain, urgent)
    real, id_, kills = restoring.paced, None, 0

    def mortal(*call):
        calls.append(call)
        if before and len(calls) == 2:
            raise Killed
        answer = real(*call)
        if not before and len(calls) == 1:
            raise Killed
        return answer

    monkeypatch.setattr(restoring, "paced", mortal)
    monkeypatch.setattr(restoring, "_interrupted", lambda *_: None)
    while True:
        calls = []
        try:
            done = resumed(broker_url, id_) if id_ else restore(broker_url, file)
        except Killed:
            kills += 1
            id_ = rows(broker_url)[0].id
            continue
        break
    assert kills >= 10
    assert (held(redis_client), held(redis_client, URGENT)) == (plain, urgent)
    assert (done.kept, rows(broker_url)[0].state) == (180, State.DONE)


RESUMING = """
import sys
from pathlib import Path
from tidegate import relieving
from tidegate.act.relief import restoring
from tidegate.broker.address import parse_address

restoring._PORTION_BYTES = 9000
address, yes = parse_address(sys.argv[1]), relieving.How(yes=True)
if sys.argv[3]:
    relieving.resume(address, sys.argv[3], yes)
else:
    relieving.restore(address, Path(sys.argv[2]), relieving.Wish(rate_per_s=4000), yes)
"""


def test_a_process_that_is_killed_at_any_instant_loses_and_doubles_nothing(broker_url, redis_client, file):
    """A real process, a real SIGKILL; workers take meanwhile."""
    back, taken, id_ = mixed(3000), [], ""
    written(file, back)
    for goal in sorted(random.Random(1).sample(range(200, 2700), 2)):
        child = subprocess.Popen([sys.executable, "-c", RESUMING, broker_url, str(file), id_])
        deadline = time.monotonic() + 20
        while len(taken) + redis_client.llen(QUEUE) < goal and child.poll() is None:
            assert time.monotonic() < deadline
            if len(taken) < goal // 2 and (one := redis_client.rpop(QUEUE)):
                taken.append(one)
        child.kill()
        child.wait()
        [row] = rows(broker_url)
        assert row.state is State.INTERRUPTED
        id_ = row.id
    resumed(broker_url, id_)
    assert taken + held(redis_client) == back


@pytest.mark.usefixtures("small_portions")
def test_asked_to_stop_it_is_interrupted_and_goes_on_later(broker_url, redis_client, file):
    back = mixed(200)
    asked = iter([False] * 5)
    done = restore(broker_url, written(file, back), stop=lambda: next(asked, True))
    assert done.state is State.INTERRUPTED
    assert 0 < done.restored < 200
    assert done.left == 200 - done.restored
    assert held(redis_client) == back[: done.restored]
    resumed(broker_url, done.id)
    assert held(redis_client) == back


def test_what_is_over_frees_the_queue_also_where_the_file_is_gone(broker_url, redis_client, file):
    done = restore(broker_url, written(file, mixed(20)), stop=lambda: True)
    file.unlink()
    with pytest.raises(NotABackup, match="No such file"):
        resumed(broker_url, done.id)
    with pytest.raises(Refused, match=done.id):
        restore(broker_url, written(file, mixed(20)))
    with pytest.raises(Refused, match="is not the file that"):
        resumed(broker_url, done.id)
    assert relieving.rollback(parse_address(broker_url), done.id, YES).kept == 0
    assert restore(broker_url, file).restored == 20


@pytest.mark.usefixtures("small_portions")
def test_it_waits_while_the_queue_is_deep(broker_url, redis_client, file, monkeypatch):
    back, deepest, taken = mixed(300), [], []

    def drained(seconds):
        deepest.append(redis_client.llen(QUEUE))
        taken.extend(redis_client.rpop(QUEUE, 7))

    monkeypatch.setattr("tidegate.act.relief.flowing.time.sleep", drained)
    restore(broker_url, written(file, back), max_depth=25)
    assert max(deepest) == 25
    assert taken + held(redis_client) == back


def test_no_more_than_the_rate_goes(broker_url, redis_client, file):
    began = time.monotonic()
    restore(broker_url, written(file, mixed(200)), rate_per_s=400)
    # The first portion goes at once: a quarter of a second's worth.
    assert time.monotonic() - began > 200 / 400 - 0.25
    assert redis_client.llen(QUEUE) == 200


@pytest.mark.usefixtures("small_portions")
def test_a_server_that_goes_away_leaves_an_act_to_go_on_with(private_broker, file):
    server = private_broker(appendonly="yes", appendfsync="always")
    back, portions = mixed(200), []

    def progress(passed, total):
        portions.append(passed)
        if len(portions) == 5:
            server.kill()

    with pytest.raises(StoppedAnswering, match=r"passed so far: tidegate relief resume restore-"):
        restore(server.url, written(file, back), relieving.How(yes=True, progress=progress))
    server.restart()
    [row] = rows(server.url)
    resumed(server.url, row.id)
    with connect(parse_address(server.url)) as broker:
        assert broker.one("LRANGE", QUEUE, 0, -1)[::-1] == back


def test_a_full_server_refuses_in_one_line_and_takes_the_rest_when_there_is_room(private_broker, file):
    server = private_broker(maxmemory="3mb", maxmemory_policy="noeviction")
    back = [message(OLD, "x" * 3000) for _ in range(600)]
    with pytest.raises(Refused, match="memory limit"):
        restore(server.url, written(file, back))
    server.ask("CONFIG", "SET", "maxmemory", "100mb")
    [row] = rows(server.url)
    resumed(server.url, row.id)
    with connect(parse_address(server.url)) as broker:
        assert broker.one("LRANGE", QUEUE, 0, -1)[::-1] == back


def test_of_a_damaged_file_nothing_goes_back_unless_it_is_to_be_salvaged(broker_url, redis_client, file):
    back = [message(OLD, random.Random(1).random()) for _ in range(210)]
    altered = bytearray(written(file, back).read_bytes())
    altered[len(altered) // 2] ^= 1
    file.write_bytes(altered)
    with pytest.raises(Damaged, match=r"batch 2"):
        restore(broker_url, file)
    assert redis_client.keys("*") == []
    done = restore(broker_url, file, salvage=True)
    assert held(redis_client) == back[:70] + back[140:]
    assert "damaged at byte" in done.notes[0]


def test_a_file_with_several_queues_wants_to_know_which(broker_url, redis_client, file):
    first, second = mixed(3), mixed(4)
    with BackupWriter.begin(file, Header(act="rescue")) as writer:
        writer.append(Batch(queue="a", step=0, positions=range(3), elements=first))
        writer.append(Batch(queue="b", step=0, positions=range(4), elements=second))
        writer.seal()
    with pytest.raises(UsageError, match="--only"):
        restore(broker_url, file)
    with pytest.raises(UsageError, match="no messages of 'c'"):
        restore(broker_url, file, source="c")
    restore(broker_url, file, source="b")
    assert held(redis_client, "b") == second
    assert not redis_client.exists("a")


def test_a_key_that_is_no_list_is_told_and_left_alone(broker_url, redis_client, file):
    redis_client.set(OTHER, "something else")
    with pytest.raises(NotAQueue, match="'other' is no queue"):
        restore(broker_url, written(file, mixed(3)), to=OTHER)
    assert redis_client.keys("*") == [b"other"]
