"""Purge, move, dedupe and the acts on record, as an operator runs them on a real server."""

import importlib
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from backlog import message, message_of_protocol_1
from faces.hostile import TEXTS, invalid_names, not_messages
from faces.shell import Ran, assert_harmless, assert_harmless_json, call
from faces.test_read_only import LOOKERS, login
from tidegate.act.relief import arriving
from tidegate.act.relief.recording import Recorder
from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.demo.broker import PrivateBroker
from tidegate.facts.relief import Filter
from tidegate.facts.unknown import known

FLUSH, CHARGE = "screen.tasks.flush", "billing.charge"
URGENT = "celery\x06\x163"


@pytest.fixture(autouse=True)
def _backups_go_where_they_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def filled(redis_client: redis.Redis) -> redis.Redis:
    """Six plain ones and three urgent ones, oldest first: flush and charge by turns, an hour old, two that repeat."""
    now = time.time()
    redis_client.sadd("_kombu.binding.celery", b"celery\x06\x16\x06\x16celery")
    for n in range(6):
        redis_client.lpush("celery", message(f"p{n}", (FLUSH, CHARGE)[n % 2], [n // 4], enqueued_at=now - 3600 + n))
    for n in range(3):
        redis_client.lpush(URGENT, message(f"u{n}", FLUSH, [f"u{n}"], enqueued_at=now - 5))
    return redis_client


def everything(client: redis.Redis) -> dict[bytes, Any]:
    """Every key with all that it holds."""
    return {key: (client.dump(key), client.ttl(key)) for key in client.scan_iter()}


def tags(client: redis.Redis, key: str) -> list[str]:
    return [json.loads(element)["properties"]["delivery_tag"] for element in client.lrange(key, 0, -1)[::-1]]


def counted(ran: Ran) -> tuple[int, int, int]:
    """Scanned, removed, kept."""
    assert ran.code == 0, ran.said
    return ran.parsed["scanned"], ran.parsed["removed"], ran.parsed["kept"]


@pytest.mark.parametrize(
    ("command", "removed"),
    [
        (("purge", "celery", "--task", "screen.*"), 6),
        (("purge", "celery", "--task", "screen.*", "--older-than", "10m"), 3),
        (("purge", "celery", "--task", "screen.*", "--task", "*.charge"), 9),
        (("purge", "celery", "--args", "[1]"), 2),
        (("purge", "celery", "--kwargs", '{"no": 1}'), 0),
        (("purge", "celery", "--header", "lang=py", "--keep-newest", "1"), 2),
        (("purge", "celery", "--duplicates"), 2),
        (("purge", "celery", "--undecodable"), 0),
        (("purge", "celery", "--expired"), 0),
        (("move", "celery", "--to", "other", "--origin", "nobody"), 0),
        (("move", "celery", "--to", "other", "--task", "*"), 9),
        (("dedupe", "celery"), 2),
        (("dedupe", "celery", "--keep", "newest", "--task", "*.charge"), 1),
    ],
)
def test_a_dry_run_counts_what_would_go_and_writes_nothing(command, removed, filled, broker_url):
    before = everything(filled)
    assert counted(call(*command, broker_url, "--json")) == (9, removed, 9 - removed)
    shown = call(*command, broker_url)
    assert f"of 9 messages {removed}" in shown.shown
    assert "A dry run: nothing was changed." in shown.shown
    assert shown.said == ""
    assert everything(filled) == before


def test_a_dry_run_shows_what_would_go_by_task_with_examples(filled, broker_url):
    ran = call("purge", "celery", broker_url, "--older-than", "10m", "--json").parsed
    assert [(row["name"], row["count"]) for row in ran["by_task"]] == [(CHARGE, 3), (FLUSH, 3)]
    assert ran["removed_bytes"] == sum(row["bytes"] for row in ran["by_task"])
    assert sorted(ran["examples"])[0].startswith(f"{CHARGE}(0), 60 minutes old")
    assert len(ran["examples"]) == 5
    assert (ran["age_by"], ran["dry_run"], ran["id"]) == ("stamps", True, "")


def test_what_is_meant_goes_from_all_priorities_and_the_rest_stays_in_its_order(filled, broker_url, tmp_path):
    ran = call("purge", "celery", broker_url, "--task", "screen.*", "--yes", "--json")
    assert counted(ran) == (9, 6, 3)
    assert (tags(filled, "celery"), tags(filled, URGENT)) == (["p1", "p3", "p5"], [])
    [backup] = tmp_path.iterdir()
    assert ran.said == ""
    assert ran.parsed["backup"].endswith(backup.name)
    assert ran.parsed["backup"] is not None


def test_what_was_removed_is_back_in_front_after_undo(filled, broker_url):
    before = tags(filled, "celery"), tags(filled, URGENT)
    id_ = call("purge", "celery", broker_url, "--task", "*", "--yes", "--json").parsed["id"]
    assert id_ in call("relief", "undo", id_, broker_url).shown
    assert filled.llen("celery") == 0
    assert "9 messages back in the queue" in call("relief", "undo", id_, broker_url, "--yes").shown
    assert (tags(filled, "celery"), tags(filled, URGENT)) == before


def test_what_is_moved_keeps_its_order_and_its_priority(filled, broker_url, tmp_path):
    assert counted(call("move", "celery", broker_url, "--to", "slow", "--task", FLUSH, "--yes", "--json")) == (9, 6, 3)
    assert (tags(filled, "slow"), tags(filled, "slow\x06\x163")) == (["p0", "p2", "p4"], ["u0", "u1", "u2"])
    assert list(tmp_path.iterdir()) == []


def test_dedupe_leaves_one_of_each_the_oldest_or_the_newest(filled, broker_url):
    assert counted(call("dedupe", "celery", broker_url, "--yes", "--no-backup", "--json")) == (9, 2, 7)
    assert tags(filled, "celery") == ["p0", "p1", "p4", "p5"]
    filled.lpush("celery", message("p6", FLUSH, [0]))
    assert counted(call("dedupe", "celery", broker_url, "--keep", "newest", "--yes", "--no-backup", "--json")) == (
        8,
        1,
        7,
    )
    assert tags(filled, "celery") == ["p1", "p4", "p5", "p6"]


@pytest.mark.parametrize("keep", ["oldest", "newest"])
def test_of_repeats_in_several_priorities_the_urgent_one_stays(keep, redis_client, broker_url):
    for key in ("celery", URGENT, "celery\x06\x169"):
        redis_client.lpush(key, message(f"{key}-1"), message(f"{key}-2"))
    expected = "celery-1" if keep == "oldest" else "celery-2"
    assert counted(call("dedupe", "celery", broker_url, "--keep", keep, "--json")) == (6, 5, 1)
    assert counted(call("dedupe", "celery", broker_url, "--keep", keep, "--yes", "--no-backup", "--json")) == (6, 5, 1)
    assert (tags(redis_client, "celery"), redis_client.llen(URGENT)) == ([expected], 0)


@pytest.mark.parametrize("protocol_1_first", [True, False])
def test_messages_of_protocol_1_are_meant_as_well(protocol_1_first, redis_client, broker_url):
    pushed = [message_of_protocol_1("old", FLUSH, [1]), message("new", FLUSH, [1]), b"{"]
    redis_client.lpush("celery", *(pushed if protocol_1_first else pushed[::-1]))
    ran = call("purge", "celery", broker_url, "--task", FLUSH, "--args", "[1]", "--json")
    assert counted(ran) == (3, 2, 1)
    assert ran.parsed["undecodable"] == 1


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (("purge", "celery"), 4, "name what to take, such as --task '*'"),
        (("move", "celery", "--to", "other"), 4, "name what to take"),
        (("move", "celery", "--to", "celery", "--task", "*"), 4, "celery is the queue itself"),
        (("purge", "celry", "--task", "*"), 3, "did you mean 'celery'?"),
        (("purge", "text", "--task", "*"), 3, "is no queue"),
        (("relief", "show", "purge-1"), 3, "no act 'purge-1'"),
        (("relief", "resume", "purge-1", "--yes"), 3, "no act 'purge-1'"),
        (("purge", "celery", "--task", "*", "--no-backup"), 2, "only together with --yes"),
        (("purge", "celery", "--task", "*", "--yes", "--no-backup", "--backup", "x"), 2, "exclude each other"),
        (("purge", "celery", "--task", "*", "--revoke"), 2, "name the application with -A"),
        (("purge", "celery", "--undecodable", "--task", "*"), 2, "only the age can be told"),
        (("purge", "celery", "--duplicates", "--keep-newest", "2"), 2, "--duplicates is --keep-oldest 1"),
        (("purge", "celery", "--args", "{}"), 2, "expected JSON such as"),
        (("purge", "celery", "--kwargs", "[1"), 2, "expected JSON such as"),
        (("purge", "celery", "--header", "lang"), 2, "expected a header as NAME=VALUE"),
        (("purge", "celery", "--older-than", "soon"), 2, "expected a duration"),
        (("purge", "celery", "--keep-newest", "0"), 2, "x>=1"),
        (("purge", "celery", "--task", "*", "--yes", "--backup", "/no/such/place/file"), 4, "/no/such/place"),
    ],
)
def test_what_can_not_be_done_is_one_line_and_changes_nothing(command, code, said, filled, broker_url):
    filled.set("text", "no list")
    before = everything(filled)
    ran = call(*command, broker_url)
    assert (ran.code, ran.out) == (code, b"")
    assert said in ran.said
    assert {key: held for key, held in everything(filled).items() if b"tidegate" not in key} == before


@pytest.mark.filterwarnings("ignore:Call to deprecated")
def test_results_of_what_is_removed_are_revoked_when_asked(redis_client, backend_url, tmp_path, monkeypatch):
    redis_client.lpush("celery", message("m1", FLUSH), message("m2", CHARGE))
    (tmp_path / "revoking_proj.py").write_text(
        f"from celery import Celery\napp = Celery('revoking_proj', broker={backend_url!r}, backend={backend_url!r})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    ran = call("purge", "celery", "-A", "revoking_proj", "--task", FLUSH, "--revoke", "--yes", "--json")
    assert counted(ran) == (2, 1, 1)
    assert "results revoked: 1" in ran.parsed["notes"]
    assert json.loads(redis_client.get("celery-task-meta-id-m1"))["status"] == "REVOKED"
    assert redis_client.get("celery-task-meta-id-m2") is None
    backend = importlib.import_module("revoking_proj").app.backend
    backend.result_consumer.stop()
    backend.client.connection_pool.disconnect()


def test_ctrl_c_in_the_middle_leaves_an_act_that_is_ended_by_hand(filled, broker_url, monkeypatch):
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Recorder, "seal", stop)
    ran = call("purge", "celery", broker_url, "--task", FLUSH, "--yes")
    assert ran.code == 130
    assert "is half done: tidegate relief resume purge-" in ran.said
    monkeypatch.undo()
    [row] = call("relief", "list", broker_url, "--json").parsed
    assert row["state"] == "interrupted"
    assert f"{row['id']} was interrupted" in call("relief", "list", broker_url).shown
    assert counted(call("relief", "resume", row["id"], broker_url, "--yes", "--json")) == (9, 6, 3)
    assert tags(filled, "celery") == ["p1", "p3", "p5"]


def test_sigterm_ends_it_as_ctrl_c_does(filled, broker_url, monkeypatch):
    monkeypatch.setattr(Recorder, "seal", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    ran = call("purge", "celery", broker_url, "--task", FLUSH, "--yes")
    assert ran.code == 130
    assert "is half done: tidegate relief resume purge-" in ran.said
    assert not filled.keys("tidegate:relief:1:aside:*")


@pytest.mark.parametrize(
    "words", [("--task", ""), ("--task", "*", "--max-stall-ms", "nan"), ("--older-than", "nan")], ids=" ".join
)
def test_what_means_nothing_is_no_filter(words, filled, broker_url):
    assert call("purge", "celery", broker_url, *words, "--yes").code == 2
    assert not filled.keys("tidegate:*")


def test_ctrl_c_in_a_dry_run_changed_nothing(filled, broker_url, monkeypatch):
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tidegate.relieving.look_over", stop)
    ran = call("purge", "celery", broker_url, "--task", FLUSH)
    assert (ran.code, ran.said) == (130, "tidegate: interrupted; nothing was changed\n")


def test_the_acts_are_shown_as_they_were_wanted(filled, broker_url):
    assert "No act on a queue is on record." in call("relief", "list", broker_url).shown
    id_ = call("purge", "celery", broker_url, "--args", "[1]", "--yes", "--json").parsed["id"]
    shown = call("relief", "show", id_, broker_url).shown
    assert '{"args": [1]}' in shown
    assert call("relief", "show", id_, broker_url, "--json").parsed["state"] == "done"
    assert call("relief", "resume", id_, broker_url, "--yes").code == 4


@pytest.mark.parametrize("user", LOOKERS)
def test_a_user_who_may_only_read_can_make_a_dry_run(user, valkey: PrivateBroker, filled):
    assert counted(call("purge", "celery", login(valkey, user, LOOKERS[user]), "--task", FLUSH, "--json")) == (9, 6, 3)


def test_a_user_who_may_only_read_is_refused_the_act_itself(valkey: PrivateBroker, filled):
    ran = call("purge", "celery", login(valkey, "reads", LOOKERS["reads"]), "--task", FLUSH, "--yes")
    assert (ran.code, filled.llen("celery")) == (3, 6)
    assert ran.said.count("\n") == 1


def test_nothing_in_a_message_steers_the_terminal(redis_client, broker_url):
    for place, text in enumerate(TEXTS):
        redis_client.lpush("celery", message(f"m{place}", text, [text], {"k": text}))
    redis_client.lpush("celery", *not_messages(), *invalid_names())
    for wanted in (("--task", "*"), ("--undecodable",)):
        assert_harmless(call("purge", "celery", broker_url, *wanted))
        assert_harmless_json(call("purge", "celery", broker_url, *wanted, "--json"))


def test_an_age_without_stamps_is_told_by_the_arrivals_that_are_measured(redis_client, broker_url, monkeypatch):
    monkeypatch.setattr(arriving, "WINDOW_S", 0.5)
    redis_client.lpush("celery", *(message(f"m{n}") for n in range(1000)))
    still = call("purge", "celery", broker_url, "--older-than", "1s", "--json")
    assert counted(still) == (1000, 0, 1000)
    assert "1,000 messages can't be told" in still.parsed["notes"][0]

    enough = threading.Event()
    producer = threading.Thread(target=publish, args=(broker_url, enough))
    producer.start()
    try:
        flowing = call("purge", "celery", broker_url, "--older-than", "1s", "--json")
    finally:
        enough.set()
        producer.join()
    assert flowing.parsed["age_by"] == "position"
    assert flowing.parsed["removed"] > 0
    assert flowing.parsed["kept"] > 0


def publish(url: str, enough: threading.Event) -> None:
    """About a hundred a second, until it is enough."""
    with redis.Redis.from_url(url) as client:
        number = 0
        while not enough.wait(0.01):
            number += 1
            client.lpush("celery", message(f"more-{number}"))


def test_arrivals_are_not_measured_where_every_message_is_stamped(filled, broker_url):
    with connect(parse_address(broker_url)) as broker:
        began = time.monotonic()
        assert not known(arriving.arrival_of(broker, "celery", ["celery", URGENT], Filter(older_than_s=5)))
        assert time.monotonic() - began < arriving.WINDOW_S / 2
