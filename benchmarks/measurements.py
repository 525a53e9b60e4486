"""The measurements; each gives rows of the table, and takes its own baseline in the same run, interleaved."""

import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import redis

from benchmarks.baselines import Count, count_by_json, everything_at_once, pull
from benchmarks.fill import DISTINCT, QUEUE
from benchmarks.instruments import note, seconds, server_cost, tidegate, traffic, worst_stall_ms
from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.facts.seen import CensusSeen
from tidegate.observe.census import exact_census
from tidegate.observe.sampling import sample_census

SAMPLES = 20
#: What is promised of time is promised of the incident's depth: there the server's walk is what a pull waits for.
DEEP = 2_000_000


@dataclass(frozen=True)
class Bench:
    """The prepared server and how often to measure."""

    client: redis.Redis
    path: str
    url: str
    rounds: int
    window_s: float


@dataclass(frozen=True)
class Row:
    """One line of the table; `good` says whether the promise was kept, where there is one."""

    what: str
    measured: str
    baseline: str = ""
    ratio: float | None = None
    promised: str = ""
    good: bool | None = None

    def cells(self) -> tuple[str, str, str, str, str, str]:
        ratio = "" if self.ratio is None else f"{self.ratio:.3g}"
        kept = {True: "kept", False: "BROKEN", None: ""}[self.good]
        return self.what, self.measured, self.baseline, ratio, self.promised, kept


def exact(bench: Bench) -> Iterator[Row]:
    """`census --exact` against the naive pull and the naive decode, in one process; memory in a process of its own."""
    for queue in (QUEUE, DISTINCT):
        pulls, ours = [], []
        for number in range(bench.rounds):
            note(f"census --exact of {queue!r} against the naive pull, round {number + 1} of {bench.rounds}")
            pulls.append(seconds(partial(pull, bench.client, queue)))
            ours.append(seconds(partial(_exact, bench, queue)))
        note(f"naive json count of {queue!r}")
        by_json = seconds(partial(count_by_json, bench.client, queue, 0.0))
        took, pulled = statistics.median(ours), statistics.median(pulls)
        promised, good = ("≤ 1.5", took <= 1.5 * pulled) if bench.client.llen(queue) >= DEEP else ("", None)  # type: ignore[operator]
        yield Row(
            f"census --exact, {queue}", f"{took:.2f} s", f"naive pull {pulled:.2f} s", took / pulled, promised, good
        )
        yield Row("", "", f"naive json count {by_json:.2f} s", took / by_json)
        yield from _same(bench, queue)


def _exact(bench: Bench, queue: str) -> CensusSeen:
    with connect(parse_address(bench.url)) as broker:
        return exact_census(broker, queue, [queue])


def _same(bench: Bench, queue: str) -> Iterator[Row]:
    """Peak memory of the command itself, and whether it counts what the naive decode counts."""
    note(f"census --exact of {queue!r}: memory and counts")
    child = tidegate("census", queue, bench.url, "--exact", "--json")
    rows = json.loads(child.output)["by_task"]
    ours = {(r["name"], r["count"], r["bytes"], r["expired"], r["duplicates"]) for r in rows}
    by_hand = count_by_json(bench.client, queue, time.time())
    same = ours == by_hand.rows()
    yield Row(f"  peak memory, {queue}", f"{child.peak_mb:.0f} MB", promised="< 300 MB", good=child.peak_mb < 300)
    yield Row(f"  same counts, {queue}", f"{len(ours)} tasks", "naive json count", promised="identical", good=same)


