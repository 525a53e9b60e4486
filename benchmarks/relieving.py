"""What relief costs: a purge of the incident's queue under traffic against a bare pull-and-push-back, a backup, a restore."""

import json
import multiprocessing
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count, islice, pairwise
from multiprocessing.synchronize import Event
from pathlib import Path

import redis

from benchmarks.baselines import pull_and_push_back
from benchmarks.fill import CHILDREN, FANNED_OUT, OTHERS, QUEUE, message, push
from benchmarks.instruments import Latency, latency, note, seconds, tidegate
from benchmarks.measurements import DEEP, Row
from tidegate.backup.reader import BackupReader
from tidegate.demo.broker import PrivateBroker

INCIDENT = 2_017_633
PUSHES_PER_S, POPS_PER_S = 200, 100
MOST_RATIO, MOST_MS = 2.5, 10.0
LEAST_SMALLER = 10
#: So long the pinger looks at a server with nothing but the traffic, for comparison.
QUIET_S = 10.0
#: Every message carries its number in the order of publishing.
_NUMBER = re.compile(rb'"argsrepr": "\((\d+),\)"')
_CHUNK = 5000


def relieving(messages: int) -> Iterator[Row]:
    """A private server with so many messages, and everything in turn; the purge comes last, as it takes some away."""
    with PrivateBroker() as broker, tempfile.TemporaryDirectory() as place:
        client = redis.Redis(unix_socket_path=str(broker.socket_path))
        note(f"{broker.server} {broker.version}: filling {messages:,} messages")
        for filled in push(client, QUEUE, numbered(messages)):
            if filled % 500_000 == 0:
                note(f"  {filled:,} of {messages:,}")
        note("pull and push back, bare")
        bare_s = seconds(partial(pull_and_push_back, client, QUEUE))
        yield from _backed_up(client, broker, Path(place), bare_s)
        yield from _purged(client, broker, Path(place), messages, bare_s)


def numbered(messages: int) -> Iterator[bytes]:
    """A backlog as `fill.backlog` makes it, whose messages are numbered."""
    tasks = [FANNED_OUT] * CHILDREN + OTHERS[:24]
    for number in islice(count(), messages):
        rest = OTHERS[number % len(OTHERS)]
        task = tasks[number % len(tasks)]
        yield message(task if task == FANNED_OUT else rest, number, f"root-{number // len(tasks)}")


def number_of(element: bytes) -> int:
    """Which message it is."""
    found = _NUMBER.search(element)
    return int(found[1]) if found else -1


@dataclass
class Traffic:
    """What producers and a consumer did: how many messages were published, and which were taken, in their order."""

    published: int = 0
    taken: list[int] = field(default_factory=list)


@contextmanager
def traffic(path: str, first: int, report: Path) -> Iterator[Traffic]:
    """Both at work in a process of their own, from message `first` on; what they did is known at the end."""
    did, ended = Traffic(first), multiprocessing.Event()
    process = multiprocessing.Process(target=_work, args=(path, first, ended, report), daemon=True)
    process.start()
    try:
        yield did
    finally:
        ended.set()
        process.join()
    did.published, did.taken = json.loads(report.read_text())


def _work(path: str, first: int, ended: Event, report: Path) -> None:
    client = redis.Redis(unix_socket_path=path)
    began, number, taken = time.monotonic(), first, []
    while not ended.wait(0.002):
        since = time.monotonic() - began
        while number - first < since * PUSHES_PER_S:
            client.lpush(QUEUE, message(FANNED_OUT, number, "root"))
            number += 1
        while len(taken) < since * POPS_PER_S and (got := client.rpop(QUEUE)) is not None:
            taken.append(number_of(got))  # type: ignore[arg-type]
    report.write_text(json.dumps([number, taken]))


