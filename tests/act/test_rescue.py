"""A rescue of a full server, killed wherever it can be, loses nothing, doubles nothing, and keeps the order."""

import pytest

from act.full_server import QUEUE, Boundaries, FullServer, Killed, draining, rescued_with_a_kill_at
from tidegate.act.relief import acts
from tidegate.act.rescue.rescuing import plan
from tidegate.broker import rescue as hand
from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.errors import NothingFound, Refused
from tidegate.facts.relief import Act, State


@pytest.fixture
def full(private_broker):
    server = FullServer(private_broker(maxmemory="8mb", maxmemory_policy="noeviction"))
    server.fill()
    return server


def acts_of(server):
    with connect(parse_address(server.broker.url)) as broker:
        return acts.rows_of(broker)


# The proof kills at every boundary (tests/proof/test_a_full_redis_is_rescued.py).
@pytest.mark.parametrize("kill_at", [11, 30, 47])
def test_a_killed_rescue_that_is_gone_on_with_leaves_every_message_once_and_in_order(
    full, tmp_path, monkeypatch, kill_at
):
    boundaries = rescued_with_a_kill_at(full, tmp_path, monkeypatch, kill_at)

    assert boundaries.killed
    assert full.order() == list(range(full.published))
    assert [(row.act, row.state) for row in acts_of(full)] == [(Act.RESCUE, State.DONE)]


def test_a_server_that_lost_everything_gets_back_what_is_on_disk(full, tmp_path, monkeypatch):
    filled = full.published
    with draining(full, monkeypatch), Boundaries(34).watching(monkeypatch), pytest.raises(Killed):
        full.rescue(tmp_path)
    full.redis.flushall()

    done = full.rescue(tmp_path)

    assert done.done and done.kept >= 5
    assert full.order() == list(range(filled - done.kept, filled))


@pytest.mark.parametrize(("kept_at", "killed_at"), [(25, 30), (60, 30), (75, 12)])
def test_a_server_that_comes_back_a_moment_younger_makes_the_directory_younger_too(
    full, tmp_path, monkeypatch, kept_at, killed_at
):
    with draining(full, monkeypatch, publishing=0):
        with Boundaries(kept_at).watching(monkeypatch), pytest.raises(Killed):
            full.rescue(tmp_path)
        full.broker.ask("SAVE")
        with Boundaries(killed_at).watching(monkeypatch), pytest.raises(Killed):
            full.rescue(tmp_path)
        full.broker.kill()
        full.broker.restart()
        full.rescue(tmp_path)

    assert full.order() == list(range(full.published))
    assert any("no longer knows" in sentence for sentence in full.said)


def test_where_workers_came_to_the_end_while_nobody_fed_them_the_disk_is_still_before_what_came_since(
    full, tmp_path, monkeypatch
):
    with draining(full, monkeypatch, publishing=0), Boundaries(34).watching(monkeypatch), pytest.raises(Killed):
        full.rescue(tmp_path)
    full.consume(100)
    full.publish(12)
    monkeypatch.setattr(hand, "MOST_ABOVE", 5)

    done = full.rescue(tmp_path)

    assert full.order() == list(range(full.published))
    assert done.late >= 10


def test_a_queue_under_rescue_is_in_no_other_hand_and_its_directory_neither(full, tmp_path, monkeypatch):
    with Boundaries(14).watching(monkeypatch), pytest.raises(Killed):
        full.rescue(tmp_path / "one")

    with pytest.raises(Refused, match=f"{QUEUE} is in the hand of another act, rescue-"):
        full.rescue(tmp_path / "two")
    with connect(parse_address(full.broker.url)) as broker, pytest.raises(Refused, match="in the hand of another act"):
        acts.begin(broker, Act.PURGE, QUEUE)
    with connect(parse_address(full.broker.url)) as broker, pytest.raises(Refused, match=r"--dir .*one --yes"):
        acts.claim(broker, acts_of(full)[0].id)
    assert acts_of(full)[0].backup == str(tmp_path / "one")


def test_a_dry_run_says_how_much_would_go_and_changes_nothing(full, tmp_path):
    before = full.order()

    found = plan(parse_address(full.broker.url), tmp_path / "none", None, None, 5.0)

    assert found.dry_run and 15 <= found.removed <= 30 and found.free_bytes == 2 << 20
    assert full.order() == before and not (tmp_path / "none").exists()
    assert acts_of(full) == []


@pytest.mark.parametrize(
    ("config", "messages", "queue", "kind", "why"),
    [
        ({}, 1, None, Refused, "no memory limit"),
        ({"maxmemory": "8mb"}, 1, None, Refused, "workers can start"),
        ({"maxmemory": "8mb", "maxmemory_policy": "allkeys-lru"}, 1, None, Refused, "noeviction first"),
        ({"maxmemory": "8mb"}, 10**9, "celry", NothingFound, "did you mean 'celery'"),
    ],
)
def test_what_can_not_be_rescued_is_refused_with_a_word(private_broker, tmp_path, config, messages, queue, kind, why):
    server = FullServer(private_broker(**config))
    server.fill(messages)

    with pytest.raises(kind, match=why):
        server.rescue(tmp_path, queue=queue)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_other_keys_fill_is_left_to_them_by_name(private_broker, tmp_path):
    server = FullServer(private_broker(maxmemory="8mb"))
    server.fill(3)
    for number in range(100):
        server.broker.ask("SET", f"celery-task-meta-{number}", "x" * 200_000)

    with pytest.raises(Refused, match="results fill the server"):
        server.rescue(tmp_path)


def test_a_directory_that_is_in_use_or_of_another_queue_is_refused(full, tmp_path, monkeypatch):
    with Boundaries(14).watching(monkeypatch), pytest.raises(Killed):
        full.rescue(tmp_path)

    with pytest.raises(Refused, match="holds messages of the queue 'celery'"):
        full.rescue(tmp_path, queue="mail")
