"""Tasks in a batch: nobody waits for the result of one that will not run."""

import kombu
import pytest
from celery import Celery

import tidegate
from tidegate.act.gate.after import flush
from tidegate.errors import QueueFull

pytestmark = [
    pytest.mark.skipif(not hasattr(kombu.Producer, "batch"), reason="this Kombu publishes no batches"),
    pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning"),
]


def test_the_result_of_a_message_that_another_run_stands_in_for_is_revoked(broker_url, redis_client):
    with Celery("batches", broker=broker_url, backend=broker_url, set_as_current=False) as app:
        app.conf.tidegate_tasks = {"t": {"overlap": "buffer_one"}}
        tidegate.install(app)
        with app.producer_pool.acquire() as producer, producer.batch():
            first, second = (app.send_task("t", (1,), producer=producer) for _ in range(2))
        assert redis_client.llen("celery") == 1
        assert flush()
        assert (first.state, second.state) == ("PENDING", "REVOKED")
        for result in (first, second):
            result.forget()


def test_a_full_queue_is_told_when_the_batch_ends_and_what_was_dropped_is_revoked(broker_url, redis_client):
    with Celery("batches", broker=broker_url, backend=broker_url, set_as_current=False) as app:
        app.conf.tidegate_queues = {"full": {"max_length": 1}, "drop": {"max_length": 1, "overflow": "drop-head"}}
        tidegate.install(app)
        with pytest.raises(QueueFull, match="1 of 4"), app.producer_pool.acquire() as producer, producer.batch():
            results = [
                app.send_task("t", (n,), producer=producer, queue=queue) for n in range(2) for queue in ("full", "drop")
            ]
        assert flush()
        assert [result.state for result in results] == ["PENDING", "REVOKED", "PENDING", "PENDING"]
        for result in results:
            result.forget()
