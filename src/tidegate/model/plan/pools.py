"""Who serves what: workers, the hosts they run on, and the pools that consume one set of queues."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tidegate.facts.measured import WorkerSeen

#: Pools whose tasks share one interpreter lock compute on one core at a time.
_ONE_LOCK = {"threads", "solo", "gevent", "eventlet"}


@dataclass(frozen=True, slots=True)
class Pool:
    """The workers that consume one set of queues."""

    queues: tuple[str, ...]
    workers: tuple[WorkerSeen, ...]

    @property
    def name(self) -> str:
        """The queues, for a sentence."""
        return ", ".join(self.queues)

    @property
    def slots(self) -> int:
        """Runs at once, over all workers."""
        return sum(worker.slots for worker in self.workers)

    @property
    def kind(self) -> str:
        """The kind of pool that most slots are of: prefork, threads, …"""
        slots: dict[str, int] = defaultdict(int)
        for worker in self.workers:
            slots[worker.pool] += worker.slots
        return max(slots, key=lambda kind: slots[kind], default="prefork")


@dataclass(frozen=True)
class Fleet:
    """All workers that live, by host. `each_worker_a_host`: they share one machine, so one worker is what can be lost."""

    workers: tuple[WorkerSeen, ...]
    hosts: Mapping[str, tuple[WorkerSeen, ...]]
    each_worker_a_host: bool = False

    @cached_property
    def pools(self) -> tuple[Pool, ...]:
        """By the set of queues, the largest first."""
        by_queues: dict[tuple[str, ...], list[WorkerSeen]] = defaultdict(list)
        for worker in self.workers:
            by_queues[tuple(sorted(worker.queues))].append(worker)
        pools = [Pool(queues, tuple(workers)) for queues, workers in by_queues.items()]
        return tuple(sorted(pools, key=lambda pool: (-pool.slots, pool.queues)))

    def hosts_of(self, pool: Pool) -> int:
        """On how many hosts the pool runs."""
        return len(self.host_names(pool.workers))

    def host_names(self, workers: Iterable[WorkerSeen]) -> set[str]:
        """The hosts that these workers run on."""
        return {self._host_of[worker.node] for worker in workers}

    @cached_property
    def _host_of(self) -> Mapping[str, str]:
        return {worker.node: host for host, there in self.hosts.items() for worker in there}

    def without_largest(self, lost: int) -> "Fleet":
        """The fleet after the loss of so many hosts, those with most slots first."""
        ranked = sorted(self.hosts, key=lambda host: (-sum(w.slots for w in self.hosts[host]), host))
        left = {host: self.hosts[host] for host in ranked[lost:]}
        workers = tuple(worker for worker in self.workers if self._host_of[worker.node] in left)
        return Fleet(workers, left, self.each_worker_a_host)


def fleet_of(workers: Iterable[WorkerSeen]) -> Fleet:
    """The workers that live. Hosts are told apart by the part of the node's name behind the @."""
    alive = tuple(sorted((w for w in workers if not w.gone), key=lambda worker: worker.node))
    by_host: dict[str, list[WorkerSeen]] = defaultdict(list)
    for worker in alive:
        by_host[worker.node.partition("@")[2] or worker.machine].append(worker)
    if len(by_host) == 1 and len(alive) > 1:
        return Fleet(alive, {worker.node: (worker,) for worker in alive}, each_worker_a_host=True)
    return Fleet(alive, {host: tuple(there) for host, there in by_host.items()})


def by_machine(workers: Sequence[WorkerSeen]) -> Mapping[str, tuple[WorkerSeen, ...]]:
    """The workers of each machine, whose cores they share."""
    machines: dict[str, list[WorkerSeen]] = defaultdict(list)
    for worker in workers:
        machines[worker.machine].append(worker)
    return {machine: tuple(there) for machine, there in machines.items()}


def shares_one_lock(worker: WorkerSeen) -> bool:
    """True where the worker's tasks run in one interpreter, so on one core at a time."""
    return worker.pool in _ONE_LOCK
