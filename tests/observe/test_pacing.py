"""Who lives: the gate's sign of life where there is one, what the probe wrote where there is none."""

from dataclasses import replace

import pytest

from tidegate.broker import ledger
from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.broker.records import encode_worker
from tidegate.facts.measured import WorkerSeen
from tidegate.observe.measured import broker_time
from tidegate.observe.pacing import Living

NODES, SIGN = "tidegate:gate:1:nodes", "tidegate:gate:1:worker:w1"


@pytest.fixture
def broker(broker_url):
    with connect(parse_address(broker_url)) as broker:
        yield broker


@pytest.fixture
def wrote(broker, redis_client):
    """`wrote(12.0)`: the probe of the only worker wrote so many seconds ago."""
    one = WorkerSeen(
        node="a@h", machine="h", at_s=0.0, started_at_s=0.0, pool="prefork", slots=1, queues=("celery",), cores=1.0
    )

    def write(ago_s, **changes):
        seen = replace(one, at_s=broker_time(broker) - ago_s, **changes)
        redis_client.hset(ledger.workers_key(broker.layout), "p1", encode_worker(seen))

    return write


def lives(living, broker):
    [worker] = living.look(broker)
    return not worker.gone


@pytest.mark.parametrize(
    ("every_s", "ago_s", "is_there"), [(10.0, 12.5, True), (10.0, 13.5, False), (1.0, 2.2, True), (1.0, 3.0, False)]
)
def test_without_the_gate_a_worker_whose_probe_is_late_is_gone_in_less_than_fifteen_seconds(
    broker, wrote, every_s, ago_s, is_there
):
    wrote(ago_s, every_s=every_s)
    assert lives(Living(), broker) is is_there


def test_the_gate_tells_sooner_that_one_is_gone_and_that_it_is_back(broker, redis_client, wrote):
    living = Living()
    redis_client.hset(NODES, "a@h", "w1")
    redis_client.set(SIGN, "{}")
    wrote(9.0)
    assert lives(living, broker)
    redis_client.delete(SIGN)
    assert not lives(living, broker), "its probe is not late, but its sign of life is gone"
    redis_client.set(SIGN, "{}")
    assert lives(living, broker)


def test_a_worker_whose_gate_is_off_from_now_on_lives_by_its_probe(broker, redis_client, wrote):
    living = Living()
    redis_client.hset(NODES, "a@h", "w1")
    redis_client.set(SIGN, "{}")
    wrote(0.0)
    assert lives(living, broker)
    redis_client.delete(SIGN, NODES)
    assert not lives(living, broker)
    wrote(-7.0)
    assert lives(living, broker)


def test_nobody_is_dead_because_the_gate_can_not_be_asked(broker, redis_client, wrote):
    living = Living()
    redis_client.hset(NODES, "a@h", "w1")
    redis_client.set(SIGN, "{}")
    wrote(1.0)
    assert lives(living, broker)
    redis_client.execute_command("ACL", "SETUSER", "default", "-mget")
    try:
        assert lives(living, broker)
    finally:
        redis_client.execute_command("ACL", "SETUSER", "default", "+mget")
