"""Throughput of real workers on no-op tasks: bare, with the probe, with task events; and what the probe sends to Redis."""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from benchmarks.fill import message
from benchmarks.instruments import note
from tidegate.demo.broker import PrivateBroker
from tidegate.demo.processes import Guarded, celery

QUEUE = "celery"
PROJECT = """
from celery import Celery

app = Celery("proj")
app.conf.task_ignore_result = True
app.conf.worker_redirect_stdouts = False

@app.task(name="bench.noop")
def noop(*numbers):
    pass
"""
PROBE = """
import tidegate

app.conf.tidegate_probe_every_s = {every}
tidegate.install(app)
"""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
STARTS_S = 60.0


@dataclass(frozen=True)
class Pace:
    """One run: tasks per second, and CPU seconds of all of the worker's processes per task."""

    per_s: float
    cpu_s: float


@contextmanager
def worker(url: str, *arguments: str, probe: bool, every_s: float = 10.0) -> Iterator[Guarded]:
    """A real worker of the little project, with or without the probe."""
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as name:
        place = Path(name)
        (place / "proj.py").write_text(PROJECT + (PROBE.format(every=every_s) if probe else ""))
        command = ["worker", "--loglevel", "WARNING", "-n", "bench@%h", *arguments]
        process = celery("proj", *command, project=place, log=place / "log", environment={"CELERY_BROKER_URL": url})
        try:
            yield process
        finally:
            process.stop()


def fill(client: redis.Redis, count: int) -> None:
    """Messages as the probe stamps them; the bare worker gets the same."""
    for start in range(0, count, 1000):
        client.lpush(QUEUE, *(_stamped(number) for number in range(start, min(start + 1000, count))))


def _stamped(number: int) -> bytes:
    parsed = json.loads(message("bench.noop", number, ""))
    parsed["headers"].update(root_id=parsed["headers"]["id"], parent_id=None, enqueued_at=round(time.time(), 6))
    return json.dumps(parsed).encode()


def pace(client: redis.Redis, url: str, count: int, *arguments: str, probe: bool) -> Pace:
    """How fast a fresh worker empties a queue, from the tenth to the last twentieth of it."""
    client.flushall()
    fill(client, count)
    with worker(url, *arguments, probe=probe) as process:
        began, cpu = _reached(client, count * 9 // 10), _cpu_s(process.pid)
        ended = _reached(client, count // 20)
        cpu = _cpu_s(process.pid) - cpu
    done = count * 9 // 10 - count // 20
    return Pace(done / (ended - began), cpu / done)


def _reached(client: redis.Redis, depth: int) -> float:
    deadline = time.monotonic() + STARTS_S
    while client.llen(QUEUE) > depth:  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise SystemExit("the worker does not work: see its log")
        time.sleep(0.005)
    return time.perf_counter()


def _cpu_s(pid: int) -> float:
    """CPU time of a process and its children (Linux only)."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if pid in (int(stat.parent.name), int(words[1])):
            total += (int(words[11]) + int(words[12])) / _TICKS_PER_S
    return total


def ratios(kind: str, arguments: list[str], rounds: int, count: int) -> dict[str, list[Pace]]:
    """Every round runs all of them, in an order that turns."""
    ways = {"bare": (False, []), "probe": (True, []), "-E": (False, ["-E"]), "bare again": (False, [])}
    found: dict[str, list[Pace]] = {way: [] for way in ways}
    with PrivateBroker() as server, redis.Redis(unix_socket_path=str(server.socket_path)) as client:
        for number in range(rounds):
            order = list(ways)[number % len(ways) :] + list(ways)[: number % len(ways)]
            for way in order:
                probe, more = ways[way]
                found[way].append(pace(client, server.url, count, *arguments, *more, probe=probe))
            line = ", ".join(
                f"{way} {runs[-1].per_s:.0f}/s {runs[-1].cpu_s * 1e6:.0f} µs" for way, runs in found.items()
            )
            note(f"  {kind}, round {number + 1} of {rounds}: {line}")
    return found


def median_ratio(ours: list[Pace], bare: list[Pace], again: list[Pace]) -> tuple[float, float]:
    """Medians over the rounds: throughput against bare, and CPU time per task against bare."""
    both = [(one.per_s + two.per_s) / 2 for one, two in zip(bare, again, strict=True)]
    cpu = [(one.cpu_s + two.cpu_s) / 2 for one, two in zip(bare, again, strict=True)]
    paces = statistics.median(mine.per_s / base for mine, base in zip(ours, both, strict=True))
    return paces, statistics.median(mine.cpu_s / base for mine, base in zip(ours, cpu, strict=True))
