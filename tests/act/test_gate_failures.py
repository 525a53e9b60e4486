"""What a publish fails with is what callers of Celery catch, and what Celery itself counts on."""

import pytest
from celery import Celery
from kombu.exceptions import OperationalError

import tidegate
from tidegate.errors import BrokerFull, BrokerSilent, NotPublished

CHAIN = """
import os

from celery import Celery

import tidegate

app = Celery("proj", backend=os.environ["RESULTS"])
tidegate.install(app)


@app.task(name="work.fill")
def fill():
    with app.connection_for_read() as connection:
        connection.default_channel.client.config_set("maxmemory", "1")
    return 1


@app.task(name="work.second")
def second(one):
    return one
"""


@pytest.fixture
def app(private_broker):
    broker = private_broker()
    made = Celery("failures", broker=broker.url, set_as_current=False)
    made.conf.tidegate_gate_timeout_s = 0.25
    tidegate.install(made)
    made.broker = broker
    yield made
    made.close()


def test_a_full_broker_is_an_operational_error_and_says_what_to_do(app):
    app.send_task("work", ignore_result=True)
    app.broker.ask("CONFIG", "SET", "maxmemory", "1")

    with pytest.raises(OperationalError, match="raise its maxmemory") as caught:
        app.send_task("work", ignore_result=True)
    assert isinstance(caught.value, BrokerFull)
    assert isinstance(caught.value, NotPublished)


def test_a_silent_broker_is_an_operational_error_and_says_after_how_long(app):
    app.send_task("work", ignore_result=True)
    app.broker.pause()
    try:
        with pytest.raises(OperationalError, match=r"within 0\.25 s") as caught:
            app.send_task("work", ignore_result=True)
    finally:
        app.broker.resume()
    assert isinstance(caught.value, BrokerSilent)


def test_a_run_that_can_t_hand_on_for_want_of_memory_fails_and_nobody_waits_for_ever(private_broker, celery_worker):
    broker, results = private_broker(), private_broker()
    app = Celery("caller", broker=broker.url, backend=results.url, set_as_current=False)
    celery_worker(CHAIN, broker.url, "-c", "1", environment={"RESULTS": results.url})

    chain = app.signature("work.fill") | app.signature("work.second")
    first = chain.apply_async().parent
    with pytest.raises(Exception, match="its memory is used up"):
        first.get(timeout=20)
    app.close()
