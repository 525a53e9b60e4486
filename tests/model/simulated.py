"""A Celery cluster on paper: what its queues go through, and what the flow meter would have seen of it.

Messages, workers and time are simulated event by event; the steps come from the real meter's arithmetic, fed with the
list as it stood at every poll, and from the real attribution of what the server counted.
"""

import heapq
import itertools
import random
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.facts.message import Label
from tidegate.facts.seen import FlowSeen, Sighting, Step
from tidegate.observe.attribution import attribute
from tidegate.observe.meter import ListMeter, Reading

FLUSH, REFRESH = "screen.tasks.flush_cluster_status", "screen.tasks.refresh_all_clusters"
POLL_S = 0.1
#: A worker publishes children one after the other.
PUBLISH_S = 0.0005


@dataclass(frozen=True)
class Job:
    """What one message asks for: its task, how long it runs (seconds, or drawn from a generator), what it spawns."""

    task: str = FLUSH
    run_s: float | Callable[[random.Random], float] = 0.12
    queue: str = "celery"
    children: tuple["Job", ...] = ()
    from_beat: bool = False


def fan_out(children: int, run_s: float, queue: str = "celery", parents: str = "celery") -> Job:
    """The story's firing: a quick parent that enqueues one refresh for every cluster."""
    return Job(REFRESH, 0.005, parents, tuple(Job(FLUSH, run_s, queue) for _ in range(children)), from_beat=True)


@dataclass
class Line:
    """One list in Redis: everything that was ever pushed, and when each left; first in, first out."""

    pushed_at: list[float] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    popped_at: list[float] = field(default_factory=list)

    @property
    def waiting(self) -> int:
        return len(self.pushed_at) - len(self.popped_at)

    def depth_at(self, at: float) -> int:
        return bisect_right(self.pushed_at, at) - bisect_right(self.popped_at, at)


@dataclass
class Pool:
    """Workers that share slots: each slot prefetches four messages beyond the one it runs, as Celery's default is."""

    queues: Sequence[str] = ("celery",)
    slots: int = 1
    prefetch: int = 4
    dies_at: float = float("inf")
    running: int = 0
    reserved: deque[tuple[Job, Label]] = field(default_factory=deque)


class Cluster:
    """Queues, pools and a clock. Tell it what is sent, then `watch` a window of it."""

    def __init__(self, *pools: Pool, seed: int = 1) -> None:
        self.pools = pools or (Pool(),)
        self.lines = {name: Line() for pool in self.pools for name in pool.queues}
        self.rng = random.Random(seed)
        self._numbers = itertools.count()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []

    def send(self, at: float, job: Job, parent: Label | None = None) -> None:
        self._at(at, lambda now: self._push(now, job, parent))

    def every(self, interval_s: float, job: Job, first: float = 0.0, until: float = 60.0) -> "Cluster":
        """Beat: one message each interval, exactly."""
        for number in range(int((until - first) / interval_s) + 1):
            self.send(first + number * interval_s, job)
        return self

    def poisson(self, per_s: float, job: Job, until: float = 60.0) -> "Cluster":
        """Independent visitors: exponential gaps."""
        at = self.rng.expovariate(per_s)
        while at < until:
            self.send(at, job)
            at += self.rng.expovariate(per_s)
        return self

    def burst(self, at: float, count: int, job: Job, per_s: float = 1000.0) -> "Cluster":
        """One producer that sends as fast as it can."""
        for number in range(count):
            self.send(at + number / per_s, job)
        return self

    def watch(self, since: float, window_s: float) -> dict[str, FlowSeen]:
        """What the flow meter sees of every queue in that window; its clock is 0 at `since`."""
        self._run(since + window_s)
        polls = [since + number * POLL_S for number in range(round(window_s / POLL_S) + 1)]
        return metered(self.lines, polls, since)

    def _at(self, at: float, act: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (at, next(self._numbers), act))

    def _run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            at, _, act = heapq.heappop(self._events)
            act(at)

    def _push(self, now: float, job: Job, parent: Label | None) -> None:
        own = f"id-{next(self._numbers)}"
        root = (parent.root_id if parent else None) or own
        label = Label(
            task=job.task, id=own, root_id=root, parent_id=parent.id if parent else None, from_beat=job.from_beat,
            delivery_tag=own, size_bytes=750, origin="gen1@beat" if job.from_beat else "gen7@worker",
        )  # fmt: skip
        line = self.lines[job.queue]
        line.pushed_at.append(now)
        line.labels.append(label)
        line.jobs.append(job)
        self._serve(now)

    def _serve(self, now: float) -> None:
        for pool in self.pools:
            while now < pool.dies_at and self._take(now, pool):
                pass

    def _take(self, now: float, pool: Pool) -> bool:
        """One message from list to worker, or from worker to slot; False where neither can be."""
        if pool.reserved and pool.running < pool.slots:
            self._start(now, pool, *pool.reserved.popleft())
            return True
        name = next((name for name in pool.queues if self.lines[name].waiting), None)
        if name is None or len(pool.reserved) >= pool.prefetch * pool.slots:
            return False
        line, place = self.lines[name], len(self.lines[name].popped_at)
        line.popped_at.append(now)
        pool.reserved.append((line.jobs[place], line.labels[place]))
        # Kombu asks the queues in turn.
        pool.queues = [*(n for n in pool.queues if n != name), name]
        return True

    def _start(self, now: float, pool: Pool, job: Job, label: Label) -> None:
        pool.running += 1
        for number, child in enumerate(job.children):
            self.send(now + (number + 1) * PUBLISH_S, child, label)
        run_s = job.run_s(self.rng) if callable(job.run_s) else job.run_s
        run_s = max(run_s, len(job.children) * PUBLISH_S)
        self._at(now + run_s, lambda then: self._finish(then, pool))

    def _finish(self, now: float, pool: Pool) -> None:
        pool.running -= 1
        self._serve(now)


