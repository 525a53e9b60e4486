"""What is asked of the workers: every periodic entry with the work of a firing, and everything else that comes."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tidegate.facts.measured import Key
from tidegate.facts.planned import Question
from tidegate.facts.seen import EntrySeen
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.plan.bounds import Loads, added, times
from tidegate.model.plan.growth import growth_by_queue
from tidegate.model.plan.pools import Fleet
from tidegate.model.plan.spent import LEAST_RUNS, Account, Overhead, overhead
from tidegate.model.plan.timeline import Pace
from tidegate.model.plan.work import Firing, firing_of
from tidegate.model.rates import Z_95

#: What no sample shows: how the machine is today against tomorrow.
_SYSTEMATIC = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One periodic entry. `per_firing` is slot-seconds by queue, what the worker adds included, give or take `error`
    of it; `per_s` firings per second as scheduled, or as measured where the schedule is not known or not even; `paced`
    where that is sure enough to call its inverse the interval.
    """

    name: str
    task: str
    interval_s: Maybe[float]
    firing: Maybe[Firing]
    per_firing: Loads
    error: float
    per_s: float
    paced: bool = True
    scheduled: bool = True

    @property
    def load(self) -> Loads:
        """Slots that it keeps busy by queue."""
        return times(self.per_firing, self.per_s)

    @property
    def doubt(self) -> float:
        """By how many slots that may be off."""
        return self.error * sum(self.load.values()) if self.per_firing else 0.0

    def runs_per_s(self, per_s: float | None = None) -> Mapping[Key, float]:
        """Runs per second by key, at another rate of firings where one is given."""
        rate = self.per_s if per_s is None else per_s
        return {key: number * rate for key, number in self.firing.runs.items()} if known(self.firing) else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Everything that comes: `load` slots by queue, `messages` per second by queue, `mix` runs per second by key.

    `other` and `other_load` are what comes of no entry; `doubt` is the sum of squares of all half-widths, in slots.
    """

    entries: tuple[Entry, ...]
    other: Mapping[Key, float]
    other_load: Loads
    overheads: Mapping[str, Overhead]
    load: Loads
    messages: Mapping[str, float]
    mix: Mapping[Key, float]
    doubt: float

    def load_without(self, entry: Entry) -> Loads:
        """Slots by queue, without one entry."""
        own = entry.load
        return {queue: max(0.0, load - own.get(queue, 0.0)) for queue, load in self.load.items()}

    def error_without(self, entry: Entry) -> float:
        """By how many slots that may be off."""
        return math.sqrt(max(0.0, self.doubt - entry.doubt**2))

    def mix_with(self, entry: Entry, per_s: float) -> Mapping[Key, float]:
        """Runs per second by key, with one entry at another rate."""
        mix = dict(self.mix)
        for key, number in entry.runs_per_s(1.0).items():
            mix[key] = max(0.0, mix[key] + number * (per_s - entry.per_s))
        return mix


def demand_of(question: Question, account: Account, fleet: Fleet) -> Demand:
    """What the schedule and the measurements say comes."""
    overheads = _overheads(account, fleet)
    entries = [_entry(row, account, overheads) for row in _rows(question, account)]
    entries = _with_growth(entries, question, account)
    other = _other(entries, question, account)
    entries = [_with_measured_interval(entry) for entry in entries]
    mix: dict[Key, float] = defaultdict(float, other)
    messages: dict[str, float] = defaultdict(float)
    for entry in entries:
        for key, rate in entry.runs_per_s().items():
            mix[key] += rate
    for key, rate in mix.items():
        messages[key.queue] += rate
    other_load = _loads(other, account, overheads)
    doubts = (_other_error(other, account, overheads), *(entry.doubt for entry in entries))
    return Demand(
        entries=tuple(entries),
        other=other,
        other_load=other_load,
        overheads=overheads,
        load=added(other_load, *(entry.load for entry in entries)),
        messages=messages,
        mix=mix,
        doubt=sum(doubt**2 for doubt in doubts),
    )


def _overheads(account: Account, fleet: Fleet) -> Mapping[str, Overhead]:
    """By queue; where a queue has too few gaps, from all queues."""
    kinds = {queue: pool.kind for pool in fleet.pools for queue in pool.queues}
    everywhere = list(account.whole.turnaround.values())
    result = {}
    for queue in {key.queue for key in account.whole.runs} | kinds.keys():
        kind = kinds.get(queue, "prefork")
        own = overhead(filter(None, [account.whole.turnaround.get(queue)]), kind)
        result[queue] = own if own.measured else overhead(everywhere, kind)
    return result


@dataclass(frozen=True, slots=True)
class _Row:
    """An entry before it is measured: what the schedule says, and the keys under which it was counted."""

    name: str
    task: str
    interval_s: Maybe[float]
    keys: tuple[Key, ...]
    scheduled: bool
    per_s: float | None = None


def _rows(question: Question, account: Account) -> list[_Row]:
    by_entry: dict[str, list[Key]] = defaultdict(list)
    for key in account.whole.runs:
        by_entry[key.entry].append(key)
    if not known(question.entries):
        return [
            _Row(
                name,
                _root_task(keys, account),
                Unknown("it was watched for too short a time to tell: name the application with -A"),
                tuple(keys),
                False,
            )
            for name, keys in sorted(by_entry.items())
            if name
        ]
    senders = [entry.task for entry in question.entries]
    rows = [_scheduled(entry, by_entry, senders.count(entry.task) == 1, account) for entry in question.entries]
    strangers = by_entry.keys() - {"", *(entry.name for entry in question.entries)}
    return rows + [
        _Row(
            name,
            _root_task(by_entry[name], account),
            Unknown("it is not in this schedule"),
            tuple(by_entry[name]),
            False,
        )
        for name in sorted(strangers)
    ]


def _scheduled(entry: EntrySeen, by_entry: Mapping[str, list[Key]], alone: bool, account: Account) -> _Row:
    keys = by_entry.get(entry.name) or (_unnamed(entry.task, by_entry.get("", []), account) if alone else [])
    interval = entry.interval_s if entry.interval_s is not None else Unknown("it has no even interval")
    mean_s = entry.mean_interval_s
    per_s = 1 / mean_s if known(mean_s) and mean_s else None
    return _Row(entry.name, entry.task, interval, tuple(keys), True, per_s)


def _unnamed(task: str, keys: Sequence[Key], account: Account) -> list[Key]:
    """The keys of a task and all that it brings, where beat did not say which entry it was."""
    found: list[Key] = [key for key in keys if key.task == task and account.runs(key).firings]
    for key in found:
        children = account.runs(key).children
        found += [child for child in keys if child.task in children and child not in found]
    return found


def _root_task(keys: Sequence[Key], account: Account) -> str:
    return max(keys, key=lambda key: account.runs(key).firings).task


def _entry(row: _Row, account: Account, overheads: Mapping[str, Overhead]) -> Entry:
    firing = _measured(row, account)
    per_firing = _loads(firing.runs, account, overheads) if known(firing) else {}
    pace = _pace(row, account)
    return Entry(
        name=row.name,
        task=row.task,
        interval_s=row.interval_s,
        firing=firing,
        per_firing=per_firing,
        error=_error(firing, per_firing, overheads) if known(firing) else 0.0,
        per_s=pace.per_s,
        paced=pace.sure,
        scheduled=row.scheduled,
    )


def _pace(row: _Row, account: Account) -> Pace:
    if known(row.interval_s) and row.interval_s > 0:
        return Pace(1 / row.interval_s, sure=True)
    return account.timeline.pace(row.keys) if row.per_s is None else Pace(row.per_s, sure=True)


def _measured(row: _Row, account: Account) -> Maybe[Firing]:
    """What a firing becomes; Unknown with the reason where the measurements do not tell."""
    seen = sum(account.count(key) for key in row.keys)
    if not seen:
        return Unknown("no run of it was measured: the probe must be installed where beat and the workers run")
    roots = {key.task for key in row.keys if account.runs(key).firings}
    if roots and row.task not in roots:
        return Unknown(f"it sends {row.task} now; what was measured under its name is {', '.join(sorted(roots))}")
    if not roots:
        return Unknown("none of its firings was seen to begin")
    firing = firing_of(row.name, row.keys, account)
    if firing.endless is not None:
        return Unknown(f"a firing never ends: {firing.endless} publishes itself again")
    if firing.unseen:
        return Unknown(f"{', '.join(firing.unseen)} was published by it and has not run yet")
    if not firing.enough or not all(account.count(key) for key in firing.runs):
        return Unknown(f"fewer than {LEAST_RUNS} runs ({seen})")
    return firing


def _loads(runs: Mapping[Key, float], account: Account, overheads: Mapping[str, Overhead]) -> Loads:
    """Slot-seconds by queue (per firing, or per second) of so many runs, what the worker adds included."""
    result: dict[str, float] = defaultdict(float)
    for key, number in runs.items():
        if key in account.ran:
            result[key.queue] += number * (account.ran[key].mean_s + overheads[key.queue].seconds)
    return dict(result)


def _error(firing: Firing, per_firing: Loads, overheads: Mapping[str, Overhead]) -> float:
    """The half-width of the work of a firing as a share of it."""
    whole = sum(per_firing.values())
    added_s = sum(number * overheads[key.queue].error_s for key, number in firing.runs.items())
    return _SYSTEMATIC + (firing.error_s + added_s) / whole if whole > 0 else math.inf


def _with_growth(entries: list[Entry], question: Question, account: Account) -> list[Entry]:
    """Entries of unknown interval fire more often than they start while their queue grows: the difference waits."""
    grows = _unexplained_growth(entries, question, account)
    result = []
    for entry in entries:
        if known(entry.interval_s) or not known(entry.firing):
            result.append(entry)
            continue
        more = sum(
            grows.get(key.queue, 0.0) * _share(key, question, account)
            for key in entry.firing.runs
            if account.runs(key).firings
        )
        result.append(replace(entry, per_s=entry.per_s + more))
    return result


def _with_measured_interval(entry: Entry) -> Entry:
    """Where no schedule was read, or not this one's, the interval is what was measured."""
    if entry.scheduled or not known(entry.firing) or not entry.paced or entry.per_s <= 0:
        return entry
    return replace(entry, interval_s=1 / entry.per_s)