def sampled(bench: Bench) -> Iterator[Row]:
    """`census --sample`: how far off, whether its error covers the truth, and what it costs."""
    note(f"census --sample, {SAMPLES} times")
    truth = count_by_json(bench.client, QUEUE, 0.0)
    with server_cost(bench.client) as cost, connect(parse_address(bench.url)) as broker:
        began = time.perf_counter()
        found = [sample_census(broker, QUEUE, [QUEUE], seed=seed) for seed in range(SAMPLES)]
        took = (time.perf_counter() - began) / SAMPLES
    off, covered, claims = _accuracy(found, truth)
    yield Row("census --sample, worst share of a task", f"off by {off:.2f} points", promised="≤ 2", good=off <= 2)
    yield Row("  truth within the stated error", f"{covered:,} of {claims:,}", ratio=covered / claims, promised="≥ 0.95",
              good=covered >= 0.95 * claims)  # fmt: skip
    whole = seconds(partial(_exact, bench, QUEUE))
    yield Row("  time", f"{took:.2f} s", f"census --exact {whole:.2f} s", took / whole)
    yield Row("  server time", f"{cost.milliseconds / SAMPLES:.0f} ms in {cost.commands // SAMPLES} commands")
    yield Row("  longest command", f"{cost.worst_ms:.1f} ms")


def _accuracy(found: list[CensusSeen], truth: Count) -> tuple[float, int, int]:
    """(worst deviation in points, claims that hold, claims made)."""
    depth = truth.messages.total()
    off = [
        (abs(row.share - truth.messages[row.name] / depth), row.share_error) for seen in found for row in seen.by_task
    ]
    return 100 * max(far for far, _ in off), sum(far <= error for far, error in off), len(off)


def flow(bench: Bench) -> Iterator[Row]:
    """`doctor` with producers pushing 200/s and a consumer popping 100/s: time beyond its window, server time, rates."""
    for number in range(bench.rounds):
        note(f"doctor under load, round {number + 1} of {bench.rounds}")
        with traffic(bench.path, 200, 100), server_cost(bench.client) as cost:
            child = tidegate("doctor", bench.url, "--window", f"{bench.window_s:g}", "--json")
        seen = next(row for row in json.loads(child.output)["queues"] if row["name"] == QUEUE)
        beyond = child.elapsed_s - bench.window_s
        yield Row("doctor, beyond its window", f"{beyond:.2f} s", promised="≤ 3 s", good=beyond <= 3)
        yield Row("  server time", f"{cost.milliseconds:.1f} ms in {cost.commands} commands", promised="≤ 60 ms",
                  good=cost.milliseconds <= 60)  # fmt: skip
        yield Row("  mostly", f"{cost.mostly} ms")
        yield Row(
            "  longest command", f"{cost.worst_ms:.2f} ms ({cost.worst})", promised="≤ 5 ms", good=cost.worst_ms <= 5
        )
        rates = f"{seen['arrival_per_s']:.1f}/s in, {seen['service_per_s']:.1f}/s out"
        right = abs(seen["arrival_per_s"] - 200) <= 10 and abs(seen["service_per_s"] - 100) <= 5
        yield Row("  rates", rates, "pushed 200/s, popped 100/s", promised="± 5 %", good=right)


def stalls(bench: Bench) -> Iterator[Row]:
    """How long other clients wait at worst, by a pinger's clock."""
    note("stalls")
    path = Path(bench.path)
    naive = worst_stall_ms(bench.path, partial(everything_at_once, path, "LRANGE", QUEUE, "0", "-1"))
    keys = worst_stall_ms(bench.path, partial(everything_at_once, path, "KEYS", "*"))
    yield Row("worst stall, LRANGE 0 -1", f"{naive:.1f} ms", ratio=1.0)
    yield Row("  KEYS *", f"{keys:.1f} ms", "LRANGE 0 -1", keys / naive)
    commands = {
        "nothing at all": partial(time.sleep, 3.0),
        "naive pull": partial(pull, bench.client, QUEUE),
        "census --exact": partial(tidegate, "census", QUEUE, bench.url, "--exact", "--json"),
        "census --sample": partial(tidegate, "census", QUEUE, bench.url, "--json"),
        "doctor": partial(tidegate, "doctor", bench.url, "--window", "3", "--json"),
    }
    for name, work in commands.items():
        stall = worst_stall_ms(bench.path, work)
        yield Row(f"  {name}", f"{stall:.1f} ms", "LRANGE 0 -1", stall / naive)