def _purged(client: redis.Redis, broker: PrivateBroker, place: Path, messages: int, bare_s: float) -> Iterator[Row]:
    note("purge under traffic")
    backup, took = place / "purged.tgb", [0.0]
    words = ("purge", QUEUE, broker.url, "--task", FANNED_OUT, "--older-than", "10s", "--yes", "--backup", str(backup))

    def work() -> None:
        took[0] = seconds(lambda: tidegate(*words))

    with traffic(str(broker.socket_path), messages, place / "traffic.json") as did:
        seen = latency(str(broker.socket_path), work)
    note("nothing under traffic")
    with traffic(str(broker.socket_path), did.published, place / "noise.json") as after:
        noise = latency(str(broker.socket_path), partial(time.sleep, QUIET_S))
    did.published, did.taken = after.published, did.taken + after.taken
    ratio = took[0] / bare_s
    good = ratio <= MOST_RATIO if messages >= DEEP else None
    yield Row(
        "purge under traffic",
        f"{took[0]:.1f} s",
        f"bare pull-and-push-back {bare_s:.1f} s",
        ratio,
        f"≤ {MOST_RATIO}",
        good,
    )
    yield from _stalls(seen, noise)
    yield from _accounts(did, removed_of(backup), list(map(number_of, whole(client, QUEUE))))


def _stalls(seen: Latency, noise: Latency) -> Iterator[Row]:
    half = MOST_MS / 2
    yield Row(
        "  worst wait of a 1 ms pinger", f"{seen.worst_ms:.1f} ms", f"nothing at all {noise.worst_ms:.1f} ms",
        seen.worst_ms / noise.worst_ms, f"< {MOST_MS:g} ms", seen.worst_ms < MOST_MS,
    )  # fmt: skip
    yield Row(
        "  its 99.9th percentile", f"{seen.p999_ms:.1f} ms", f"nothing at all {noise.p999_ms:.1f} ms",
        seen.p999_ms / noise.p999_ms, f"< {half:g} ms", seen.p999_ms < half,
    )  # fmt: skip


def _accounts(did: Traffic, removed: list[int], kept: list[int]) -> Iterator[Row]:
    """Every message is in exactly one place; what is kept and what was taken, in the order of publishing."""
    whole_ = sorted([*removed, *kept, *did.taken])
    once = whole_ == list(range(did.published))
    yield Row(
        "  removed + kept + consumed", f"{len(removed):,} + {len(kept):,} + {len(did.taken):,}",
        f"published {did.published:,}", promised="exactly once each", good=once,
    )  # fmt: skip
    executed = [*did.taken, *reversed(kept)]
    yield Row("  consumed, then kept", f"{len(executed):,}", promised="in order", good=ascending(executed))


def ascending(numbers: Iterable[int]) -> bool:
    """Whether each is larger than the one before."""
    return all(one < other for one, other in pairwise(numbers))


def removed_of(backup: Path) -> list[int]:
    """The numbers of what a backup holds."""
    reader = BackupReader.open(backup)
    return [number_of(element) for batch in reader.batches() for element in batch.elements]


def whole(client: redis.Redis, queue: str) -> Iterator[bytes]:
    """The list, newest first."""
    start = 0
    while rows := client.lrange(queue, start, start + _CHUNK - 1):
        yield from rows  # type: ignore[misc]
        start += len(rows)  # type: ignore[arg-type]


def _backed_up(client: redis.Redis, broker: PrivateBroker, place: Path, bare_s: float) -> Iterator[Row]:
    """A backup of the whole queue, and what it gives back in an empty one."""
    note("backup and restore")
    file, held = place / "whole.tgb", sum(map(len, whole(client, QUEUE)))
    saving_s = seconds(lambda: tidegate("backup", QUEUE, str(file), broker.url))
    smaller = held / file.stat().st_size
    yield Row("backup", f"{saving_s:.1f} s", f"bare pull-and-push-back {bare_s:.1f} s", saving_s / bare_s)
    yield Row(
        "  bytes on disk", f"{file.stat().st_size / 1e6:.0f} MB", f"in Redis {held / 1e6:.0f} MB", 1 / smaller,
        f"≥ {LEAST_SMALLER} × smaller", smaller >= LEAST_SMALLER,
    )  # fmt: skip
    client.rename(QUEUE, "before")
    restoring_s = seconds(lambda: tidegate("restore", str(file), broker.url, "--yes"))
    same = all(one == other for one, other in zip(whole(client, "before"), whole(client, QUEUE), strict=False))
    same = same and client.llen("before") == client.llen(QUEUE)
    yield Row("restore", f"{restoring_s:.1f} s", f"bare pull-and-push-back {bare_s:.1f} s", restoring_s / bare_s)
    yield Row("  what is there again", f"{client.llen(QUEUE):,} messages", promised="identical, in order", good=same)
    client.delete(QUEUE)
    client.rename("before", QUEUE)
