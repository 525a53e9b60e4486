"""The lean path: one task in one line, served in the order of arrival, needs no event loop.

With the moments at which slots become free in a heap, a message starts at its arrival or when the first slot is free,
whichever is later (Kiefer and Wolfowitz's recursion). That is a fourth of the work, and gives the numbers of the event
loop from the same streams: a test holds that. `serves` says which scenarios it is for.
"""

from bisect import bisect_right
from heapq import heapreplace
from math import inf
from operator import gt, sub

from tidegate.facts.overlap import Overlap
from tidegate.facts.scenario import Scenario
from tidegate.facts.simulated import Account
from tidegate.model.simulate.cluster import Cluster
from tidegate.model.simulate.hosts import contends
from tidegate.model.simulate.sources import Source
from tidegate.model.simulate.tally import Level


class HeldTooLong(Exception):
    """A worker held a message for longer than the visibility timeout: only the event loop can tell what follows."""


def serves(scenario: Scenario) -> bool:
    """True where the order of arrival is the order of starting, and nothing else happens."""
    if len(scenario.tasks) != 1 or scenario.entries or scenario.events:
        return False
    [task], groups = scenario.tasks, scenario.hosts
    one_host = len(groups) == 1 and groups[0].count == 1
    return (
        not task.children
        and task.retry is None
        and task.expires_s is None
        and task.overlap is Overlap.ALLOW_ALL
        and all(arrivals.expires_s is None and arrivals.priority is None for arrivals in scenario.arrivals)
        and all(group.queues == (task.queue,) and not contends(group) for group in groups)
        and (one_host or all(group.disable_prefetch for group in groups))
        and len({(group.latency_s, group.turnaround_s) for group in groups}) == 1
    )


class Fifo:
    """Drives a cluster that was built and not started, as far as what is counted of it goes."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        [self._line], [self._pool] = cluster.lines.values(), cluster.pools
        [self._kind] = cluster.kinds.values()
        slots = sum(host.group.slots for host in cluster.hosts)
        for each in cluster.hosts:
            each.rise(0.0)
        self._free_at = [0.0] * slots
        host = cluster.hosts[0]
        self._latency_s, self._turnaround_s = host.latency_s, host.turnaround_s
        #: So many messages are held beyond those that run.
        self._ahead = host.limit - slots * self._kind.late if host.prefetches else 0
        self._next = [next(source.times, inf) for source in cluster.sources]
        # What has been foretold and lies beyond the present tick, ascending.
        self._takes: list[float] = []
        self._begins: list[float] = []
        self._waits: list[float] = []
        self._runs: list[float] = []
        self._ends: list[float] = []
        #: The last moments at which messages began, as many as are held ahead.
        self._recent: list[float] = []

    def run_until(self, moment: float) -> None:
        """Everything up to that moment."""
        times = self._arrivals(moment)
        begins, ends = self._serve(times)
        takes = self._taken(times, begins)
        held = map(sub, ends if self._kind.late else begins, takes)
        if max(held, default=0.0) > self.cluster.visibility_timeout_s:
            raise HeldTooLong
        self._line.most = _deepest(self._line.most, times, self._takes, takes)
        self._takes += takes
        self._begins += begins
        self._ends = sorted(self._ends + ends)
        self._count(times, moment)
        self.cluster.now = moment

    def account(self) -> Account:
        """Where every message is."""
        kind, running = self._kind, self._pool.busy.value
        return Account(
            published=kind.published,
            duplicated=0,
            done=kind.done,
            waiting=self._line.depth.value,
            unacked=self._line.unacked.value - running * kind.late,
            running=running,
            deferred=0,
            lost=0,
            expired=0,
        )

    def _arrivals(self, moment: float) -> list[float]:
        parts = [self._of(number, source, moment) for number, source in enumerate(self.cluster.sources)]
        return parts[0] if len(parts) == 1 else sorted(at for part in parts for at in part)

    def _of(self, number: int, source: Source, moment: float) -> list[float]:
        times, at, moments = source.times, self._next[number], []
        while at <= moment:
            moments.append(at)
            at = next(times, inf)
        self._next[number] = at
        source.fired += len(moments)
        source.published += len(moments)
        return moments

    def _serve(self, times: list[float]) -> tuple[list[float], list[float]]:
        """When each begins, and when it ends."""
        free_at, draw, latency_s, turnaround_s = self._free_at, self._kind.draw, self._latency_s, self._turnaround_s
        begins, ends = [], []
        for at in times:
            run = draw()
            free = free_at[0]
            if free > at:
                start = free
                begins.append(free)
            else:
                start = at + latency_s
                begins.append(at)
            end = start + run + turnaround_s
            heapreplace(free_at, end)
            ends.append(end)
            self._waits.append(start - at)
            self._runs.append(run)
        return begins, ends

    def _taken(self, times: list[float], begins: list[float]) -> list[float]:
        """A message is taken at once, or when the one begins that is as far before it as the workers hold ahead."""
        if self._ahead == inf:
            return times
        if not self._ahead:
            return begins
        ahead = int(self._ahead)
        earlier = ([-inf] * ahead + self._recent)[-ahead:] + begins
        self._recent = earlier[-ahead:]
        return list(map(max, times, earlier))

    def _count(self, times: list[float], moment: float) -> None:
        """What happened up to now, of what is foretold."""
        kind, late = self._kind, self._kind.late
        kind.published += len(times)
        taken, begun = bisect_right(self._takes, moment), bisect_right(self._begins, moment)
        ended = bisect_right(self._ends, moment)
        _rise(self._line.depth, times)
        _rise(self._line.unacked, self._takes[:taken])
        _rise(self._pool.busy, self._begins[:begun])
        _sink(self._line.depth, self._takes[:taken])
        _sink(self._line.unacked, self._ends[:ended] if late else self._begins[:begun])
        _sink(self._pool.busy, self._ends[:ended])
        kind.done += ended
        kind.waits.fresh += self._waits[:begun]
        kind.runs.fresh += self._runs[:begun]
        self._line.bytes = self._line.depth.value * kind.load.bytes
        del self._takes[:taken], self._begins[:begun], self._ends[:ended], self._waits[:begun], self._runs[:begun]


def _deepest(most: int, times: list[float], earlier: list[float], takes: list[float]) -> int:
    """The greatest depth so far. Deeper than d at an arrival means that the message d places before it is not taken yet."""
    both = earlier + takes

    def deeper(depth: int) -> bool:
        past = len(earlier) - depth
        return any(map(gt, both[max(0, past) :], times[max(0, -past) :]))

    step = 1
    while deeper(most + step - 1):
        most, step = most + step, 2 * step
    while step > 1:
        step //= 2
        if deeper(most + step - 1):
            most += step
    return most


def _rise(level: Level, moments: list[float]) -> None:
    level.value += len(moments)
    level.moment -= sum(moments)


def _sink(level: Level, moments: list[float]) -> None:
    level.value -= len(moments)
    level.moment += sum(moments)
