"""What the probe costs: throughput of real workers, commands sent to Redis, and the weight of a day of data."""

import time
from collections.abc import Iterator

import redis

from benchmarks.instruments import note
from benchmarks.measurements import Row
from benchmarks.probe_size import day
from benchmarks.workers import PROBE, Ways, against_bare, ratios, stamped, worker
from tidegate.demo.broker import PrivateBroker

POOLS = {"prefork -c 2": ["-c", "2"], "threads -c 2": ["-P", "threads", "-c", "2"]}
WAYS: Ways = {"bare": ("", []), "probe": (PROBE.format(every=10.0), []), "bare again": ("", []), "-E": ("", ["-E"])}
#: Batches per way and round: a batch is a second or so.
BATCHES = 12
#: What only the probe sends: one each in every turn.
_TURNS, _RECORDS = "cmdstat_hlen", "cmdstat_expireat"


def probing(rounds: int) -> Iterator[Row]:
    """Throughput of no-op tasks against bare workers side by side, in prefork and threads; commands; bytes of a day."""
    for kind, arguments in POOLS.items():
        note(f"no-op tasks, {kind}: bare, with the probe, with task events, in turn")
        found = ratios(kind, WAYS, arguments, rounds * BATCHES)
        for way in ("probe", "-E"):
            pace, low, cpu = against_bare(found, way)
            promised, good = ("≥ 0.97", pace >= 0.97) if way == "probe" else ("", None)
            measured = f"lower quartile {low:.3f}, CPU × {cpu:.3f}"
            yield Row(f"throughput, {kind}, {way}", measured, "bare workers, side by side", pace, promised, good)
    yield from _commands()
    yield from _weight()


def _commands() -> Iterator[Row]:
    """The probe's turns and records in eight seconds, with few tasks done and with many."""
    few, many = _turn(20), _turn(4000)
    yield Row("records the probe writes a turn, 20 tasks", f"{few:.2f}")
    yield Row("  4,000 tasks", f"{many:.2f}", "20 tasks", many / few, "≤ 1.5", many <= 1.5 * few)


def _turn(tasks: int) -> float:
    with PrivateBroker() as server, redis.Redis(unix_socket_path=str(server.socket_path)) as client:
        with worker(server.url, "-c", "2", added=PROBE.format(every=1.0)):
            client.lpush("celery", *(stamped(number) for number in range(tasks)))
            time.sleep(8.0)
        stats = client.info("commandstats")
        return float(stats[_RECORDS]["calls"]) / float(stats[_TURNS]["calls"])


def _weight() -> Iterator[Row]:
    """100 tasks in 10 queues, every combination busy, four workers, a whole day on a clock of ours."""
    note("a day of 100 tasks in 10 queues")
    heaviest = max(weight for _, weight, _ in day(processes=4, runs_per_minute=500))
    yield Row("a day of 100 tasks × 10 queues, at its heaviest", f"{heaviest / 1e6:.2f} MB", promised="< 5 MB",
              good=heaviest < 5e6)  # fmt: skip
