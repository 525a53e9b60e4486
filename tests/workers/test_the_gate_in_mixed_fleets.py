"""A roll-out: producers and workers with the gate and without it on one broker, and the tools that look at both."""

import pytest
from celery import Celery

import tidegate

STOCK = """
import os
from celery import Celery

app = Celery("proj", backend=os.environ["RESULTS"])
app.conf.task_queues = None

@app.task(name="double")
def double(number):
    return 2 * number
"""
GATED = (
    STOCK
    + """
import tidegate

app.conf.tidegate_queues = {"*": {"max_length": 100}}
tidegate.install(app)
"""
)
STARTS_S = 20.0
QUICK = ("--without-mingle", "--without-gossip")


@pytest.fixture
def fleet(celery_worker, broker_url):
    """A stock worker for the queue `old` and one with the gate for `new`; applications of both kinds."""
    environment = {"RESULTS": broker_url}
    celery_worker(STOCK, broker_url, "-Q", "old", "-c", "1", "-n", "old@here", *QUICK, environment=environment)
    celery_worker(GATED, broker_url, "-Q", "new", "-c", "1", "-n", "new@here", *QUICK, environment=environment)
    # Another name for the same server: a process shares its connections by their address.
    with Celery("stock", broker=broker_url.replace("127.0.0.1", "localhost"), set_as_current=False) as stock:
        stock.conf.result_backend = broker_url
        with Celery("gated", broker=broker_url, backend=broker_url, set_as_current=False) as gated:
            gated.conf.tidegate_queues = {"*": {"max_length": 100}}
            tidegate.install(gated)
            with stock.connection_for_write() as connection:
                assert connection.transport
            yield stock, gated


def test_old_and_new_work_together(fleet, redis_client):
    stock, gated = fleet
    results = [
        app.send_task("double", (number,), queue=queue)
        for number in range(5)
        for app in (stock, gated)
        for queue in ("old", "new")
    ]
    assert [result.get(timeout=STARTS_S) for result in results] == [2 * n for n in range(5) for _ in range(4)]
    assert redis_client.hlen("unacked") == 0

    # What `celery inspect`, `celery purge` and `celery amqp` do, and how Flower and celery-exporter look.
    for app in (stock, gated):
        assert set(app.control.inspect(timeout=5, limit=2).ping() or {}) == {"old@here", "new@here"}
    names = gated.control.inspect(timeout=5, limit=2).active_queues()
    assert {name: [queue["name"] for queue in queues] for name, queues in names.items()} == {
        "old@here": ["old"],
        "new@here": ["new"],
    }
    for number in range(3):
        gated.send_task("double", (number,), queue="idle", priority=9 * (number % 2))
    with gated.connection_for_write() as connection:
        assert connection.info()["transport"] == "redis"
        channel = connection.default_channel
        assert channel.client.llen("idle") == 2
        assert channel.queue_declare("idle", passive=True).message_count == 3
        assert channel.basic_get("idle", no_ack=True).headers["task"] == "double"
        assert channel.queue_purge("idle") == 2
    gated.send_task("double", (1,), queue="celery")
    assert gated.control.purge() == 1
