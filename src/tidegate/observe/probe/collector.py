"""The collector: one thread in a worker's main process that counts finished runs and writes the counts to Redis.

Twice a second it takes what ended, every few seconds it writes: some commands, however many tasks ran. It has its own
connection and short timeouts, so the worker never waits for it; without Redis it goes on counting.
"""

import logging
import threading
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from tidegate.broker import ledger
from tidegate.broker.client import Command, Refusal
from tidegate.broker.merging import TURN_S, Turn, take_turn
from tidegate.broker.records import encode_worker
from tidegate.broker.relief import key_of
from tidegate.errors import TidegateError
from tidegate.facts.measured import WorkerSeen
from tidegate.observe.probe.clock import BrokerClock
from tidegate.observe.probe.counting import Counting
from tidegate.observe.probe.link import Away, Link, refusal_among
from tidegate.observe.probe.outbox import Letter, Outbox
from tidegate.observe.probe.run import Names, Run
from tidegate.observe.probe.settings import ProbeSettings

log = logging.getLogger("tidegate.probe")

#: A ring holds more than four seconds of the shortest tasks.
_DRAIN_S = 0.5
_FINISH_S = 2.0
#: A process may take this part of the whole for one minute, shared among all: three minutes of each are there at once.
_SHARE = 8
_LEAST_RECORD_BYTES = 20_000
_WORKERS_KEPT_S = 3600


class Source(ABC):
    """Where a collector gets what it counts: the worker's own side of it (worker.py)."""

    @abstractmethod
    def drain(self) -> list[Run]:
        """Runs that ended since the last call."""

    @abstractmethod
    def skipped(self) -> list[tuple[str, Names]]:
        """Outcome and names of messages that were taken and not run, since the last call."""

    @abstractmethod
    def seen(self, counting: Counting, *, gone: bool) -> WorkerSeen:
        """What the worker says of itself; called once a fold."""

    @abstractmethod
    def queues(self) -> dict[str, list[str]]:
        """The lists of every queue that the worker consumes."""

    @abstractmethod
    def account(self) -> Iterable[tuple[str, int]]:
        """What went wrong, by name, since the last call."""

    @abstractmethod
    def clock_learned(self, anchor_s: float) -> None:
        """The broker's time is known."""


class Collector:
    """Drains, counts, folds; `process` names this worker among all. Nothing it does raises into the worker."""

    def __init__(
        self, source: Source, counting: Counting, clock: BrokerClock, link: Link, settings: ProbeSettings, process: str
    ) -> None:
        self._source = source
        self._counting = counting
        self._clock = clock
        self._link = link
        self._settings = settings
        self._process = process
        self._outbox = Outbox(process, counting.slices, settings.keep_s, settings.max_keys)
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._workers = 1
        self._next_fold_s = 0.0
        # Workers that were started together need not write, nor merge, at the same moment.
        self._spread = zlib.crc32(process.encode()) / 2**32
        self._next_turn_s = time.monotonic() + TURN_S * (1 + self._spread)
        self._complained: set[str] = set()

    def start(self) -> None:
        """Starts the thread, once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="tidegate-probe", daemon=True)
            self._thread.start()

    def finish(self) -> None:
        """Writes what there is and ends; takes two seconds at most, whatever Redis does."""
        if self._thread is not None and not self._ended.is_set():
            self._ended.set()
            self._thread.join(_FINISH_S)

    def _run(self) -> None:
        while not self._ended.wait(_DRAIN_S):
            self._guarded(self._turn)
        self._guarded(self._collect)
        self._guarded(lambda: self._fold(gone=True))
        self._link.close()

    def _turn(self) -> None:
        self._collect()
        now_s = time.monotonic()
        if now_s >= self._next_fold_s:
            every_s = self._settings.every_s
            first = not self._next_fold_s
            self._next_fold_s = now_s + every_s * (self._spread if first else 1)
            self._fold()
        if now_s >= self._next_turn_s:
            self._next_turn_s = now_s + TURN_S
            self._merge()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Away:
            return
        except Exception as error:
            # Each kind of error once: the collector goes on, and so does the worker.
            name = type(error).__name__
            if name not in self._complained:
                self._complained.add(name)
                log.warning("the probe stumbled and goes on (%s: %s)", name, error, exc_info=True)

    def _collect(self) -> None:
        self._counting.add(self._source.drain())
        for outcome, names in self._source.skipped():
            self._counting.skipped(outcome, names)

    def _fold(self, *, gone: bool = False) -> None:
        self._learn_clock()
        for name, count in self._source.account():
            if count:
                self._counting.slice_at(self._clock.now()).counts[name] += count
        now_s = self._clock.now()
        # There is always a slice of now, so that silence can be told from absence.
        self._counting.slice_at(now_s)
        letters = self._outbox.letters(now_s, self._most_bytes())
        queues = self._source.queues()
        writing = self._writing(letters, self._source.seen(self._counting, gone=gone))
        looking = [command for queue, lists in queues.items() for command in self._looking(queue, lists)]
        try:
            answers = self._link.ask(*writing, *looking)
        except Away as away:
            if away.in_doubt:
                self._outbox.in_doubt(letters)
            raise
        self._note(letters, now_s, answers[: len(writing)])
        self._count_depths(queues, answers[len(writing) :])

    def _learn_clock(self) -> None:
        asked_s = time.monotonic()
        answer = self._link.ask(("TIME",))[0]
        if isinstance(answer, list):
            self._clock.learn(asked_s, time.monotonic(), int(answer[0]) + int(answer[1]) / 1e6)
            self._source.clock_learned(self._clock.anchor_s)

    def _writing(self, letters: list[Letter], seen: WorkerSeen) -> list[Command]:
        layout, keep_s = self._link.address.layout, self._settings.keep_s
        workers = ledger.workers_key(layout)
        return [
            ("HLEN", workers),
            ("HSET", workers, self._process, encode_worker(seen)),
            ("EXPIRE", workers, _WORKERS_KEPT_S),
            *(command for letter in letters for command in ledger.writing(layout, *letter, keep_s)),
            ("EXPIRE", ledger.stretches_key(layout), keep_s),
        ]

    def _note(self, letters: list[Letter], now_s: float, answers: list[Any]) -> None:
        refusal = refusal_among(answers)
        if refusal is not None:
            # At its memory limit, or without the right: what was refused is tried again at the next fold.
            self._link.complain(refusal.why)
            return
        self._workers = max(1, int(answers[0]))
        self._outbox.sent(letters, now_s)
        self._link.works()

    def _looking(self, queue: str, lists: list[str]) -> list[Command]:
        held = key_of(self._link.address.layout.prefix, f"queue:{queue}")
        return [("EXISTS", held), *(("LLEN", key) for key in lists)]

    def _count_depths(self, queues: dict[str, list[str]], answers: list[Any]) -> None:
        place = 0
        for queue, lists in queues.items():
            held, *lengths = answers[place : place + 1 + len(lists)]
            place += 1 + len(lists)
            # While an act of relief has the queue, its lists do not say how much waits.
            if held != 1 and not any(isinstance(length, Refusal) for length in lengths):
                self._counting.depth(queue, sum(lengths))

    def _most_bytes(self) -> int:
        return max(_LEAST_RECORD_BYTES, self._settings.max_bytes // (_SHARE * self._workers))

    def _merge(self) -> None:
        broker, settings = self._link.open(), self._settings
        try:
            if take_turn(broker, self._process):
                Turn(broker, self._clock.now(), settings.keep_s, settings.max_bytes, settings.max_keys).run()
        except TidegateError as error:
            raise self._link.failed(str(error), in_doubt=False) from error
