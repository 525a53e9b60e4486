"""Consumers by hand, on the gate's transport and on Kombu's own, which says what is right."""

import time
from contextlib import contextmanager
from queue import Empty

import kombu
from kombu.transport import redis as stock

from gatehouse import Given
from tidegate.act.gate.known import known
from tidegate.act.gate.transport import GateTransport

STOCK, GATE = stock.Transport, GateTransport


@contextmanager
def consuming(transport, url, *queues, callback=None, no_ack=False, prefetch=0, **options):
    """A connection that consumes the queues; `callback(message)` instead of keeping them in `taken`."""
    known.note("the tests", Given)
    channel = None
    try:
        with kombu.Connection(url, transport=transport, transport_options=options) as connection:
            channel = connection.default_channel
            channel.basic_qos(0, prefetch, False)
            connection.taken = []
            consumer = connection.Consumer(
                [kombu.Queue(name, routing_key=name) for name in queues],
                on_message=callback or connection.taken.append,
                accept=["json"],
                no_ack=no_ack,
                channel=channel,
            )
            consumer.consume()
            yield connection
    finally:
        known.forget()
        if (
            channel is not None
        ):  # what is put back on closing opens its pool again, and stock leaves it to the collector
            channel._disconnect_pools()


def drain(connection, count, timeout_s=10.0):
    """Work until so many messages were taken."""
    deadline = time.monotonic() + timeout_s
    while len(connection.taken) < count:
        assert time.monotonic() < deadline, f"{len(connection.taken)} of {count} came"
        step(connection, 0.05)
    return connection.taken


def step(connection, timeout_s):
    """One round of Kombu's poller: what it sends, and what has come within the time."""
    try:
        connection.transport.cycle.get(connection.transport._deliver, timeout=timeout_s)
    except (Empty, TimeoutError):
        return False
    return True


def until(condition, timeout_s=10.0):
    """Wait for it; what it gave."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.002)
    return value
