"""The spill keeper on a real server: what is over the bound waits on disk, and comes back in its order, each message once."""

import json
import subprocess
import sys
import time

import pytest
from relief_desk import QUEUE, push

from tidegate.act.spill import keeping
from tidegate.act.spill.keeper import Keeper
from tidegate.broker.address import parse_address
from tidegate.broker.scripts import EMPTY
from tidegate.errors import BadStore

SIDE, FRONT, KEPT = (f"tidegate:gate:1:{kind}:{QUEUE}" for kind in ("spill", "front", "kept"))
KEEPER = "tidegate:gate:1:keeper"


@pytest.fixture
def keeping_some(monkeypatch):
    """Fifty wait in front and behind, thirty go at once."""
    monkeypatch.setattr(keeping, "RESERVE", 50)
    monkeypatch.setattr(keeping, "_PORTION", 30)


@pytest.fixture
def keeper(broker_url, redis_client, tmp_path, keeping_some):
    redis_client.sadd(f"_kombu.binding.{QUEUE}", f"{QUEUE}\x06\x16\x06\x16{QUEUE}")
    made = []

    def make(directory="disk", **more):
        said = []
        made.append(Keeper(parse_address(broker_url), tmp_path / directory, say=said.append, **more))
        made[-1].said = said
        return made[-1]

    yield make
    for one in made:
        one.close()


def numbers(first, after):
    return [b"%d" % number for number in range(first, after)]


def spill(client, elements):
    push(client, elements, SIDE)


def taken(client, keeper, many=None):
    """What workers get: the front first, the side list only while nothing is on disk."""
    found = []
    while many is None or len(found) < many:
        said = client.hgetall(KEPT)
        on_disk = int(said.get(b"taken", 0)) > int(said.get(b"fed", 0))
        element = client.rpop(FRONT) or (None if on_disk else client.rpop(SIDE))
        if element is None:
            if not on_disk:
                break
            assert keeper.turn()
        else:
            found.append(element)
    return found


def test_what_waits_beside_the_queue_goes_to_disk_but_for_a_reserve_and_comes_back_in_order(keeper, redis_client):
    one = keeper()
    spill(redis_client, numbers(0, 1000))
    assert one.turn()
    assert (redis_client.llen(SIDE), redis_client.llen(FRONT)) == (50, 60)
    assert one.seen().messages == 1000 - 50 - 60
    assert taken(redis_client, one) == numbers(0, 1000)


def test_what_comes_while_others_wait_on_disk_waits_behind_them(keeper, redis_client):
    one = keeper()
    spill(redis_client, numbers(0, 400))
    one.turn()
    first = taken(redis_client, one, 100)
    spill(redis_client, numbers(400, 900))
    one.turn()
    assert first + taken(redis_client, one) == numbers(0, 900)


def test_a_few_that_wait_stay_where_they_are(keeper, redis_client):
    one = keeper()
    spill(redis_client, numbers(0, 50))
    one.turn()
    assert redis_client.llen(SIDE) == 50
    assert not redis_client.exists(KEPT)


def test_two_keepers_never_both_act_and_the_second_takes_over_when_the_first_ends(keeper, redis_client):
    one, other = keeper("one"), keeper("other")
    assert one.turn()
    assert not other.turn()
    assert "another keeper acts" in other.said[0]
    assert json.loads(redis_client.get(KEEPER))["store"] == one.store.id
    one.close()
    assert other.turn()


def test_another_disk_does_not_touch_a_list_that_waits_on_the_first(keeper, redis_client):
    one = keeper("one")
    spill(redis_client, numbers(0, 400))
    one.turn()
    one.close()
    other = keeper("other")
    spill(redis_client, numbers(400, 900))
    other.turn()
    assert redis_client.llen(SIDE) == 550
    assert "waits on another disk" in other.said[-1]
    assert "/one" in other.said[-1]


def test_a_directory_has_one_keeper(keeper):
    keeper()
    with pytest.raises(BadStore, match="in use by another process"):
        keeper()


