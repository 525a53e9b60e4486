"""What the gate costs: the rate of publishing and of consuming against plain Celery, and commands per message."""

import random
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import redis

from benchmarks.instruments import note
from benchmarks.measurements import Row
from benchmarks.publishers import Publishers, commands_sent
from benchmarks.workers import GATE, PROBE, QUEUE, Ways, against_bare, ratios, stamped, worker
from tidegate.demo.broker import PrivateBroker

POOLS = {"prefork -c 2": ["-c", "2"], "threads -c 4": ["-P", "threads", "-c", "4"]}
BOUND = "\napp.conf.tidegate_queues = {'celery': {'max_length': 1_000_000}}\n"
OVERLAP = "\napp.conf.tidegate_tasks = {'bench.noop': {'overlap': 'buffer_one'}}\n"
PUBLISHERS = {
    "bare": "",
    "gate": GATE,
    "gate, bounded": GATE + BOUND,
    "bare again": "",
    "gate, guarded": GATE + OVERLAP,
    "gate and probe": GATE + PROBE.format(every=10.0),
}
CONSUMERS: Ways = {"bare": ("", []), "gate": (GATE, []), "bare again": ("", [])}
#: Turns per round; each is a tenth of a second for every publisher, a second for every consumer.
TURNS, BATCHES = 40, 8
PUBLISHED = 300
LEAST_PUBLISHED, LEAST_CONSUMED = 0.97, 0.98


def gating(rounds: int) -> Iterator[Row]:
    """Publishing one by one and in batches, consuming in two pools, and what is sent for one message."""
    with PrivateBroker() as server, ExitStack() as running:
        publishers = Publishers(server, running, PUBLISHERS)
        for how in ("delay", "batch"):
            yield from _published(publishers, how, rounds * TURNS)
        yield from _commands_to_publish(publishers)
    for kind, arguments in POOLS.items():
        yield from _consumed(kind, arguments, rounds * BATCHES)
    yield from _commands_to_consume()


def _published(publishers: Publishers, how: str, turns: int) -> Iterator[Row]:
    note(f"publishing by {how}: plain Celery and the gate, in turn")
    ways, chance = [*PUBLISHERS], random.Random(how)
    found: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(-5, turns):
        rates = {way: publishers.publish(way, how, PUBLISHED) for way in chance.sample(ways, len(ways))}
        if number >= 0:
            for way, rate in rates.items():
                found[way].append(rate)
    for way in ways:
        if not way.startswith("bare"):
            yield _publishing_row(found, how, way)
    yield Row(
        f"publishing, {how}, bare again",
        _rate(found["bare again"]),
        "the other",
        _against(found, "bare again", ["bare"]),
    )


def _publishing_row(found: dict[str, list[float]], how: str, way: str) -> Row:
    ratio = _against(found, way, ["bare", "bare again"])
    promised, good = (
        (f"≥ {LEAST_PUBLISHED}", ratio >= LEAST_PUBLISHED) if way in ("gate", "gate, bounded") else ("", None)
    )
    baseline = f"plain Celery {_rate(found['bare'])}"
    return Row(f"publishing, {how}, {way}", _rate(found[way]), baseline, ratio, promised, good)


def _rate(rates: list[float]) -> str:
    return f"{statistics.median(rates):,.0f}/s"


def _against(found: dict[str, list[float]], way: str, others: list[str]) -> float:
    """The median over the turns of the ratio to what the others reached on the average in the same turn."""
    turns = zip(found[way], *(found[other] for other in others), strict=True)
    return statistics.median(ours / statistics.mean(theirs) for ours, *theirs in turns)


def _commands_to_publish(publishers: Publishers) -> Iterator[Row]:
    for how in ("delay", "batch"):
        sent = {}
        for way in ("bare", "gate", "gate, bounded", "gate, guarded"):
            client = publishers.clients[way]
            sent[way] = (
                commands_sent(client, lambda way=way, how=how: publishers.publish(way, how, PUBLISHED)) / PUBLISHED
            )
        for way in ("gate", "gate, bounded", "gate, guarded"):
            yield _commands_row(f"commands per message, {how}, {way}", sent[way], sent["bare"])


def _commands_row(what: str, ours: float, bare: float) -> Row:
    return Row(what, f"{ours:.2f}", f"plain Celery {bare:.2f}", ours / bare, "≤ 1", ours <= bare * 1.005)


def _consumed(kind: str, arguments: list[str], batches: int) -> Iterator[Row]:
    note(f"no-op tasks, {kind}: bare and with the gate, in turn")
    found = ratios(kind, CONSUMERS, arguments, batches)
    pace, low, cpu = against_bare(found, "gate")
    measured = f"lower quartile {low:.3f}, CPU × {cpu:.3f}"
    good = pace >= LEAST_CONSUMED
    yield Row(f"consuming, {kind}, gate", measured, "bare workers, side by side", pace, f"≥ {LEAST_CONSUMED}", good)


def _commands_to_consume(count: int = 400, idle_s: float = 10.0) -> Iterator[Row]:
    """What a worker sends for a message of a full queue; and for every second without any."""
    busy, idle = {}, {}
    for way, (added, _) in list(CONSUMERS.items())[:2]:
        with (
            PrivateBroker() as server,
            redis.Redis(unix_socket_path=str(server.socket_path)) as client,
            worker(server.url, "-c", "2", added=added),
        ):
            _emptied(client, 10)
            busy[way] = commands_sent(client, partial(_emptied, client, count)) / count
            idle[way] = commands_sent(client, partial(time.sleep, idle_s)) / idle_s
    yield _commands_row("commands per message, consuming, gate", busy["gate"], busy["bare"])
    what = "commands per second of an idle worker, gate"
    yield Row(what, f"{idle['gate']:.1f}", f"plain Celery {idle['bare']:.1f}")


def _emptied(client: redis.Redis, count: int) -> None:
    client.lpush(QUEUE, *(stamped(number) for number in range(count)))
    while client.llen(QUEUE) or client.hlen("unacked"):
        time.sleep(0.1)
