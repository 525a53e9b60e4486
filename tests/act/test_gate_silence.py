"""A server that does not answer: a publish ends within its deadline, once, whatever below it would go on trying."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest
import redis
from celery import Celery
from kombu.exceptions import OperationalError

import tidegate
from gatehouse import ids
from tidegate.broker.patience import patient, waiting_at_most
from tidegate.errors import BrokerSilent, QueueFull

TIMEOUT_S = 0.25
STUBBORN = {"max_retries": None, "interval_start": 0, "interval_step": 0, "interval_max": 0}


@contextmanager
def within(seconds):
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


@contextmanager
def frozen(broker, how):
    """Stopped, or busy with everybody else; goes on afterwards."""
    if how == "stopped":
        broker.pause()
        try:
            yield
        finally:
            broker.resume()
    else:
        # Nothing can end it earlier: every command waits, as ours do.
        broker.ask("CLIENT", "PAUSE", "600", "ALL")
        yield
        broker.ask("PING")


def delay(app, name, **options):
    app.send_task("t", task_id=name, queue="q", **options)


@pytest.fixture
def app_on():
    """An application with the gate on a broker's URL."""
    made = []

    def make(url, **conf):
        app = Celery("silence", broker=url, set_as_current=False)
        app.conf.update(task_publish_retry_policy=STUBBORN, tidegate_gate_timeout_s=TIMEOUT_S, **conf)
        tidegate.install(app)
        made.append(app)
        return app

    yield make
    for app in made:
        app.close()


def names(broker):
    with redis.Redis.from_url(broker.url) as client:
        return ids(client, "q")


@pytest.mark.parametrize(
    ("how", "warm", "results"),
    [
        ("stopped", "warm", "with results"),
        ("stopped", "a new connection", "with results"),
        ("stopped", "warm", "without"),
        ("stopped", "a new connection", "without"),
        ("paused", "warm", "without"),
    ],
)
def test_delay_ends_in_time_and_publishes_nothing_twice(private_broker, app_on, how, warm, results):
    broker = private_broker()
    app = app_on(broker.url, **({"result_backend": broker.url} if results == "with results" else {}))
    if warm == "warm":
        delay(app, "warm")
    with frozen(broker, how), within(TIMEOUT_S + 1.0), pytest.raises(BrokerSilent, match=r"within 0\.25 s"):
        delay(app, "lost")
    delay(app, "after")
    assert names(broker).count("lost") <= 1
    assert names(broker)[-1] == "after"


def test_every_publish_has_its_own_deadline(private_broker, app_on):
    broker = private_broker()
    app = app_on(broker.url)
    delay(app, "warm")
    with frozen(broker, "stopped"):
        for n in range(2):
            with within(TIMEOUT_S + 1.0), pytest.raises(BrokerSilent):
                delay(app, str(n))


def test_an_address_that_swallows_connections_ends_in_time(app_on):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        app = app_on(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        for _ in range(3):  # the first fill the backlog, then not even the connection is taken
            with within(TIMEOUT_S + 1.0), pytest.raises(BrokerSilent):
                delay(app, "lost")


def test_a_server_that_is_down_is_not_silent(private_broker, app_on):
    broker = private_broker()
    app = app_on(broker.url)
    delay(app, "warm")
    broker.kill()
    with pytest.raises(OperationalError):
        delay(app, "lost", retry_policy={"max_retries": 1, "interval_start": 0})


def test_the_time_that_a_server_was_down_does_not_count(private_broker, app_on):
    broker = private_broker()
    app = app_on(broker.url)
    delay(app, "warm")
    broker.kill()
    later = threading.Timer(3 * TIMEOUT_S, broker.restart)
    later.start()
    try:
        delay(app, "waited", retry_policy={"max_retries": 100, "interval_start": 0.05, "interval_max": 0.05})
    finally:
        later.join()
    assert names(broker) == ["waited"]


def test_a_refusal_costs_no_connection(broker_url, redis_client, app_on):
    app = app_on(broker_url, tidegate_queues={"q": {"max_length": 1}})
    delay(app, "a")
    before = redis_client.info("stats")["total_connections_received"]
    for n in range(10):
        with pytest.raises(QueueFull):
            delay(app, str(n))
    assert redis_client.info("stats")["total_connections_received"] == before


def test_without_a_deadline_a_connection_waits_as_before(private_broker):
    broker = private_broker()
    client = redis.Redis(connection_pool=redis.ConnectionPool(connection_class=patient(None), port=broker.port))
    client.ping()
    with waiting_at_most(0.1), frozen(broker, "stopped"), pytest.raises(BrokerSilent):
        client.ping()
    broker.pause()
    threading.Timer(0.4, broker.resume).start()
    started = time.monotonic()
    assert client.ping()
    assert time.monotonic() - started > 0.3
    client.connection_pool.disconnect()


def test_a_timeout_of_the_user_stays_his_own(private_broker):
    broker = private_broker()
    pool = redis.ConnectionPool(connection_class=patient(None), port=broker.port, socket_timeout=0.1)
    client = redis.Redis(connection_pool=pool)
    client.ping()
    with frozen(broker, "stopped"), waiting_at_most(5.0), within(1.0), pytest.raises(redis.TimeoutError):
        client.ping()
    client.ping()
    client.connection_pool.disconnect()


def test_a_silent_sentinel_costs_half_of_the_patience_and_the_next_one_is_asked():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(1)
        connection = patient(None, one_of_many=True)(port=silent.getsockname()[1])
        with waiting_at_most(0.4):
            with within(0.35), pytest.raises(redis.TimeoutError):
                connection.connect()
            with within(0.2), pytest.raises(redis.TimeoutError):
                connection.connect()