def _share(key: Key, question: Question, account: Account) -> float:
    """The key's part of what runs of its queue, among keys whose arrivals no schedule tells."""
    told = _told(question)
    keys = [other for other in account.whole.runs if other.queue == key.queue and other.entry not in told]
    total = sum(account.count(other) for other in keys)
    return account.count(key) / total if total else 0.0


def _told(question: Question) -> set[str]:
    """Entries whose interval the schedule says."""
    entries = question.entries if known(question.entries) else ()
    return {entry.name for entry in entries if entry.interval_s is not None}


def _unexplained_growth(entries: Iterable[Entry], question: Question, account: Account) -> Mapping[str, float]:
    """Messages per second by which each queue grew, less what entries of known interval left behind."""
    explained: dict[str, float] = defaultdict(float)
    for entry in entries:
        if known(entry.interval_s):
            for key, rate in entry.runs_per_s().items():
                explained[key.queue] += max(0.0, rate - account.rate(key))
    grown = growth_by_queue(question.measured.slices)
    return {queue: rate - explained[queue] for queue, rate in grown.items() if rate > explained[queue]}


def _other(entries: Iterable[Entry], question: Question, account: Account) -> Mapping[Key, float]:
    """Runs per second that come of no entry, with what their queues left behind.

    Of entries whose work is not known what ran counts here, so that it is not forgotten.
    """
    counted = {key: rate for entry in entries for key, rate in _as_measured(entry, account).items()}
    grows = _unexplained_growth(entries, question, account)
    result = {}
    for key in account.whole.runs:
        rate = account.rate(key) - counted.get(key, 0.0)
        if not key.entry:
            rate += grows.get(key.queue, 0.0) * _share(key, question, account)
        if rate > 1e-9 and (not key.entry or key not in counted):
            result[key] = rate
    return result


def _as_measured(entry: Entry, account: Account) -> Mapping[Key, float]:
    """The runs per second of an entry's keys that its firings explain."""
    return entry.runs_per_s(account.timeline.pace(entry.firing.runs).per_s) if known(entry.firing) else {}


def _other_error(other: Mapping[Key, float], account: Account, overheads: Mapping[str, Overhead]) -> float:
    """Half-width in slots: random arrivals of random length, as a compound Poisson process, and what no sample shows."""
    variance, total = 0.0, 0.0
    for key in other:
        load = sum(_loads({key: other[key]}, account, overheads).values())
        count = account.count(key)
        variance += load**2 * (1 + account.ran[key].scatter) / max(1, count)
        total += load
    return Z_95 * math.sqrt(variance) + _SYSTEMATIC * total
