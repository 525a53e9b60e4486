"""Stopwatch, stall meter, load and server statistics: what the measurements are made with."""

import multiprocessing
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.synchronize import Event

import redis

from benchmarks.fill import FANNED_OUT, QUEUE, message

#: What the load of producers and consumers, and the instruments themselves, send: not part of what is measured.
NOT_OURS = {"lpush", "rpop", "ping", "slowlog", "slowlog|reset", "slowlog|get", "config|set", "config|resetstat"}


def note(text: str) -> None:
    """Progress, for whoever waits."""
    print(text, file=sys.stderr, flush=True)


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@dataclass(frozen=True)
class Run:
    """A child process that has ended."""

    elapsed_s: float
    peak_mb: float
    output: str


#: Runs Tidegate and says what memory it took at most. A child's ru_maxrss would not do: it begins with its parent's.
_MEASURED = """
import atexit, pathlib, runpy, sys
def peak():
    rows = pathlib.Path("/proc/self/status").read_text().splitlines()
    print(next(row.split()[1] for row in rows if row.startswith("VmHWM")), file=sys.stderr)
atexit.register(peak)
runpy.run_module("tidegate", run_name="__main__", alter_sys=True)
"""


def tidegate(*words: str) -> Run:
    """A command of Tidegate in a process of its own, with its peak memory (on Linux); raises where it failed to look."""
    began = time.perf_counter()
    child = subprocess.run([sys.executable, "-c", _MEASURED, *words], capture_output=True, text=True, check=False)
    if child.returncode not in (0, 1):
        raise SystemExit(f"tidegate {' '.join(words)} ended with {child.returncode}: {child.stderr}")
    return Run(time.perf_counter() - began, int(child.stderr.splitlines()[-1]) / 1024, child.stdout)


@dataclass
class ServerCost:
    """What the server spent on commands that are neither the load's nor the instruments'."""

    milliseconds: float = 0.0
    commands: int = 0
    worst_ms: float = 0.0
    worst: str = ""
    by_command: Counter[str] = field(default_factory=Counter)

    @property
    def mostly(self) -> str:
        """The three commands that took most of it."""
        return ", ".join(f"{name} {spent:.1f}" for name, spent in self.by_command.most_common(3))


@contextmanager
def server_cost(client: redis.Redis) -> Iterator[ServerCost]:
    """Server time from INFO commandstats, and the slowest single command from a SLOWLOG that misses none."""
    cost = ServerCost()
    client.config_set("slowlog-max-len", 100_000)
    client.config_set("slowlog-log-slower-than", 100)
    client.slowlog_reset()
    client.config_resetstat()
    yield cost
    for name, row in client.info("commandstats").items():  # type: ignore[union-attr]
        if name.removeprefix("cmdstat_") not in NOT_OURS:
            cost.milliseconds += row["usec"] / 1000
            cost.by_command[name.removeprefix("cmdstat_")] += row["usec"] / 1000
            cost.commands += row["calls"]
    for entry in client.slowlog_get(100_000):  # type: ignore[union-attr]
        words = entry["command"].decode("utf-8", "replace")
        if entry["duration"] / 1000 > cost.worst_ms and words.split(" ")[0].lower() not in NOT_OURS:
            cost.worst_ms, cost.worst = entry["duration"] / 1000, words[:40]
    client.config_set("slowlog-log-slower-than", 10_000)


@contextmanager
def traffic(path: str, pushes_per_s: int, pops_per_s: int) -> Iterator[None]:
    """Producers and a consumer at work, in a process of their own."""
    ended = multiprocessing.Event()
    process = multiprocessing.Process(target=_work, args=(path, pushes_per_s, pops_per_s, ended), daemon=True)
    process.start()
    yield
    ended.set()
    process.join()


def _work(path: str, pushes_per_s: int, pops_per_s: int, ended: Event) -> None:
    client = redis.Redis(unix_socket_path=path)
    began, pushed, popped = time.monotonic(), 0, 0
    while not ended.wait(0.002):
        since = time.monotonic() - began
        while pushed < since * pushes_per_s:
            client.lpush(QUEUE, message(FANNED_OUT, pushed, "root"))
            pushed += 1
        while popped < since * pops_per_s:
            client.rpop(QUEUE)
            popped += 1


@dataclass(frozen=True)
class Latency:
    """What a client that pings every millisecond waited for its answers."""

    worst_ms: float
    p999_ms: float


def worst_stall_ms(path: str, work: Callable[[], object]) -> float:
    """The longest that a client which pings every millisecond waits for its answer while the work is done."""
    return latency(path, work).worst_ms


def latency(path: str, work: Callable[[], object]) -> Latency:
    """The same, and the wait that one answer in a thousand exceeds."""
    ready, ended = multiprocessing.Event(), multiprocessing.Event()
    answers: multiprocessing.Queue[Latency] = multiprocessing.Queue()
    process = multiprocessing.Process(target=_ping, args=(path, ready, ended, answers), daemon=True)
    process.start()
    ready.wait()
    work()
    ended.set()
    seen = answers.get()
    process.join()
    return seen


def _ping(path: str, ready: Event, ended: Event, answers: "multiprocessing.Queue[Latency]") -> None:
    client, waits = redis.Redis(unix_socket_path=path), [0.0]
    client.ping()
    ready.set()
    while not ended.wait(0.001):
        began = time.perf_counter()
        client.ping()
        waits.append((time.perf_counter() - began) * 1000)
    waits.sort()
    answers.put(Latency(waits[-1], waits[int(len(waits) * 0.999)]))
