"""A day of 100 tasks in 10 queues, written through the real store by several processes, on a clock that is ours."""

import itertools
import random
import time
from collections.abc import Iterator

from benchmarks.instruments import note
from tidegate.broker import ledger
from tidegate.broker.address import parse_address
from tidegate.broker.client import Broker, connect
from tidegate.broker.merging import Turn
from tidegate.config import APP_SETTINGS
from tidegate.demo.broker import PrivateBroker
from tidegate.facts.unknown import known
from tidegate.observe.measured import read_measured
from tidegate.observe.probe.clock import BrokerClock
from tidegate.observe.probe.counting import Counting
from tidegate.observe.probe.outbox import Outbox
from tidegate.observe.probe.run import Flag, Kind, Names, Run

TASKS, QUEUES = 100, 10
#: A day that lies ahead, or the server would let the records of the past go at once.
DAY_S = (int(time.time()) // 21_600 + 2) * 21_600
DEFAULTS = {setting.name.removeprefix("tidegate_probe_"): setting.default for setting in APP_SETTINGS}
KEEP_S, MOST_KEYS, MOST_BYTES = (int(DEFAULTS[name]) for name in ("keep_s", "max_keys", "max_bytes"))
KINDS = [
    Kind(Names(f"shop.orders.tasks.refresh_{task}", "", f"queue-{queue}", "")) for queue in range(QUEUES) for task in range(TASKS)
]  # fmt: skip


class Simulated(BrokerClock):
    """A clock that stands where it is put; monotonic time is the broker's."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor_s, self.now_s = 0.0, float(DAY_S)

    def now(self) -> float:
        return self.now_s


class Process:
    """One worker process: counts what it is given and writes it as the collector does."""

    def __init__(self, name: str, clock: Simulated, seed: int) -> None:
        self.clock = clock
        self.chance = random.Random(seed)
        self.counting = Counting(clock, lambda _, routing_key: routing_key, lambda _: False, MOST_KEYS)
        self.outbox = Outbox(name, self.counting.slices, KEEP_S, MOST_KEYS)
        self.serial = 0

    def run(self, count: int) -> list[Run]:
        """So many runs that ended during the last minute, spread over all combinations of task and queue."""
        ends = sorted(self.clock.now_s - self.chance.uniform(0, 59) for _ in range(count))
        return [self._one(end_s) for end_s in ends]

    def _one(self, end_s: float) -> Run:
        self.serial += 1
        task, kind = self.serial % TASKS, KINDS[self.serial % (TASKS * QUEUES)]
        run_s, wait_s = self.chance.lognormvariate(-3 + task / 25, 0.4), self.chance.expovariate(1.0)
        start_us, end_us = int((end_s - run_s) * 1e6), int(end_s * 1e6)
        busy = self.chance.randint(1, 4)
        return Run(
            busy, kind, f"web-{self.serial % 3}", None, Flag.FIRST, busy, busy, 0, self.chance.getrandbits(32), self.serial,
            start_us, end_us, int(run_s * 3e5), 100, start_us / 1e6 - wait_s, 0.0,
        )  # fmt: skip

    def fold(self, broker: Broker, most_bytes: int) -> None:
        letters = self.outbox.letters(self.clock.now_s, most_bytes)
        commands = [one for letter in letters for one in ledger.writing(broker.layout, *letter, KEEP_S)]
        broker.ask(*commands)
        self.outbox.sent(letters, self.clock.now_s)


def day(processes: int, runs_per_minute: int, hours: int = 24, cap: int = MOST_BYTES) -> Iterator[tuple[int, int, int]]:
    """(minute, bytes in the server, slices) every quarter of an hour of the simulated day."""
    with PrivateBroker() as server, connect(parse_address(server.socket_url), 30.0) as broker:
        clock = Simulated()
        workers = [Process(f"{number:012x}", clock, number) for number in range(processes)]
        for minute in range(hours * 60):
            clock.now_s = DAY_S + minute * 60 + 59.5
            for worker in workers:
                worker.counting.add(worker.run(runs_per_minute))
                worker.fold(broker, cap // (8 * processes))
            Turn(broker, clock.now_s, KEEP_S, cap, MOST_KEYS, work_s=60.0).run()
            if minute % 15 == 14:
                weight = sum(one for one in ledger.weights(broker, ledger.stretches(broker)).values() if known(one))
                note(f"  {minute + 1} minutes: {weight / 1e6:.2f} MB in {len(ledger.stretches(broker))} stretches")
                yield minute + 1, weight, len(ledger.stretches(broker))
        began = time.perf_counter()
        measured = read_measured(broker)
        keys = max(len(slice_.runs) for slice_ in measured.slices)
        runs = sum(runs.run.count for slice_ in measured.slices for runs in slice_.runs.values())
        folded = sum(slice_.counts["keys_folded"] for slice_ in measured.slices)
        lengths = [
            (length, len(list(group))) for length, group in itertools.groupby(s.length_s for s in measured.slices)
        ]
        note(
            f"  read in {time.perf_counter() - began:.2f} s: {runs:,} runs, {keys} keys, {folded} folded, lengths {lengths}"
        )
