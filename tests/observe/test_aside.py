"""What a look sees of a queue while an act of relief has it."""

import json
import subprocess
import time

import pytest

from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.broker.relief import ASIDE, LATER, hidden_list, key_of
from tidegate.facts.unknown import Unknown, known
from tidegate.observe.aside import is_interrupted
from tidegate.observe.look import Options, take_look
from tidegate.observe.peek import peek_queue, places_of
from tidegate.observe.process import Process, this_process
from tidegate.observe.sampling import sample_census
from tidegate.observe.snapshot import see_queues


def message(number):
    headers = {"task": "t", "id": f"id-{number}"}
    return json.dumps({"body": "W10=", "headers": headers, "properties": {"delivery_tag": str(number)}})


def said(process):
    return json.dumps({"machine": process.machine, "pid": process.pid, "started": process.started})


@pytest.fixture
def acted(redis_client):
    """Nine messages of `celery`: two kept, four aside, one aside of another priority, one later, one new."""
    for key, numbers in {
        "celery": [8, 1, 0], hidden_list("", ASIDE, "celery"): [5, 4, 3, 2], hidden_list("", LATER, "celery"): [7],
        hidden_list("", ASIDE, "celery\x06\x163"): [6],
    }.items():  # fmt: skip
        redis_client.rpush(key, *map(message, numbers))
    now_ms = int(time.time() * 1000)
    record = {"act": "purge", "state": "running", "process": said(this_process()), "who": "ann@ops"}
    redis_client.hset(key_of("", "act:a1"), mapping=record | {"started_ms": now_ms - 2000, "alive_ms": now_ms - 100})
    redis_client.set(key_of("", "queue:celery"), "a1")
    return redis_client


def test_its_depth_weight_and_ends_are_those_of_all_that_waits(broker_url, acted):
    with connect(parse_address(broker_url)) as broker:
        [queue, other] = see_queues(broker, ["celery", "mail"])
    assert (queue.depth, queue.by_priority) == (9, {0: 8, 3: 1})
    assert queue.bytes > acted.memory_usage("celery")
    assert queue.oldest.id == "id-0"
    assert queue.set_aside.by_priority == {0: 5, 3: 1}
    assert (queue.set_aside.act, queue.set_aside.interrupted, round(queue.set_aside.silent_s)) == ("purge", False, 0)
    assert other.set_aside is None


def test_a_queue_of_which_everything_is_aside_is_not_empty(broker_url, acted):
    acted.delete("celery")
    with connect(parse_address(broker_url)) as broker:
        [queue] = see_queues(broker, ["celery"])
        assert [message.id for message in peek_queue(broker, "celery", 2)] == ["id-2", "id-3"]
    assert (queue.depth, queue.oldest.id) == (6, "id-2")


def test_a_census_counts_what_is_aside(broker_url, acted):
    with connect(parse_address(broker_url)) as broker:
        census = sample_census(broker, "celery", places_of(broker, "celery"))
    assert census.messages == 9


def test_a_queue_that_no_binding_names_is_found_by_the_act_that_has_it_and_its_weight_is_counted_once(
    broker_url, acted
):
    acted.delete("celery")
    with connect(parse_address(broker_url)) as broker:
        look = take_look(broker, Options(window_s=0.05))
    [queue] = look.queues
    assert (queue.name, queue.depth) == ("celery", 6)
    of_ours = sum(family.bytes for family in look.keyspace.families if family.name == "tidegate")
    assert of_ours < queue.bytes


def test_rates_are_not_made_of_what_the_act_moves(broker_url, acted):
    with connect(parse_address(broker_url)) as broker:
        look = take_look(broker, Options(window_s=0.05, queues=["celery"]))
    assert look.flows["celery"].problem == Unknown("the act a1 moves its messages")
    assert look.censuses["celery"].messages == 9


def test_where_nothing_is_aside_it_costs_one_command(broker_url, redis_client):
    redis_client.lpush("celery", message(1))
    names = [f"q{number}" for number in range(20)]
    redis_client.config_resetstat()
    with connect(parse_address(broker_url)) as broker:
        see_queues(broker, names)
    stats = redis_client.info("commandstats")
    assert (stats["cmdstat_mget"]["calls"], stats["cmdstat_llen"]["calls"]) == (1, 200)


def gone():
    child = subprocess.Popen(["sleep", "0"])
    child.wait()
    return Process(this_process().machine, child.pid, "1")


@pytest.mark.parametrize(
    ("state", "process", "silent_s", "expected"),
    [
        ("running", this_process(), 3600, False),
        ("interrupted", this_process(), 0, True),
        ("running", gone(), 0, True),
        ("running", Process("elsewhere", 1, "1"), 14, False),
        ("running", Process("elsewhere", 1, "1"), 16, True),
    ],
)
def test_an_act_goes_on_while_its_process_lives_or_has_been_heard_of(state, process, silent_s, expected):
    assert is_interrupted(state, said(process), 1000.0, 1000.0 + silent_s) is expected


def test_of_an_act_without_a_record_nobody_knows():
    assert not known(is_interrupted("", "", None, 1000.0))
