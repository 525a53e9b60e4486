"""The incident itself: its keys, its message, and what a person in trouble reads about them."""

import json
import uuid
from pathlib import Path

import pytest
from click.testing import CliRunner

from tidegate.cli.main import tidegate

RECORDED = Path(__file__).parent.parent / "broker" / "recorded"


@pytest.fixture
def element() -> str:
    """The list element that LRANGE showed, byte for byte but for a host name."""
    return json.loads((RECORDED / "kombu-5.5.3.json").read_text())["elements"]["incident"]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(tidegate, arguments)
    assert result.exit_code in (0, 1), result.output
    return result.stdout


def lay_out(client, element: str, copies: int) -> None:
    """The keys that KEYS * showed, with so many messages of the one kind, children of different firings."""
    for number in range(copies):
        message = json.loads(element)
        message["headers"]["id"] = message["properties"]["delivery_tag"] = str(uuid.UUID(int=number))
        message["headers"]["root_id"] = message["headers"]["parent_id"] = str(uuid.UUID(int=10**9 + number // 20))
        client.lpush("celery", json.dumps(message))
    client.lpush("celery", element)
    client.sadd("_kombu.binding.celery", "celery\x06\x16\x06\x16celery")
    client.sadd("_kombu.binding.celery.pidbox", "\x06\x16\x06\x16celery@host.celery.pidbox")
    client.sadd("_kombu.binding.celeryev", "worker.#\x06\x16\x06\x16celeryev.2b52932d")
    client.set("unacked_mutex", "1")
    client.hset("unacked", "tag", json.dumps([json.loads(element), "", "celery"]))
    client.zadd("unacked_index", {"tag": 1.0})


def test_its_message_is_decoded_to_the_last_argument(redis_client, broker_url, element):
    lay_out(redis_client, element, 0)
    [message] = json.loads(run("peek", "celery", broker_url, "--json"))
    assert message["task"] == "screen.tasks.flush_cluster_status"
    assert message["args"] == [1070]
    assert message["kwargs"] == {}
    assert message["root_id"] != message["id"]


def test_its_queue_is_explained_as_the_children_of_a_firing_that_nobody_takes(redis_client, broker_url, element):
    lay_out(redis_client, element, 400)
    diagnosis = json.loads(run("doctor", broker_url, "--window", "2", "--json"))
    said = {finding["rule"]: finding["sentence"] for finding in diagnosis["findings"]}
    assert [queue["name"] for queue in diagnosis["queues"]] == ["celery"]
    assert diagnosis["verdict"] == "stalled"
    assert "children" in said["TG108"]
    assert "20 messages a firing" in said["TG108"]
    assert "flush_cluster_status" in said["TG106"]
    assert "repeats another waiting message" in said["TG107"]
    assert "no memory limit" in said["TG110"]


def test_a_full_server_is_said_to_be_full_while_it_is(private_broker, element):
    broker = private_broker(maxmemory="6mb", maxmemory_policy="noeviction")
    while "OOM" not in str(broker.ask("LPUSH", "celery", *[element] * 10)):
        assert broker.ask("LLEN", "celery") < 100_000
    diagnosis = json.loads(run("doctor", broker.url, "--window", "1", "--json"))
    worst = next(finding for finding in diagnosis["findings"] if finding["rule"] == "TG114")
    assert worst["level"] == "critical"
    assert "refuses writes" in worst["sentence"]
    assert "CONFIG SET maxmemory" in worst["remedy"]
