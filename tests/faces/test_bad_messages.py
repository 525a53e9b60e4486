"""Hostile content: every command shows it as it is, executes none of it, and lets no control character through."""

import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from broker.elements import element, with_headers
from faces.hostile import TEXTS, bombs, invalid_names, not_messages, of_bytes, texts_everywhere
from faces.shell import (
    COMMANDS,
    LONGEST_S,
    Ran,
    assert_every_command_is_harmless,
    assert_harmless,
    assert_one_line,
    call,
    run,
    words,
)

BINDINGS = "_kombu.binding.celery"
MOST_MB = 400
LARGE_S = 10.0
ALL = ("-n", "10000")


def bound(name: bytes) -> bytes:
    return b"\x06\x16".join((name, b"", name))


@pytest.fixture
def client(redis_client: redis.Redis) -> Iterator[redis.Redis]:
    """An empty database, but for the binding of the queue `celery`."""
    redis_client.sadd(BINDINGS, bound(b"celery"))
    yield redis_client


# --- Texts


def test_no_text_in_a_message_steers_the_terminal(client: redis.Redis, broker_url: str) -> None:
    elements = texts_everywhere()
    client.lpush("celery", *elements)
    client.hset("unacked", mapping={f"tag{i}": b'[%s, "\\u001b[2J", "[/x]"]' % data for i, data in enumerate(elements)})
    client.zadd("unacked_index", {f"tag{i}": 1.7e9 for i in range(len(elements))})
    assert_every_command_is_harmless(broker_url)
    shown = call("peek", "celery", broker_url, *ALL).shown
    assert r"\x1b[2J\x1b[31mred" in shown
    assert "[bold red]markup[/bold red]" in shown
    assert r"one\x0atwo" in shown


def test_the_program_itself_is_as_careful(client: redis.Redis, broker_url: str) -> None:
    client.lpush("celery", *texts_everywhere(), *invalid_names(), *not_messages())
    for command in (COMMANDS[0], COMMANDS[4], COMMANDS[8]):
        assert_harmless(run(*words(command, broker_url)))


def test_no_name_of_a_key_steers_the_terminal(client: redis.Redis, broker_url: str) -> None:
    names = [text.encode("utf-8", "surrogatepass") for text in TEXTS] + [
        b"\xff\xfe\x00\x9b31m",
        b" ",
        b"-",
        b"a" * 70_000,
    ]
    for name in names:
        client.lpush(name, element())
        client.lpush(name + b"\x06\x163", element())
        client.set(b"celery-task-meta-" + name, name)
        client.set(b"other:" + name, name)
        client.sadd(BINDINGS, bound(name))
        client.sadd(b"_kombu.binding." + name, bound(name), name, b"", b"\x06\x16", b"!" * 50_000)
    assert_every_command_is_harmless(broker_url)
    seen = {row["name"]: row["depth"] for row in call("queues", broker_url, "--window", "0.2", "--json").parsed}
    for name in names:
        assert seen[name.decode("utf-8", "surrogateescape")] == 2


def test_a_queue_of_any_name_can_be_asked_for(client: redis.Redis, broker_url: str) -> None:
    name = b"\xff\xfe\x9b31m\x1b[2J" + "漢\u202e[/x]".encode()
    client.lpush(name, element())
    for look in (["peek", name], ["census", name, "--exact"], ["queues", "-Q", name, "--window", "0.2"]):
        assert_harmless(run(*look, broker_url))


def test_where_the_name_is_not_found_it_is_shown_harmlessly(client: redis.Redis, broker_url: str) -> None:
    for text in TEXTS[:-1]:
        if "\0" not in text and "\ud800" not in text:
            client.lpush(f"{text}s", element())
            assert_one_line(call("peek", text, broker_url), longest_s=2)


def test_a_key_prefix_of_another_application_is_shown_harmlessly(redis_client: redis.Redis, broker_url: str) -> None:
    redis_client.sadd("\x1b[2J[/x]\n_kombu.binding.celery", bound(b"celery"))
    ran = call("doctor", broker_url)
    assert_one_line(ran, longest_s=2)
    assert "global_keyprefix" in ran.said


def test_a_terminal_that_knows_ascii_alone_gets_the_rest_written_out(client: redis.Redis, broker_url: str) -> None:
    client.lpush("celery", with_headers(task="漢字.é"))
    for command in (COMMANDS[0], COMMANDS[4]):
        ran = run(*words(command, broker_url), environment={"PYTHONIOENCODING": "ascii"})
        assert_harmless(ran)
        assert ran.out.isascii()


