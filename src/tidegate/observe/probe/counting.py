"""Runs into slices: every run is counted in the minute of its end, by task, queue and entry. About 10 µs a run."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from tidegate.facts.measured import FIRINGS_FOLLOWED, OTHERS, TICKS, Busy, Depth, Followed, Key, Runs, Slice, Tick
from tidegate.facts.sketch import Sketch
from tidegate.observe.probe.clock import BrokerClock
from tidegate.observe.probe.recorder import NO_SLOT
from tidegate.observe.probe.rings import Run
from tidegate.observe.probe.run import Ended, Flag, Started, sendable
from tidegate.observe.probe.waits import Waits

MINUTE_S = 60
_TICK_S = MINUTE_S // TICKS
#: A firing is counted where it began, unless that minute may be final.
_OPEN_S = 45.0
#: Bounds of what comes from messages, so that no flood of names fills the memory.
_MOST_ENTRIES = 1000
_MOST_CHILDREN = 100
_MOST_QUEUES = 500
_MOST_NAMES = 20_000
#: Up to so many busy slots are told apart one by one, more by steps of a sixteenth.
_EXACT_BUSY = 32
#: A slot that stood longer between two runs had something else to do than to fetch the next message.
_LONGEST_TURNAROUND_S = 60.0

QueueOf = Callable[[str, str], str]


class _Slot(NamedTuple):
    serial: int
    end_us: int


class Counting:
    """The open slices of one process, by the second in which they start.

    `queue_of` gives the queue of an exchange and a routing key, `is_limited` whether a task has a rate limit.
    """

    def __init__(
        self, clock: BrokerClock, queue_of: QueueOf, is_limited: Callable[[str], bool], most_keys: int = 2000
    ) -> None:
        self.slices: dict[int, Slice] = {}
        #: Since the worker started: runs, the time they took, their CPU time and what their processes spent beside them.
        self.runs = 0
        self.run_us = 0
        self.cpu_us = 0
        self.outside_us = 0
        self._clock = clock
        self._queue_of = queue_of
        self._is_limited = is_limited
        self._most_keys = most_keys
        self._waits = Waits()
        self._slots: dict[int, _Slot] = {}
        self._names: dict[str, str] = {}
        self._last_end_us = 0

    def slice_at(self, at_s: float) -> Slice:
        """The slice of that moment."""
        start_s = int(at_s // MINUTE_S) * MINUTE_S
        slice_ = self.slices.get(start_s)
        if slice_ is None:
            slice_ = self.slices[start_s] = Slice(start_s, MINUTE_S)
            if start_s % 600 == 0:
                self._waits.forget_lags()
        return slice_

    def add(self, runs: Iterable[tuple[int, Run]]) -> None:
        """Counts runs that ended, each with the slot it ran in."""
        for slot, (started, ended) in sorted(runs, key=_end):
            known = self._slots.get(slot)
            if known is not None and ended.serial <= known.serial:
                # It was found twice: as the last thing its killed process did, and as what it had not finished.
                continue
            self._add(slot, known, started, ended)
            if slot != NO_SLOT:
                self._slots[slot] = _Slot(ended.serial, ended.end_us)
            self._last_end_us = max(self._last_end_us, ended.end_us)

    def skipped(self, outcome: str, task: str, exchange: str, routing_key: str, entry: str) -> None:
        """Counts a message that was taken and not run: expired, revoked, rejected."""
        slice_ = self.slice_at(self._clock.now())
        key = Key(self._name(task), self._name(self._queue_of(exchange, routing_key)), self._name(entry))
        self._runs(slice_, key).outcomes[outcome] += 1

    def depth(self, queue: str, messages: int) -> None:
        """Counts one look at a queue's length."""
        at_s = self._clock.now()
        slice_ = self.slice_at(at_s)
        depths = slice_.depths.setdefault(self._name(queue), {})
        tick = _tick(at_s, slice_)
        depth = depths.get(tick)
        depths[tick] = Depth(1, messages) if depth is None else Depth(depth.looks + 1, depth.messages + messages)

    def _add(self, slot: int, known: _Slot | None, started: Started, ended: Ended) -> None:
        run_us = max(0, ended.end_us - started.start_us)
        start_s, end_s = self._clock.at(started.start_us), self._clock.at(ended.end_us)
        slice_ = self.slice_at(end_s)
        queue = self._name(self._queue_of(started.exchange, started.routing_key))
        entry = self._name(started.entry)
        runs = self._runs(slice_, Key(self._name(started.task), queue, entry))
        runs.run.add(run_us / 1e6)
        runs.outcomes[ended.outcome] += 1
        self._count_load(runs, started, ended, run_us, _tick(end_s, slice_))
        self._count_wait(slice_, runs, slot, known, started, start_s, queue)
        if ended.children:
            self._count_children(runs, ended.children)
        if started.flags & Flag.FIRST and not started.flags & Flag.REDELIVERED:
            self._count_firing(slice_, runs, started, start_s, queue, entry)
        if entry:
            _follow(slice_, entry, started.root, run_us * 1000)

    def _count_load(self, runs: Runs, started: Started, ended: Ended, run_us: int, tick: int) -> None:
        self.runs += 1
        self.run_us += run_us
        self.cpu_us += ended.cpu_us
        self.outside_us += started.outside_us
        busy = rounded_busy((started.busy + ended.busy + 1) // 2)
        was = runs.busy.get(busy)
        seen = (1, run_us * 1000, ended.cpu_us * 1000)
        runs.busy[busy] = Busy(*seen) if was is None else Busy(was[0] + 1, was[1] + seen[1], was[2] + seen[2])
        before = runs.ticks.get(tick)
        runs.ticks[tick] = (
            Tick(1, seen[1], 0) if before is None else Tick(before[0] + 1, before[1] + seen[1], before[2])
        )

    def _count_wait(
        self, slice_: Slice, runs: Runs, slot: int, known: _Slot | None, started: Started, start_s: float, queue: str
    ) -> None:
        waited = self._waits.wait(started, start_s, slice_)
        runs.odd_stamps += waited.odd
        if waited.wait_s is None or waited.published_s is None:
            return
        runs.wait.add(round(waited.wait_s, 6))
        idle_us = started.start_us - self._last_end_us
        if self._last_end_us and idle_us > 0 and started.flags & Flag.FIRST:
            self._waits.met_idle(started, waited, idle_us / 1e6, slice_)
        if known is None or started.flags & (Flag.FRESH | Flag.REDELIVERED):
            return
        gap_s = (started.start_us - known.end_us) / 1e6
        waited_for_slot = waited.published_s + self._waits.lag_of(started) < self._clock.at(known.end_us)
        room = queue in slice_.turnaround or len(slice_.turnaround) < _MOST_QUEUES
        if room and waited_for_slot and 0 <= gap_s < _LONGEST_TURNAROUND_S and not self._is_limited(started.task):
            slice_.turnaround.setdefault(queue, Sketch()).add(gap_s)

    def _count_firing(
        self, slice_: Slice, runs: Runs, started: Started, start_s: float, queue: str, entry: str
    ) -> None:
        began = self.slices.get(int(start_s // MINUTE_S) * MINUTE_S)
        tick = 0
        if began is slice_:
            tick = _tick(start_s, slice_)
        elif began is not None and self._clock.now() < began.start_s + MINUTE_S + _OPEN_S:
            runs, tick = self._runs(began, Key(self._name(started.task), queue, entry)), _tick(start_s, began)
        runs.firings += 1
        was = runs.ticks.get(tick)
        runs.ticks[tick] = Tick(0, 0, 1) if was is None else Tick(was.runs, was.run_ns, was.firings + 1)

    def _count_children(self, runs: Runs, children: dict[str, int]) -> None:
        for name, count in children.items():
            child = self._name(name)
            if child not in runs.children and len(runs.children) >= _MOST_CHILDREN:
                child = OTHERS.task
            runs.children[child] += count

    def _runs(self, slice_: Slice, key: Key) -> Runs:
        runs = slice_.runs.get(key)
        if runs is None:
            if len(slice_.runs) >= 2 * self._most_keys and key != OTHERS:
                return self._runs(slice_, OTHERS)
            runs = slice_.runs[key] = Runs()
        return runs

    def _name(self, name: str) -> str:
        """The name as it can be written down; one and the same object every time."""
        known = self._names.get(name)
        if known is None:
            if len(self._names) >= _MOST_NAMES:
                self._names.clear()
            known = self._names[name] = sendable(name)
        return known


def rounded_busy(slots: int) -> int:
    """The number of busy slots, exact up to 32, then by steps of a sixteenth: a thousand greenlets are 100 numbers."""
    if slots <= _EXACT_BUSY:
        return slots
    step = 1 << (slots.bit_length() - 5)
    return (slots + step // 2) // step * step


def _end(run: tuple[int, Run]) -> int:
    return run[1][1].end_us


def _tick(at_s: float, slice_: Slice) -> int:
    return min(TICKS - 1, max(0, int((at_s - slice_.start_s) / _TICK_S)))


def _follow(slice_: Slice, entry: str, root: int, run_ns: int) -> None:
    """Adds a run to its firing, where that is one of those with the smallest hashes."""
    firings = slice_.followed.get(entry)
    if firings is None:
        if len(slice_.followed) >= _MOST_ENTRIES:
            return
        firings = slice_.followed[entry] = {}
    was = firings.get(root)
    if was is not None:
        firings[root] = Followed(was.runs + 1, was.run_ns + run_ns)
        return
    if len(firings) >= FIRINGS_FOLLOWED:
        largest = max(firings)
        if root > largest:
            return
        del firings[largest]
    firings[root] = Followed(1, run_ns)
