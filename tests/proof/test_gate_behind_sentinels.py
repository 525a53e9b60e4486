"""A master that dies: the gate publishes to the one that the sentinels make of its replica, and its bound holds there."""

import kombu
import pytest
import redis

from gatehouse import Given, gated, publish
from sentinels import await_that, sentinel_of
from tidegate.demo.broker import HOST
from tidegate.errors import QueueFull
from tidegate.facts.gate import Bound, Outcome

RETRIES = {"max_retries": 100, "interval_start": 0.1, "interval_step": 0, "interval_max": 0.1}

pytestmark = pytest.mark.proof


def test_publishing_goes_on_after_a_fail_over(private_broker, broker_url, tmp_path):
    master, replica = private_broker(), private_broker()
    replica.ask("REPLICAOF", HOST, str(master.port))
    await_that(lambda: "master_link_status:up" in str(replica.ask("INFO", "replication")))
    policies = Given({"q": Bound(max_length=3)}, timeout_s=5.0)
    with sentinel_of(master, tmp_path) as url, gated(broker_url, policies=policies):
        with redis.Redis.from_url(url.replace("sentinel://", "redis://")) as sentinel:
            await_that(lambda: sentinel.sentinel_master("tide")["num-slaves"] == 1)
        with kombu.Connection(url, transport_options={"master_name": "tide"}) as behind:
            producer = kombu.Producer(behind.channel())
            publish(producer, "a")
            await_that(lambda: replica.ask("LLEN", "q") == 1)
            master.kill()
            published = behind.ensure(producer, lambda: publish(producer, "b"), **RETRIES)
            assert published().outcome is Outcome.ADMITTED
            publish(producer, "c")
            with pytest.raises(QueueFull):
                publish(producer, "d")
            assert replica.ask("LLEN", "q") == 3
