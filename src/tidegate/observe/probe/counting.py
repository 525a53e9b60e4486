"""Runs into slices: every run is counted in the minute of its end, by task, queue and entry. Some 4 µs a run."""

from collections.abc import Callable, Mapping
from operator import attrgetter

from tidegate.facts.measured import FIRINGS_FOLLOWED, OTHERS, TICKS, Depth, Followed, Key, Runs, Slice
from tidegate.facts.sketch import Sketch
from tidegate.observe.probe.clock import BrokerClock
from tidegate.observe.probe.recorder import NO_SLOT
from tidegate.observe.probe.run import Flag, Kind, Names, Run
from tidegate.observe.probe.tally import Tally, note_firing
from tidegate.observe.probe.waits import OddStamp, Waits

MINUTE_S = 60
_MINUTE_US = MINUTE_S * 1_000_000
_TICK_US = _MINUTE_US // TICKS
#: A firing is counted where it began, unless that minute may be final.
_OPEN_S = 45.0
#: Bounds of what comes from messages, so that no flood of names fills the memory.
_MOST_ENTRIES = 1000
_MOST_CHILDREN = 100
_MOST_QUEUES = 500
#: A slot that stood longer between two runs had something else to do than to fetch the next message.
_LONGEST_TURNAROUND_US = 60_000_000
_NOT_WAITED_FOR = Flag.FRESH | Flag.REDELIVERED

QueueOf = Callable[[str, str], str]


class _Minute:
    """One slice while runs are put into it."""

    def __init__(self, slice_: Slice, anchor_s: float) -> None:
        self.slice = slice_
        #: Its start on the monotonic clock.
        self.from_us = round((slice_.start_s - anchor_s) * 1e6)
        self.to_us = self.from_us + _MINUTE_US
        self.tallies: dict[Kind, Tally] = {}


