"""What the workers can do: slots, less what they lose to one another on the cores that they share.

Work is counted in slot-seconds as they were measured. Where runs would take longer with every slot busy than they took
when they were measured, a slot does less of that work: it counts as 1/stretch of a slot.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tidegate.facts.measured import Busy, Key, WorkerSeen
from tidegate.facts.sketch import NS
from tidegate.model.plan.contention import Demand, run_s, waiting_part
from tidegate.model.plan.pools import Fleet, by_machine, shares_one_lock
from tidegate.model.plan.reach import Supply
from tidegate.model.plan.spent import LEAST_RUNS, Account, scatter

#: A worker with at least this share of its slots busy shows what a full one does.
_FULL = 0.9
#: Where this share of the work was seen on full workers, the rest is taken to fare likewise.
_MOST_OF_IT = 0.8
#: Other programs on the machine take at most this share of its cores from us in the numbers: they may yield.
_MOST_TAKEN = 0.5
_NOISE_CORES = 0.1

Mix = Mapping[Key, float]


@dataclass(frozen=True, slots=True)
class Stretch:
    """How much longer runs take with every slot busy than as they were measured, and whether that was seen or worked out."""

    factor: float
    seen: bool
    alone: float = 1.0


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a fleet can do with one mix of tasks. `stretch` and `seen` by worker node; `alone` as `Stretch`."""

    supplies: tuple[Supply, ...]
    stretch: Mapping[str, Stretch]

    @property
    def worked_out(self) -> bool:
        """True where some stretch had to be worked out and matters."""
        return any(not stretch.seen and stretch.factor > 1.02 for stretch in self.stretch.values())


def capacity_of(fleet: Fleet, mix: Mix, account: Account) -> Capacity:
    """The slots of every pool, as the mix (runs per second by key) can use them."""
    stretch: dict[str, Stretch] = {}
    for workers in by_machine(fleet.workers).values():
        for worker in workers:
            stretch[worker.node] = _stretch(worker, workers, _served(mix, workers), account)
    supplies = [
        Supply(pool.name, frozenset(pool.queues), sum(w.slots / stretch[w.node].factor for w in pool.workers))
        for pool in fleet.pools
    ]
    return Capacity(tuple(supplies), stretch)


def _served(mix: Mix, workers: Sequence[WorkerSeen]) -> Mix:
    queues = {queue for worker in workers for queue in worker.queues}
    return {key: rate for key, rate in mix.items() if key.queue in queues and rate > 0}


def _stretch(worker: WorkerSeen, machine: Sequence[WorkerSeen], mix: Mix, account: Account) -> Stretch:
    """Seen where full workers were seen, otherwise worked out from the cores and the CPU time of the runs."""
    base = {key: account.runs(key).run.mean_s for key in mix if account.runs(key).run.count}
    if _mean(mix, base) <= 0:
        return Stretch(1.0, seen=True)
    one = _worked_out(worker, machine, mix, account, _mean(mix, base))
    full = {key: seen for key in base if (seen := _when_full(account.runs(key).busy, worker.slots)) is not None}
    work = {key: mix[key] * mean_s for key, mean_s in base.items()}
    if sum(work[key] for key in full) < _MOST_OF_IT * sum(work.values()):
        return one
    factor = _mean(mix, full) / _mean(mix, {key: base[key] for key in full})
    return Stretch(
        factor if abs(factor - 1) > _chance(full, account, worker.slots) else 1.0, seen=True, alone=one.alone
    )


def _chance(full: Iterable[Key], account: Account, slots: int) -> float:
    """By how much the mean of the runs that met a full worker may be off by chance alone, as a share."""
    counts = {key: _full_runs(account.runs(key).busy, slots) for key in full}
    total = sum(counts.values())
    variance = sum(counts[key] * scatter(account.runs(key).run) for key in counts) / total
    return 2 * math.sqrt(variance / total)


def _worked_out(
    worker: WorkerSeen, machine: Sequence[WorkerSeen], mix: Mix, account: Account, base_s: float
) -> Stretch:
    cpu = _mean(mix, {key: cpu_s for key in mix if (cpu_s := cpu_per_run(account.runs(key).busy)) is not None})
    if cpu <= 0:
        return Stretch(1.0, seen=False)
    slots = sum(other.slots for other in machine)
    met = _busy_met(mix, account) * slots / worker.slots
    cores = _cores(machine, account) * cpu / (cpu + (worker.cpu_per_run_s or 0.0))
    factor, alone = _against(met, slots, cores, base_s, cpu)
    if shares_one_lock(worker):
        mine, alone_mine = _against(_busy_met(mix, account), worker.slots, min(1.0, cores), base_s, cpu)
        factor, alone = max(factor, mine), min(alone, alone_mine)
    return Stretch(factor, seen=False, alone=alone)


def _against(met: float, slots: int, cores: float, base_s: float, cpu_s: float) -> tuple[float, float]:
    """Run time with all slots busy, and with one, against the measured one, which met so many busy slots."""
    demand = Demand(cpu_s, waiting_part(met, cores, base_s, cpu_s))
    expected = run_s(met, cores, demand)
    return max(1.0, run_s(slots, cores, demand) / expected), run_s(1, cores, demand) / expected


def _cores(machine: Sequence[WorkerSeen], account: Account) -> float:
    """The cores of the machine less what other programs take."""
    cores = max(worker.cores for worker in machine)
    busy = max((worker.busy_cores for worker in machine if worker.busy_cores is not None), default=None)
    if busy is None:
        return cores
    queues = {queue for worker in machine for queue in worker.queues}
    ours = sum(
        account.rate(key) * (cpu_per_run(runs.busy) or 0.0)
        for key, runs in account.whole.runs.items()
        if key.queue in queues
    )
    ours += sum(account.rate(key) for key in account.whole.runs if key.queue in queues) * max(
        (worker.cpu_per_run_s or 0.0 for worker in machine), default=0.0
    )
    others = max(0.0, busy - ours - _NOISE_CORES)
    return max(cores - others, cores * (1 - _MOST_TAKEN))


def cpu_per_run(bins: Mapping[int, Busy]) -> float | None:
    """Seconds of CPU a run; None where it could not be told."""
    runs = sum(item.runs for item in bins.values())
    cpu_ns = sum(item.cpu_ns for item in bins.values())
    return cpu_ns / NS / runs if runs and cpu_ns else None


def _when_full(bins: Mapping[int, Busy], slots: int) -> float | None:
    """The mean run time in seconds with nearly all slots busy; None where too few such runs were seen."""
    runs = _full_runs(bins, slots)
    if runs < LEAST_RUNS:
        return None
    return sum(item.run_ns for busy, item in bins.items() if busy >= _FULL * slots) / NS / runs


def _full_runs(bins: Mapping[int, Busy], slots: int) -> int:
    return sum(item.runs for busy, item in bins.items() if busy >= _FULL * slots)


def _busy_met(mix: Mix, account: Account) -> float:
    """How many slots of its worker a run met busy, itself among them."""
    bins: dict[int, int] = defaultdict(int)
    for key in mix:
        for busy, item in account.runs(key).busy.items():
            bins[busy] += item.runs
    runs = sum(bins.values())
    return max(1.0, sum(busy * number for busy, number in bins.items()) / runs) if runs else 1.0


def _mean(mix: Mix, values: Mapping[Key, float]) -> float:
    """The mean over the runs of the mix; keys without a value do not count."""
    weight = sum(mix[key] for key in values)
    return sum(mix[key] * value for key, value in values.items()) / weight if weight > 0 else 0.0
