"""`tidegate backup`, `inspect` and `restore` as people run them."""

import base64
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from faces.shell import assert_harmless, assert_harmless_json, assert_one_line, call

LONGEST_S = 5.0


def message(task, number, queue="celery"):
    body = base64.b64encode(json.dumps([[number], {}, {}]).encode()).decode()
    headers = {"task": task, "id": f"id-{number}", "root_id": f"id-{number}"}
    properties = {
        "body_encoding": "base64",
        "delivery_tag": f"tag-{number}",
        "delivery_info": {"exchange": "", "routing_key": queue},
    }
    outside = {"body": body, "content-encoding": "utf-8", "content-type": "application/json"}
    return json.dumps({**outside, "headers": headers, "properties": properties}).encode()


@pytest.fixture
def messages(redis_client):
    """A queue of twelve messages, of which two can wait; all of them, as they will leave."""
    plain, idle = [message("t.plain", n) for n in range(10)], [message("t.idle", n) for n in range(10, 12)]
    redis_client.sadd("_kombu.binding.celery", b"celery\x06\x16\x06\x16celery")
    redis_client.lpush("celery", *plain)
    redis_client.lpush("celery\x06\x169", *idle)
    return plain + idle


def held(client, queue="celery"):
    return [one for key in (queue, f"{queue}\x06\x169") for one in reversed(client.lrange(key, 0, -1))]


def test_copied_looked_into_and_put_back(broker_url, redis_client, messages, tmp_path):
    file = str(tmp_path / "celery.tidegate")
    copied = call("backup", "celery", file, broker_url, "--json")
    assert copied.code == 0, copied.said
    assert (copied.parsed["messages"], copied.parsed["by_priority"]) == (12, {"0": 10, "9": 2})

    found = call("inspect", file, "--json", "-n", "12")
    assert_harmless_json(found)
    assert [row["id"] for row in found.parsed["shown"]] == [f"id-{n}" for n in range(12)]
    assert {row["name"]: row["count"] for row in found.parsed["census"]["by_task"]} == {"t.plain": 10, "t.idle": 2}
    assert found.parsed["created_at"].endswith("Z")

    redis_client.flushall()
    dry = call("restore", file, broker_url, "--json")
    assert (dry.parsed["restored"], dry.parsed["dry_run"]) == (12, True)
    assert redis_client.keys("*") == []
    done = call("restore", file, broker_url, "--json", "--yes")
    assert (done.parsed["restored"], done.parsed["state"]) == (12, "done")
    assert held(redis_client) == messages


def test_the_same_for_people(broker_url, redis_client, messages, tmp_path):
    file = str(tmp_path / "celery.tidegate")
    assert "12 messages" in call("backup", "celery", file, broker_url).shown
    found = call("inspect", file)
    assert_harmless(found)
    assert "format 1" in found.shown
    assert "t.plain" in found.shown
    dry = call("restore", file, broker_url, "-Q", "other")
    assert "12 messages would go back to other" in dry.shown
    assert "A dry run" in dry.shown
    assert "12 messages of 12 put back to other" in call("restore", file, broker_url, "-Q", "other", "--yes").shown
    assert "12 there already" in call("restore", file, broker_url, "--yes").shown
    assert len(held(redis_client)) == len(held(redis_client, "other")) == 12


def test_a_broker_url_in_the_place_of_the_queue_or_the_file_is_never_shown(tmp_path):
    url = "redis://:hunter-two@localhost:1/0"
    for words in (("backup", url, "celery"), ("backup", "celery", url)):
        ran = call(*words)
        assert (ran.code, "hunter" in ran.said) == (2, False)
        assert "stands last" in ran.said


@pytest.mark.parametrize("command", ["inspect", "restore"])
def test_a_file_that_is_none_of_ours_is_told_in_one_line(broker_url, tmp_path, command):
    file = tmp_path / "dump.rdb"
    file.write_bytes(b"REDIS0011" + b"\x00" * 100)
    where = (broker_url,) if command == "restore" else ()
    ran = call(command, str(file), *where)
    assert_one_line(ran, longest_s=LONGEST_S)
    assert "it looks like a dump of Redis" in ran.said
    assert_one_line(call(command, str(tmp_path / "none"), *where), longest_s=LONGEST_S)


@pytest.mark.usefixtures("messages")
def test_a_damaged_file_is_told_with_its_place_and_can_be_salvaged(broker_url, tmp_path):
    file = tmp_path / "celery.tidegate"
    call("backup", "celery", str(file), broker_url)
    altered = bytearray(file.read_bytes())
    altered[len(altered) // 2] ^= 1
    file.write_bytes(altered)
    for words in (("inspect", str(file)), ("restore", str(file), broker_url, "--yes")):
        ran = call(*words)
        assert_one_line(ran, longest_s=LONGEST_S)
        assert "is damaged at byte" in ran.said
    found = call("inspect", str(file), "--salvage")
    assert "not whole" in found.shown
    assert "damaged at byte" in found.shown


@pytest.mark.usefixtures("messages")
def test_no_file_is_written_over(broker_url, tmp_path):
    file = tmp_path / "celery.tidegate"
    file.write_bytes(b"precious")
    ran = call("backup", "celery", str(file), broker_url)
    assert (ran.code, file.read_bytes()) == (4, b"precious")
    assert "refused" in ran.said


@pytest.mark.usefixtures("messages")
def test_ctrl_c_leaves_a_restore_to_go_on_with(broker_url, redis_client, tmp_path):
    file = str(tmp_path / "celery.tidegate")
    call("backup", "celery", file, broker_url)
    command = [
        sys.executable,
        "-m",
        "tidegate",
        "restore",
        file,
        broker_url,
        "-Q",
        "other",
        "--max-depth",
        "5",
        "--yes",
    ]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 20
    while len(held(redis_client, "other")) < 5:
        assert time.monotonic() < deadline
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=20)
    assert child.returncode == 130
    assert "interrupted; 7 messages left: tidegate relief resume restore-" in said
    id_ = said.rpartition("resume ")[2].split()[0]
    assert len(held(redis_client, "other")) == 5
    ended = call("relief", "rollback", id_, broker_url, "--yes")
    assert ended.code == 0, ended.said
    assert len(held(redis_client, "other")) == 5
    assert call("restore", file, broker_url, "-Q", "other", "--yes", "--json").parsed["there"] == 5


def test_the_operator_of_the_production_page_may_do_all_that_they_need(private_broker, tmp_path):
    server, file = private_broker(), str(tmp_path / "celery.tidegate")
    page = (Path(__file__).parents[2] / "docs/howto/production.md").read_text()
    [rules] = re.findall(r"^ACL SETUSER operator on >PASSWORD (.*)$", page, re.MULTILINE)
    server.ask("ACL", "SETUSER", "operator", "on", ">secret", *rules.split())
    url = server.url.replace("redis://", "redis://operator:secret@")
    server.ask("LPUSH", "celery", *(message("t", n).decode() for n in range(5)))
    server.ask("ZADD", "unacked_index", str(time.time()), "tag-3")
    for words in (("backup", "celery", file, url), ("restore", file, url, "-Q", "other", "--yes")):
        ran = call(*words)
        assert ran.code == 0, ran.said
    assert server.ask("LLEN", "other") == 4