def test_a_progress_bar_takes_no_name_for_markup(client: redis.Redis, broker_url: str) -> None:
    """Only a terminal gets one, so here is one."""
    name = "[/closes nothing][bold]\x1b]0;title\x07"
    client.lpush(name, *[element()] * 3000)
    shown = _on_a_terminal("census", name, broker_url, "--exact")
    assert "Traceback" not in shown
    assert "could not look" not in shown
    assert "]0;title\x07" not in shown


def _on_a_terminal(*arguments: str) -> str:
    """What stands on a terminal that is the stderr of the command."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tidegate", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"},
    )
    os.close(theirs)
    watch = threading.Timer(LONGEST_S, process.kill)
    watch.start()
    shown = b""
    try:
        while data := os.read(ours, 4096):
            shown += data
    except OSError:
        # Linux reports the end of a terminal as an error.
        pass
    finally:
        process.wait()
        watch.cancel()
        os.close(ours)
    return shown.decode(errors="replace")


# --- Elements


def test_what_is_no_message_is_counted_as_undecodable(client: redis.Redis, broker_url: str) -> None:
    odd = not_messages()
    client.lpush("celery", *odd, *[element()] * 3)
    assert_every_command_is_harmless(broker_url)
    for how in ("--exact", "--sample"):
        counted = call("census", "celery", broker_url, how, "--json").parsed
        assert counted["undecodable"] == len(odd)
        assert [(row["name"], row["count"]) for row in counted["by_task"]] == [("shop.tasks.bill", 3)]
        assert f"undecodable: {len(odd)}" in call("census", "celery", broker_url, how).shown
    peeked = call("peek", "celery", broker_url, *ALL, "--json").parsed
    assert sum(row["undecodable"] is not None for row in peeked) == len(odd)


def test_a_queue_of_another_program_is_undecodable_not_empty(client: redis.Redis, broker_url: str) -> None:
    client.lpush("celery", *[b"rq:job:%d" % number for number in range(50)])
    assert_every_command_is_harmless(broker_url)
    counted = call("census", "celery", broker_url, "--json").parsed
    assert (counted["messages"], counted["undecodable"], counted["by_task"]) == (50, 50, [])


def test_task_names_that_are_no_text_are_shown_and_counted(client: redis.Redis, broker_url: str) -> None:
    client.lpush("celery", *invalid_names())
    assert_every_command_is_harmless(broker_url)
    counted = call("census", "celery", broker_url, "--exact", "--json").parsed
    assert counted["undecodable"] + sum(row["count"] for row in counted["by_task"]) == 3


def test_no_byte_of_a_message_is_executed(client: redis.Redis, broker_url: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    elements = bombs(canary)
    client.lpush("celery", *elements)
    client.hset("unacked", mapping={f"tag{i}": b'[%s, "", ""]' % data for i, data in enumerate(elements)})
    client.zadd("unacked_index", {f"tag{i}": 1.7e9 for i in range(len(elements))})
    assert_every_command_is_harmless(broker_url)
    assert_harmless(run("peek", "celery", broker_url, *ALL))
    assert not canary.exists()


@pytest.mark.quiet
@pytest.mark.parametrize("beside", [0, 2000])
def test_a_message_of_fifty_megabytes_costs_bounded_memory_and_time(
    beside: int, client: redis.Redis, broker_url: str
) -> None:
    client.lpush("celery", of_bytes(50_000_000))
    if beside:
        client.lpush("celery", *[element()] * beside)
        client.rpush("celery", *[element()] * beside)
    for command in (COMMANDS[0], COMMANDS[4], COMMANDS[6]):
        assert_bounded(run(*words(command, broker_url)))


@pytest.mark.quiet
def test_several_of_them_cost_hardly_more_than_one(client: redis.Redis, broker_url: str) -> None:
    for _ in range(4):
        client.lpush("celery", of_bytes(50_000_000))
    for command in (COMMANDS[0], COMMANDS[6], COMMANDS[8]):
        assert_bounded(run(*words(command, broker_url)))


def assert_bounded(ran: Ran) -> None:
    assert_harmless(ran)
    assert ran.peak_mb < MOST_MB
    assert ran.took_s < LARGE_S