def test_a_server_that_lost_its_memory_gets_back_what_is_on_disk(keeper, redis_client):
    one = keeper()
    spill(redis_client, numbers(0, 400))
    one.turn()
    redis_client.flushall()
    one.close()
    again = keeper()
    again.turn()
    assert taken(redis_client, again) == numbers(60, 350)
    assert "the server knows nothing of" in again.said[0]


def test_what_was_written_just_before_a_kill_is_not_doubled(keeper, redis_client):
    one = keeper()
    spill(redis_client, numbers(0, 400))
    one.store.append(QUEUE, numbers(0, 30))
    one.turn()
    assert taken(redis_client, one) == numbers(0, 400)


def test_a_purge_of_the_queue_takes_what_is_on_disk_with_it(keeper, redis_client):
    one = keeper()
    spill(redis_client, numbers(0, 400))
    one.turn()
    redis_client.hset(KEPT, "forget", redis_client.hget(KEPT, "taken"))
    redis_client.delete(SIDE, FRONT)
    one.turn()
    spill(redis_client, numbers(500, 700))
    one.turn()
    assert taken(redis_client, one) == numbers(500, 700)
    assert "was purged" in one.said[-1]


def test_a_purge_while_the_keeper_reads_its_disk_brings_nothing_back(keeper, redis_client, monkeypatch):
    one = keeper()
    spill(redis_client, numbers(0, 400))
    one.turn()
    redis_client.delete(FRONT)
    read, purged = one.store.oldest, []

    def read_and_then_purged(*arguments):
        piece = read(*arguments)
        if not purged:
            purged.append(EMPTY.run(redis_client, [], ["", QUEUE]))
        return piece

    monkeypatch.setattr(one.store, "oldest", read_and_then_purged)
    for _ in range(3):
        one.turn()
    assert purged == [400 - 60]
    assert not redis_client.exists(FRONT)
    spill(redis_client, numbers(500, 700))
    one.turn()
    assert taken(redis_client, one) == numbers(500, 700)


def test_a_disk_that_holds_as_much_as_it_may_leaves_the_rest_in_redis_and_says_so(keeper, redis_client):
    one = keeper(most_bytes=200_000)
    import os

    big = [os.urandom(2000) for _ in range(300)]
    spill(redis_client, big)
    one.turn()
    assert redis_client.hget(KEPT, "full") == b"1"
    assert "stays in Redis" in one.said[-1]
    assert redis_client.llen(SIDE) > 100
    assert taken(redis_client, one) == big


def test_the_disk_forgets_what_came_back_a_minute_ago_and_then_nothing_is_left_of_it(
    broker_url, redis_client, tmp_path, keeping_some
):
    now = [time.monotonic()]
    redis_client.sadd(f"_kombu.binding.{QUEUE}", f"{QUEUE}\x06\x16\x06\x16{QUEUE}")
    one = Keeper(parse_address(broker_url), tmp_path / "disk", clock=lambda: now[0])
    spill(redis_client, numbers(0, 400))
    one.turn()
    taken(redis_client, one)
    assert one.store.messages() == 350
    now[0] += 61
    one.turn()
    one.turn()
    assert one.store.messages() == 0
    assert not redis_client.exists(KEPT)
    one.close()


def test_an_outage_is_said_once_and_survived(keeper, redis_client, private_broker, tmp_path):
    server, now, said = private_broker(appendonly="yes", appendfsync="always"), [time.monotonic()], []
    one = Keeper(parse_address(server.url), tmp_path / "own", say=said.append, clock=lambda: now[0])
    assert one.turn()
    server.kill()
    assert not one.turn()
    server.restart()
    now[0] += 10
    assert one.turn()
    assert len([text for text in said if "can't be used" in text]) == 1
    one.close()


def test_the_program_ends_cleanly_and_says_what_is_on_the_disk(broker_url, redis_client, tmp_path):
    redis_client.sadd(f"_kombu.binding.{QUEUE}", f"{QUEUE}\x06\x16\x06\x16{QUEUE}")
    spill(redis_client, numbers(0, 5000))
    call = [sys.executable, "-m", "tidegate", "keep", "--dir", str(tmp_path / "disk"), broker_url]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True) as program:
        deadline = time.monotonic() + 60
        while not redis_client.exists(KEPT) and time.monotonic() < deadline:
            time.sleep(0.02)
        program.terminate()
        said = program.communicate(timeout=60)[1]
    assert program.returncode == 0
    assert "messages on disk" in said
    assert not redis_client.exists(KEEPER)


