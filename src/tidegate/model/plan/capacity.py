"""What the workers can do: slots, less what they lose to one another on the cores that they share.

Work is counted in slot-seconds as they were measured. Where runs would take longer with every slot busy than they took
when they were measured, a slot does less of that work: it counts as 1/stretch of a slot.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tidegate.facts.measured import Key, WorkerSeen
from tidegate.facts.sketch import NS
from tidegate.model.plan.contention import Demand, run_s, waiting_part
from tidegate.model.plan.pools import Fleet, by_machine, shares_one_lock
from tidegate.model.plan.reach import Supply
from tidegate.model.plan.spent import LEAST_RUNS, Account, Ran

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
    """The slots of every pool, as the mix (runs per second by key) can use them; workers alike are worked out once."""
    stretch: dict[str, Stretch] = {}
    known: dict[Hashable, Stretch] = {}
    for workers in by_machine(fleet.workers).values():
        for worker in workers:
            alike = (_shape(worker), tuple(map(_shape, workers)))
            if alike not in known:
                known[alike] = _stretch(worker, workers, _served(mix, workers, account), account)
            stretch[worker.node] = known[alike]
    supplies = [
        Supply(pool.name, frozenset(pool.queues), sum(w.slots / stretch[w.node].factor for w in pool.workers))
        for pool in fleet.pools
    ]
    return Capacity(tuple(supplies), stretch)


def _shape(worker: WorkerSeen) -> Hashable:
    return worker.queues, worker.slots, worker.pool, worker.cores, worker.busy_cores, worker.cpu_per_run_s


def _served(mix: Mix, workers: Sequence[WorkerSeen], account: Account) -> Mix:
    """The part of the mix that these workers take, of what ran at all."""
    queues = {queue for worker in workers for queue in worker.queues}
    return {key: rate for key, rate in mix.items() if key.queue in queues and rate > 0 and key in account.ran}


def _stretch(worker: WorkerSeen, machine: Sequence[WorkerSeen], mix: Mix, account: Account) -> Stretch:
    """Seen where full workers were seen, otherwise worked out from the cores and the CPU time of the runs."""
    base = {key: account.ran[key].mean_s for key in mix}
    if _mean(mix, base) <= 0:
        return Stretch(1.0, seen=True)
    one = _worked_out(worker, machine, mix, account)
    full = {key: mean_s for key in base if (mean_s := _when_full(account.ran[key], worker.slots)) is not None}
    work = {key: mix[key] * mean_s for key, mean_s in base.items()}
    if sum(work[key] for key in full) < _MOST_OF_IT * sum(work.values()):
        return one
    factor = _mean(mix, full) / _mean(mix, {key: base[key] for key in full})
    return Stretch(
        factor if abs(factor - 1) > _chance(full, account, worker.slots) else 1.0, seen=True, alone=one.alone
    )


def _chance(full: Iterable[Key], account: Account, slots: int) -> float:
    """By how much the mean of the runs that met a full worker may be off by chance alone, as a share."""
    counts = {key: _full_runs(account.ran[key], slots) for key in full}
    total = sum(counts.values())
    variance = sum(count * account.ran[key].scatter for key, count in counts.items()) / total
    return 2 * math.sqrt(variance / total)


def _worked_out(worker: WorkerSeen, machine: Sequence[WorkerSeen], mix: Mix, account: Account) -> Stretch:
    base_s = _mean(mix, {key: account.ran[key].mean_s for key in mix})
    cpu = _mean(mix, {key: cpu_s for key in mix if (cpu_s := account.ran[key].cpu_s) is not None})
    if cpu <= 0:
        return Stretch(1.0, seen=False)
    slots = sum(other.slots for other in machine)
    met = max(1.0, _mean(mix, {key: account.ran[key].mean_busy for key in mix}))
    cores = _cores(machine, account) * cpu / (cpu + (worker.cpu_per_run_s or 0.0))
    factor, alone = _against(met * slots / worker.slots, slots, cores, base_s, cpu)
    if shares_one_lock(worker):
        mine, alone_mine = _against(met, worker.slots, min(1.0, cores), base_s, cpu)
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
    beside_s = max((worker.cpu_per_run_s or 0.0 for worker in machine), default=0.0)
    ours = sum(
        account.rate(key) * ((ran.cpu_s or 0.0) + beside_s) for key, ran in account.ran.items() if key.queue in queues
    )
    others = max(0.0, busy - ours - _NOISE_CORES)
    return max(cores - others, cores * (1 - _MOST_TAKEN))


def _when_full(ran: Ran, slots: int) -> float | None:
    """The mean run time in seconds with nearly all slots busy; None where too few such runs were seen."""
    runs = _full_runs(ran, slots)
    if runs < LEAST_RUNS:
        return None
    return sum(item.run_ns for busy, item in ran.busy.items() if busy >= _FULL * slots) / NS / runs


def _full_runs(ran: Ran, slots: int) -> int:
    return sum(item.runs for busy, item in ran.busy.items() if busy >= _FULL * slots)


def _mean(mix: Mix, values: Mapping[Key, float]) -> float:
    """The mean over the runs of the mix; keys without a value do not count."""
    weight = sum(mix[key] for key in values)
    return sum(mix[key] * value for key, value in values.items()) / weight if weight > 0 else 0.0
