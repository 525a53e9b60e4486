"""The flow meter on a real server: what it counts is what other clients really did."""

import threading
from collections.abc import Sequence

import redis
from hypothesis import example, given, settings
from hypothesis import strategies as st
from list_model import acts, fresh, put_back
from mirrored_list import Mirrored

from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.demo.broker import PrivateBroker
from tidegate.facts.seen import Step
from tidegate.observe.flow import FlowMeter

Acts = Sequence[tuple[str, int]]


@settings(max_examples=150, deadline=None)
@given(start=st.integers(0, 60), rounds=st.lists(acts(60), max_size=6))
@example(start=0, rounds=[[("push", 2), ("pop", 2), ("restore", 1)], [("restore", 1)]])
def test_exact_steps_are_what_really_happened(valkey: PrivateBroker, start: int, rounds: list[Acts]) -> None:
    valkey.ask("FLUSHALL")
    address = parse_address(valkey.socket_url)
    with redis.Redis.from_url(valkey.url) as client, connect(address) as broker:
        model = Mirrored(client, "celery")
        model.push(start)
        meter = FlowMeter(broker, {"celery": ["celery"]})
        meter.poll(0.0)
        truths = [model.counted]
        for second, happened in enumerate(rounds, 1):
            model.do(happened)
            meter.poll(float(second))
            truths.append(model.counted)
        assert client.lrange("celery", 0, -1) == model.elements
        hold_to_the_truth(meter.flows()["celery"].steps, truths)


def hold_to_the_truth(steps: Sequence[Step], truths: Sequence[tuple[int, int, int]]) -> None:
    assert len(steps) == len(truths) - 1
    for step, before, after in zip(steps, truths, truths[1:], strict=False):
        pushed, left, restored = (now - then for now, then in zip(after, before, strict=True))
        if step.exact:
            assert step.arrivals == pushed
            assert step.departures - step.restores == left - restored
        assert step.arrivals <= pushed
        assert step.departures <= left


def test_what_others_do_between_any_two_commands_is_counted_in_full(valkey: PrivateBroker) -> None:
    valkey.ask("FLUSHALL")
    deep = [fresh() for _ in range(3000)]
    with redis.Redis.from_url(valkey.url) as client, connect(parse_address(valkey.socket_url)) as broker:
        client.rpush("celery", *deep)
        meter = FlowMeter(broker, {"celery": ["celery"]})
        meter.poll(0.0)
        others = threading.Thread(target=work, args=(valkey.url, 2000))
        others.start()
        polls = 0
        while others.is_alive():
            meter.poll(float(polls := polls + 1))
        others.join()
        meter.poll(float(polls + 1))
    steps = meter.flows()["celery"].steps
    assert all(step.exact for step in steps)
    assert sum(step.arrivals for step in steps) == 2000
    assert sum(step.departures - step.restores for step in steps) == 1000 - 100


def work(url: str, pushes: int) -> None:
    """Producers push, every second time a worker takes one, every tenth of those comes back."""
    with redis.Redis.from_url(url) as client:
        for number in range(pushes):
            client.lpush("celery", fresh())
            taken = client.rpop("celery") if number % 2 else None
            if isinstance(taken, bytes) and number % 20 == 1:
                client.rpush("celery", put_back(taken))


def test_the_lists_of_a_queue_are_counted_together(valkey: PrivateBroker) -> None:
    valkey.ask("FLUSHALL")
    with redis.Redis.from_url(valkey.url) as client, connect(parse_address(valkey.socket_url)) as broker:
        plain, urgent = Mirrored(client, "q"), Mirrored(client, "q\x06\x163")
        plain.push(5)
        urgent.push(3)
        meter = FlowMeter(broker, {"q": ["q", "q\x06\x163", "q\x06\x166"]})
        meter.poll(0.0)
        plain.push(2)
        urgent.pop(1)
        meter.poll(1.0)
    (step,) = meter.flows()["q"].steps
    assert (step.depth, step.arrivals, step.departures, step.exact) == (9, 2, 1, True)


def test_more_arrivals_than_are_read_are_found_by_asking_the_server(valkey: PrivateBroker) -> None:
    valkey.ask("FLUSHALL")
    with redis.Redis.from_url(valkey.url) as client, connect(parse_address(valkey.socket_url)) as broker:
        client.lpush("celery", fresh())
        meter = FlowMeter(broker, {"celery": ["celery"]})
        meter.poll(0.0)
        client.lpush("celery", *(fresh() for _ in range(5000)))
        meter.poll(1.0)
        assert broker.spent["lpos"] == 1
    (step,) = meter.flows()["celery"].steps
    assert (step.arrivals, step.departures, step.exact) == (5000, 0, True)