@pytest.fixture
def killed(monkeypatch, redis_client):
    """Ends a keeper between its disk and the server, as SIGKILL does: what is on the disk is there, and no script ran.

    This process lives on, so its word that it keeps is taken back: another one would wait until it expires.
    """

    def kill(one):
        with monkeypatch.context() as during:
            during.setattr(keeping.Kept, "_popped", dies)
            with pytest.raises(Died):
                one.turn()
        one.store.close()
        redis_client.delete(KEEPER)

    return kill


class Died(Exception):
    """What stands for SIGKILL within this process."""


def dies(*_):
    raise Died


@pytest.mark.parametrize("taken_by_workers", [0, 1, 29, 30, 45])
@pytest.mark.parametrize("spilled_before", [0, 400])
def test_workers_may_go_on_with_the_side_list_while_a_killed_keeper_is_missed(
    keeper, killed, redis_client, spilled_before, taken_by_workers
):
    one = keeper()
    if spilled_before:
        spill(redis_client, numbers(0, spilled_before))
        one.turn()
        assert taken(redis_client, one) == numbers(0, spilled_before)
    spill(redis_client, numbers(1000, 1400))
    killed(one)
    got = [redis_client.rpop(SIDE) for _ in range(taken_by_workers)]
    again = keeper()
    assert again.turn()
    assert got + taken(redis_client, again) == numbers(1000, 1400)


def test_a_purge_while_a_killed_keeper_is_missed_brings_nothing_back(keeper, killed, redis_client):
    one = keeper()
    spill(redis_client, numbers(0, 90))
    one.turn()
    spill(redis_client, numbers(90, 400))
    killed(one)
    EMPTY.run(redis_client, (), ("", QUEUE))
    spill(redis_client, numbers(400, 410))
    again = keeper()
    assert again.turn()
    assert taken(redis_client, again) == numbers(400, 410)


def test_an_emptied_server_gives_nothing_up_while_the_keeper_runs(keeper, redis_client):
    one = keeper()
    spill(redis_client, numbers(0, 400))
    one.turn()
    redis_client.flushall()
    spill(redis_client, numbers(400, 800))
    one.turn()
    one.turn()
    assert taken(redis_client, one) == [*numbers(60, 350), *numbers(400, 800)]


def test_a_full_server_is_relieved_in_order_and_each_message_once(keeper, redis_client):
    one = keeper()
    one.turn()
    spill(redis_client, numbers(0, 400))
    one._watched_s = float("-inf")
    redis_client.config_set("maxmemory", 1)
    try:
        for _ in range(3):
            one.turn()
        assert redis_client.llen(SIDE) < 400
    finally:
        redis_client.config_set("maxmemory", 0)
    assert one.turn()
    assert taken(redis_client, one) == numbers(0, 400)


@pytest.mark.parametrize("taken_by_workers", [0, 10])
def test_a_server_that_went_back_to_before_anything_was_parked_loses_nothing_the_disk_has(
    keeper, redis_client, taken_by_workers
):
    one = keeper()
    spill(redis_client, numbers(0, 400))
    one.turn()
    one.close()
    redis_client.delete(FRONT, SIDE, KEPT)
    spill(redis_client, numbers(0, 80))
    got = [redis_client.rpop(SIDE) for _ in range(taken_by_workers)]
    spill(redis_client, numbers(500, 510))
    again = keeper()
    assert again.turn()
    assert got + taken(redis_client, again) == [*numbers(0, 350), *numbers(500, 510)]


def test_what_a_keeper_sent_before_an_outage_is_refused_when_it_arrives_after(keeper, redis_client):
    one = keeper()
    one.turn()
    before = json.loads(redis_client.get(KEEPER))["token"]
    one._away("the line is cut")
    one._not_before_s = 0.0
    assert one.turn()
    assert json.loads(redis_client.get(KEEPER))["token"] != before
