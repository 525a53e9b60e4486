"""Throughput of real workers on no-op tasks, several kinds of them side by side: bare ones, and with parts of Tidegate."""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
#: How often the probe sends, in seconds, is to be filled in.
PROBE = """
import tidegate

app.conf.tidegate_probe_every_s = {every}
tidegate.install(app, gate=False)
"""
GATE = """
from tidegate.act.gate.install import install_gate

install_gate(app)
"""
#: What is compared: what is added to the project, and options of the worker. Bare ones twice, to see the noise.
Ways = dict[str, tuple[str, list[str]]]
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
STARTS_S = 60.0


@dataclass(frozen=True)
class Pace:
    """One run: tasks per second, and CPU seconds of all of the worker's processes per task."""

    per_s: float
    cpu_s: float


@contextmanager
def worker(url: str, *arguments: str, added: str) -> Iterator[Guarded]:
    """A real worker of the little project, with what is added to it."""
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as name:
        place = Path(name)
        (place / "proj.py").write_text(PROJECT + added)
        command = ["worker", "--loglevel", "WARNING", "-n", "bench@%h", *arguments]
        process = celery("proj", *command, project=place, log=place / "log", environment={"CELERY_BROKER_URL": url})
        try:
            yield process
        finally:
            process.stop()


class Crew:
    """Workers of every way side by side, each in a database of its own; only one of them has work at a time.

    So all of them see the same machine: a batch of a second for one, then one for the next, over and over.
    """

    def __init__(self, server: PrivateBroker, running: ExitStack, ways: Ways) -> None:
        self.clients: dict[str, redis.Redis] = {}
        self.workers: dict[str, Guarded] = {}
        for db, (way, (added, arguments)) in enumerate(ways.items()):
            url = server.url.removesuffix("/0") + f"/{db}"
            self.clients[way] = running.enter_context(redis.Redis(unix_socket_path=str(server.socket_path), db=db))
            self.workers[way] = running.enter_context(worker(url, *arguments, added=added))
        for way in ways:
            self.batch(way, 200)

    def batch(self, way: str, count: int) -> Pace:
        """How fast the worker empties a queue that was filled at once, from the first to the last twentieth of it."""
        client, process = self.clients[way], self.workers[way]
        client.lpush(QUEUE, *(stamped(number) for number in range(count)))
        began, cpu = _reached(client, count * 19 // 20), _cpu_s(process.pid)
        ended = _reached(client, count // 20)
        cpu = _cpu_s(process.pid) - cpu
        _reached(client, 0)
        time.sleep(0.05)  # what was fetched already
        done = count * 9 // 10
        return Pace(done / (ended - began), cpu / done)


def stamped(number: int) -> bytes:
    """A message as the probe stamps it; the bare worker gets the same."""
    parsed = json.loads(message("bench.noop", number, ""))
    parsed["headers"].update(root_id=parsed["headers"]["id"], parent_id=None, enqueued_at=round(time.time(), 6))
    return json.dumps(parsed).encode()


def _reached(client: redis.Redis, depth: int) -> float:
    deadline = time.monotonic() + STARTS_S
    while client.llen(QUEUE) > depth:  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise SystemExit("the worker does not work: see its log")
        time.sleep(0.002)
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


def ratios(kind: str, ways: Ways, arguments: list[str], rounds: int, count: int = 1000) -> dict[str, list[Pace]]:
    """Every round gives every way one batch, in an order that turns; the first rounds warm up and do not count."""
    ways = {way: (added, [*arguments, *more]) for way, (added, more) in ways.items()}
    found: dict[str, list[Pace]] = {way: [] for way in ways}
    with PrivateBroker() as server, ExitStack() as running:
        crew = Crew(server, running, ways)
        for number in range(-2, rounds):
            order = [*ways][number % len(ways) :] + [*ways][: number % len(ways)]
            paces = {way: crew.batch(way, count) for way in order}
            if number >= 0:
                for way, one in paces.items():
                    found[way].append(one)
            if number % 10 == 9:
                line = ", ".join(f"{way} {one.per_s:.0f}/s {one.cpu_s * 1e6:.0f} µs" for way, one in paces.items())
                note(f"  {kind}, round {number + 1} of {rounds}: {line}")
    return found


def against_bare(found: dict[str, list[Pace]], way: str) -> tuple[float, float, float]:
    """Medians over the rounds of the ratio to the bare workers of the same round: throughput, a quarter of whose rounds
    are below the second number; and CPU time of all processes per task."""
    paces, cpu = [], []
    for ours, bare, again in zip(found[way], found["bare"], found["bare again"], strict=True):
        paces.append(2 * ours.per_s / (bare.per_s + again.per_s))
        cpu.append(2 * ours.cpu_s / (bare.cpu_s + again.cpu_s) if bare.cpu_s + again.cpu_s else 1.0)
    return statistics.median(paces), statistics.quantiles(paces, n=4)[0], statistics.median(cpu)