def metered(lines: Mapping[str, Line], polls: Sequence[float], since: float) -> dict[str, FlowSeen]:
    """The steps and sightings of every queue, polled at those moments."""
    seen = {name: _followed(line, polls, since) for name, line in lines.items()}
    pushed = [sum(bisect_right(line.pushed_at, at) for line in lines.values()) for at in polls]
    steps = {name: flow.steps for name, flow in seen.items()}
    filled = attribute(steps, [after - before for before, after in itertools.pairwise(pushed)])
    return {
        name: FlowSeen(
            steps=tuple(filled[name]),
            arrived=flow.arrived,
            departed=flow.departed,
            arrivals_sampled_from=max(len(flow.arrived), sum(step.arrivals for step in filled[name])),
            departures_sampled_from=max(len(flow.departed), sum(step.departures for step in filled[name])),
        )
        for name, flow in seen.items()
    }


def _followed(line: Line, polls: Sequence[float], since: float) -> FlowSeen:
    meter = ListMeter()
    steps: list[Step] = []
    arrived: list[Sighting] = []
    departed: list[Sighting] = []
    for at in polls:
        step = meter.feed(_reading(line, at, since, meter))
        if step is not None:
            steps.append(step if meter.ever_held else Step(step.since_s, step.until_s, 0, 0, 0, exact=False))
            arrived += [Sighting(step.until_s, _label(line, element)) for element in reversed(meter.arrived)]
            departed += [Sighting(step.until_s, _label(line, element)) for element in reversed(meter.departed)]
    return FlowSeen(steps=tuple(steps), arrived=tuple(arrived), departed=tuple(departed))


def _reading(line: Line, at: float, since: float, meter: ListMeter) -> Reading:
    newest, oldest = bisect_right(line.pushed_at, at), bisect_right(line.popped_at, at)
    depth, mark = newest - oldest, meter.marker()
    head, tail = _slices(newest, oldest, meter.wants())
    if depth <= len(head) or mark in head:
        return Reading(at - since, depth, head, tail)
    # As the flow meter does: more is read, and the server is asked where the remembered element stands.
    place = _place(mark) if mark else -1
    found = newest - 1 - place if oldest <= place else None
    return Reading(at - since, depth, *_slices(newest, oldest, meter.most()), found)


def _slices(newest: int, oldest: int, count: int) -> tuple[list[bytes], list[bytes]]:
    head = [_element(place) for place in range(newest - 1, max(oldest, newest - count) - 1, -1)]
    tail = [_element(place) for place in range(min(newest, oldest + count) - 1, oldest - 1, -1)]
    return head, tail


def _element(place: int) -> bytes:
    return b'{"delivery_tag": "%d"}' % place


def _place(element: bytes) -> int:
    return int(element.split(b'"')[3])


def _label(line: Line, element: bytes) -> Label:
    return line.labels[_place(element)]
