"""What `tidegate unacked` prints: hostile names, narrow terminals, keys of another kind, and a database without any."""

import io
import json

import pytest
from rich.console import Console

from faces.hostile import TEXTS
from faces.shell import assert_harmless, assert_harmless_json, assert_one_line, call, steering
from tidegate.cli.unacked_tables import show_held, show_put_back
from tidegate.facts.unacked import DeadWorker, HeldLook, HeldMessage, PutBack
from tidegate.observe.unacked import NO_OWNER


def a_message(**changes):
    facts = {
        "id": "id-1", "task": "shop.tasks.charge", "queue": "celery", "age_s": 2460.0, "eta": None, "deferred": False,
        "redelivered": False, "worker": "celery@web2", "alive": False, "delivery_tag": "tag", "size_bytes": 800,
    }  # fmt: skip
    return HeldMessage(**facts | changes)


def printed(show, found, width=160):
    out = Console(file=io.StringIO(), width=width)
    show(found, out)
    return out.file.getvalue()


def test_a_message_shows_who_holds_it_for_how_long_and_whether_he_lives():
    text = printed(show_held, HeldLook(total=12, messages=(a_message(), a_message(worker=NO_OWNER, alive=NO_OWNER))))
    first, second = text.splitlines()[1:3]
    assert first.split()[:5] == ["shop.tasks.charge", "id-1", "celery", "41", "minutes"]
    assert "celery@web2  silent or gone" in first
    assert second.split()[-4:] == ["unknown", "?", "800", "B"]
    assert "12 held in all, 10 not shown" in text


@pytest.mark.parametrize("text", TEXTS)
def test_no_name_can_steer_the_terminal(text):
    message = a_message(id=text, task=text, queue=text, worker=text, eta=text)
    dead = DeadWorker(worker="w", node=text, why=text, messages=1)
    shown = printed(show_held, HeldLook(total=1, messages=(message,)))
    shown += printed(show_put_back, PutBack(found=1, workers=(dead,), by_queue={text: 1}))
    assert steering(shown.replace("\n", "")) == set()


@pytest.mark.parametrize("width", [30, 80])
def test_no_number_is_cut_however_narrow_the_terminal_is(width):
    dead = DeadWorker(
        worker="w", node="celery@web2", why="its process 4711 on this machine is gone", messages=1_234_567
    )
    text = printed(show_put_back, PutBack(found=1_234_567, workers=(dead,), by_queue={"celery": 1_234_567}), width)
    assert text.count("1,234,567") == 2


def test_in_an_empty_database_nothing_is_held(broker_url):
    listed = call("unacked", "list", broker_url)
    assert_harmless(listed)
    assert "0 held in all" in listed.shown
    assert call("unacked", "list", broker_url, "--json").parsed == []
    done = call("unacked", "put-back", broker_url, "--all-dead", "--yes")
    assert (done.code, done.said) == (0, "nothing is held that could go back\n")


@pytest.mark.parametrize("value", [b"\xff", b"[]", b'[{"headers": 1}, "", ""]', json.dumps([{}, None, 3]).encode()])
def test_what_is_no_message_is_listed_all_the_same(broker_url, redis_client, value):
    redis_client.hset("unacked", "tag", value)
    redis_client.zadd("unacked_index", {"tag": 1_790_000_000})
    listed = call("unacked", "list", broker_url, "--json")
    assert_harmless_json(listed)
    assert [row["delivery_tag"] for row in listed.parsed] == ["tag"]


@pytest.mark.parametrize("key", ["unacked", "unacked_index"])
def test_a_key_of_another_kind_is_named_in_one_line(broker_url, redis_client, key):
    redis_client.zadd("unacked_index", {"tag": 1})
    redis_client.delete(key)
    redis_client.set(key, "x")
    listed, done = call("unacked", "list", broker_url), call("unacked", "put-back", "--all-dead", "--yes", broker_url)
    assert_one_line(listed, longest_s=2)
    assert "of another type" in listed.said
    assert done.code in (3, 4)
    assert redis_client.get(key) == b"x"
