"""Behind sentinels: the gate publishes to the master that they name."""

import kombu
import pytest

from gatehouse import Given, gated, publish
from sentinels import sentinel_of
from tidegate.errors import QueueFull
from tidegate.facts.gate import Bound, Outcome


def test_the_master_is_found_and_its_queue_is_bounded(private_broker, broker_url, tmp_path):
    master = private_broker()
    with sentinel_of(master, tmp_path) as url, gated(broker_url, policies=Given({"q": Bound(max_length=1)})):
        with kombu.Connection(url, transport_options={"master_name": "tide"}) as behind:
            assert behind.info()["transport"] == "sentinel"
            producer = kombu.Producer(behind.channel())
            assert publish(producer, "a").outcome is Outcome.ADMITTED
            with pytest.raises(QueueFull):
                publish(producer, "b")
        assert master.ask("LLEN", "q") == 1
