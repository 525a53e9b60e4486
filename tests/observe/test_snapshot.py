"""One instant of a broker that does not stand still meanwhile."""

from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.facts.unknown import Unknown
from tidegate.observe import snapshot


def test_a_queue_that_is_emptied_before_it_is_weighed_has_a_depth_and_no_weight(broker_url, redis_client, monkeypatch):
    redis_client.lpush("celery", "{}")
    weigh = snapshot.bytes_of

    def weigh_late(broker, keys):
        redis_client.delete("celery")
        return weigh(broker, keys)

    monkeypatch.setattr(snapshot, "bytes_of", weigh_late)
    with connect(parse_address(broker_url)) as broker:
        [queue] = snapshot.see_queues(broker, ["celery"])
    assert queue.depth == 1
    assert queue.bytes == queue.bytes_per_message == Unknown("the queue was emptied while it was looked at")
