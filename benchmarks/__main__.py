"""One run: a private server, a backlog, and every part measured against its baseline; a table on stdout."""

import argparse
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import redis

from benchmarks import fill
from benchmarks.beating import beating
from benchmarks.gating import gating
from benchmarks.instruments import note
from benchmarks.measurements import Bench, Row, exact, flow, sampled, stalls
from benchmarks.probing import probing
from benchmarks.relieving import INCIDENT, relieving
from benchmarks.simulations import simulations
from tidegate.demo.broker import PrivateBroker

PARTS = {"exact": exact, "sample": sampled, "doctor": flow, "stalls": stalls}
#: These need no server, and get the number of rounds.
WITHOUT_SERVER = {"simulate": simulations, "probe": probing, "gate": gating, "beat": beating}

#: This one has a server of its own, and gets the number of messages.
RELIEF = "relief"
MESSAGES = 200_000


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--messages", type=int, help="depth of the queue (200000; of relief the incident's 2017633)")
    parser.add_argument("--keys", type=int, default=100_000, help="other keys in the database")
    parser.add_argument("--rounds", type=int, default=3, help="how often each timing is repeated, interleaved")
    parser.add_argument("--window", type=float, default=10.0, help="seconds that doctor watches")
    parser.add_argument(
        "--only", choices=sorted([*PARTS, *WITHOUT_SERVER, RELIEF]), action="append", help="measure this part only"
    )
    return parser.parse_args()


@contextmanager
def prepared(options: argparse.Namespace) -> Iterator[Bench]:
    """A server with the backlog, the other keys, and the queue of distinct bodies."""
    with PrivateBroker() as broker, redis.Redis(unix_socket_path=str(broker.socket_path)) as client:
        messages = options.messages or MESSAGES
        note(f"{broker.server} {broker.version}: filling {messages:,} messages twice, {options.keys:,} keys")
        _tell(fill.push(client, fill.QUEUE, fill.backlog(messages)), messages)
        _tell(fill.push(client, fill.DISTINCT, fill.all_distinct(messages)), messages)
        _tell(fill.other_keys(client, options.keys), options.keys)
        yield Bench(client, str(broker.socket_path), broker.socket_url, options.rounds, options.window)


def _tell(counts: Iterable[int], total: int) -> None:
    for number, count in enumerate(counts):
        if number % 400 == 399:
            note(f"  {count:,} of {total:,}")


def show(rows: Iterable[Row]) -> None:
    """The table: what, measured, against what, ratio, and the bound where one is promised."""
    lines = [("what", "measured", "baseline", "ratio", "promised", ""), *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """Of every chosen part; the server is filled only where one of them needs it."""
    chosen = options.only or [*PARTS, *WITHOUT_SERVER, RELIEF]
    if any(name in PARTS for name in chosen):
        with prepared(options) as bench:
            for name in chosen:
                yield from PARTS[name](bench) if name in PARTS else ()
    for name in chosen:
        yield from WITHOUT_SERVER[name](options.rounds) if name in WITHOUT_SERVER else ()
    if RELIEF in chosen:
        yield from relieving(options.messages or INCIDENT)


def main() -> None:
    show(list(rows(arguments())))


if __name__ == "__main__":
    main()