class Counting:
    """The open slices of one process, by the second in which they start.

    `queue_of` gives the queue of an exchange and a routing key, `is_limited` whether a task has a rate limit.
    """

    def __init__(
        self, clock: BrokerClock, queue_of: QueueOf, is_limited: Callable[[str], bool], most_keys: int = 2000
    ) -> None:
        self.slices: dict[int, Slice] = {}
        #: Since the worker started: runs, their CPU time, and what their processes spent beside them.
        self.runs = 0
        self.cpu_us = 0
        self.outside_us = 0
        self._clock = clock
        self._queue_of = queue_of
        self._is_limited = is_limited
        self._most_keys = most_keys
        self._waits = Waits()
        self._slots: dict[int, Run] = {}
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

    def add(self, runs: list[Run]) -> None:
        """Counts runs that ended."""
        self.outside_us += sum(run.outside_us for run in runs)
        minute = None
        for run in sorted(runs, key=attrgetter("end_us")):
            last = self._slots.get(run.slot)
            if last is not None and run.serial <= last.serial:
                # It was found twice: as the last thing its killed process did, and as what it had not finished.
                continue
            if minute is None or not minute.from_us <= run.end_us < minute.to_us:
                self._close(minute)
                minute = _Minute(self.slice_at(self._clock.at(run.end_us)), self._clock.anchor_s)
            self._add(minute, last, run)
            if run.slot != NO_SLOT:
                self._slots[run.slot] = run
            self._last_end_us = max(self._last_end_us, run.end_us)
        self._close(minute)

    def skipped(self, outcome: str, names: Names) -> None:
        """Counts a message that was taken and not run: expired, revoked, rejected."""
        slice_ = self.slice_at(self._clock.now())
        self._runs(slice_, self._key(names)).outcomes[outcome] += 1

    def depth(self, queue: str, messages: int) -> None:
        """Counts one look at a queue's length."""
        at_s = self._clock.now()
        slice_ = self.slice_at(at_s)
        depths = slice_.depths.setdefault(queue, {})
        tick = int((at_s - slice_.start_s) * TICKS / MINUTE_S)
        was = depths.get(tick, Depth(0, 0))
        depths[tick] = Depth(was.looks + 1, was.messages + messages)

    def _add(self, minute: _Minute, last: Run | None, run: Run) -> None:
        tally = minute.tallies.get(run.kind)
        if tally is None:
            tally = minute.tallies[run.kind] = self._tally(minute.slice, run.kind.names)
        run_us = max(0, run.end_us - run.start_us)
        tick = (run.end_us - minute.from_us) // _TICK_US
        tally.add(tick, (run.busy + run.busy_at_end + 1) // 2, run_us, run.cpu_us, run.outcome)
        self._count_wait(minute.slice, tally, last, run)
        if run.children is not None:
            _count_children(tally.runs, run.children)
        if run.flags & Flag.FIRST:
            if run.start_us >= minute.from_us:
                note_firing(tally.runs, (run.start_us - minute.from_us) // _TICK_US)
            else:
                self._count_earlier_firing(tally, run)
        if tally.key.entry:
            _follow(minute.slice, tally.key.entry, run.root, run_us * 1000)

    def _count_wait(self, slice_: Slice, tally: Tally, last: Run | None, run: Run) -> None:
        start_s = self._clock.at(run.start_us)
        try:
            due_s = self._waits.due(run, start_s, slice_)
        except OddStamp:
            tally.runs.odd_stamps += 1
            return
        if due_s is None:
            return
        wait_us = round((start_s - due_s) * 1e6)
        tally.waits_us.append(wait_us)
        if self._last_end_us and run.flags & Flag.FIRST and run.busy == 1:
            self._waits.met_idle(run, wait_us, (run.start_us - self._last_end_us) / 1e6, slice_)
        # The slot stood still although the message was there when its last run ended.
        if last is None or run.flags & _NOT_WAITED_FOR or tally.limited:
            return
        gap_us = run.start_us - last.end_us
        if 0 <= gap_us < wait_us - self._waits.lag_of(run) * 1e6 and gap_us < _LONGEST_TURNAROUND_US:
            tally.gaps_us.append(gap_us)

    def _count_earlier_firing(self, tally: Tally, run: Run) -> None:
        """Counts a firing in the minute in which it began, while that is open, else at the start of this one."""
        start_s = self._clock.at(run.start_us)
        began = self.slices.get(int(start_s // MINUTE_S) * MINUTE_S)
        if began is None or self._clock.now() > began.start_s + MINUTE_S + _OPEN_S:
            note_firing(tally.runs, 0)
        else:
            note_firing(self._runs(began, tally.key), int((start_s - began.start_s) * TICKS / MINUTE_S))

    def _tally(self, slice_: Slice, names: Names) -> Tally:
        key = self._key(names)
        return Tally(key, self._runs(slice_, key), self._is_limited(names.task))

    def _key(self, names: Names) -> Key:
        return Key(names.task, self._queue_of(names.exchange, names.routing_key), names.entry)

    def _runs(self, slice_: Slice, key: Key) -> Runs:
        runs = slice_.runs.get(key)
        if runs is None:
            if len(slice_.runs) >= 2 * self._most_keys and key != OTHERS:
                return self._runs(slice_, OTHERS)
            runs = slice_.runs[key] = Runs()
        return runs

    def _close(self, minute: _Minute | None) -> None:
        if minute is not None:
            turnaround = minute.slice.turnaround
            for tally in minute.tallies.values():
                tally.flush()
                self.runs += tally.count
                self.cpu_us += tally.cpu_us
                queue = tally.key.queue
                if tally.gaps_us and (queue in turnaround or len(turnaround) < _MOST_QUEUES):
                    turnaround.setdefault(queue, Sketch()).add_us(tally.gaps_us)


def _count_children(runs: Runs, children: Mapping[str, int]) -> None:
    for name, count in children.items():
        known = name in runs.children or len(runs.children) < _MOST_CHILDREN
        runs.children[name if known else OTHERS.task] += count


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
