"""A small cluster played in the mind, and what a probe in it would have counted: for plans whose truth is known."""

import heapq
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tidegate.facts.measured import TICKS, Busy, Depth, Followed, Key, Measured, Runs, Slice, Tick, WorkerSeen
from tidegate.facts.merging import keep_followed
from tidegate.facts.planned import Plan, Question
from tidegate.facts.seen import EntrySeen
from tidegate.facts.sketch import NS, Sketch
from tidegate.model.plan.answer import make_plan

START = 1_790_000_040
PARENT, CHILD = "screen.tasks.refresh_all_clusters", "screen.tasks.flush_cluster_status"


@dataclass(frozen=True)
class Task:
    """A task: its queue, how long a run takes (seconds, drawn anew each time), what it publishes, its share of CPU."""

    name: str
    run: Callable[[], float]
    queue: str = "celery"
    children: Mapping[str, int] = field(default_factory=dict)
    cpu_share: float = 0.0


@dataclass(frozen=True)
class Message:
    task: str
    entry: str
    root: int
    published_s: float
    is_root: bool


@dataclass
class Cluster:
    """Slots that serve all queues first come, first served, and write down what a probe would."""

    tasks: Sequence[Task]
    slots: int = 1
    turnaround_s: float = 0.0014
    nodes: Sequence[str] = ("w1@host",)
    cores: float = 2.0
    slices: dict[int, Slice] = field(default_factory=dict)

    def play(self, sends: Sequence[tuple[float, str, str]], lasts_s: float) -> Measured:
        """Plays (second, task, entry) messages for so long, and returns what was measured."""
        self._by_name = {task.name: task for task in self.tasks}
        comes: list[tuple[float, int, Message]] = []
        for number, (at_s, task, entry) in enumerate(sends):
            heapq.heappush(comes, (at_s, number, Message(task, entry, number, at_s, True)))
        free, waiting, number = [0.0] * self.slots, deque(), len(sends)
        heapq.heapify(free)
        looked = 0
        while comes or waiting:
            ready = free[0]
            while comes and (comes[0][0] <= ready or not waiting):
                at_s, _, message = heapq.heappop(comes)
                waiting.append(message)
                ready = max(ready, at_s) if len(waiting) == 1 else ready
            message = waiting.popleft()
            start = max(heapq.heappop(free), message.published_s)
            if start > lasts_s:
                break
            while looked * 5 < start:
                self._look(looked * 5.0, 1 + len(waiting))
                looked += 1
            task = self._by_name[message.task]
            run_s = task.run()
            end = start + run_s
            busy = 1 + sum(other > start for other in free)
            self._note(task, message, start, run_s, busy)
            for child, count in task.children.items():
                for _ in range(count):
                    number += 1
                    heapq.heappush(comes, (end, number, Message(child, message.entry, message.root, end, False)))
            heapq.heappush(free, end + self.turnaround_s)
        return Measured(
            at_s=START + lasts_s, slices=tuple(self.slices.values()), workers=self.workers(lasts_s), bytes=100_000
        )

    def workers(self, lasts_s: float) -> tuple[WorkerSeen, ...]:
        queues = tuple(sorted({task.queue for task in self.tasks}))
        return tuple(
            a_worker(node, slots=self.slots // len(self.nodes), queues=queues, cores=self.cores, at_s=START + lasts_s)
            for node in self.nodes
        )

    def _slice(self, at_s: float) -> tuple[Slice, int]:
        minute = START + int(at_s // 60) * 60
        return self.slices.setdefault(minute, Slice(minute)), int(at_s % 60 * TICKS / 60)

    def _look(self, at_s: float, depth: int) -> None:
        slice_, tick = self._slice(at_s)
        slice_.depths.setdefault(self.tasks[0].queue, {})[tick] = Depth(1, depth)

    def _note(self, task: Task, message: Message, start: float, run_s: float, busy: int) -> None:
        slice_, tick = self._slice(start + run_s)
        runs = slice_.runs.setdefault(Key(task.name, task.queue, message.entry), Runs())
        ns = round(run_s * NS)
        runs.run.add(run_s)
        runs.wait.add(start - message.published_s)
        runs.outcomes["success"] += 1
        runs.firings += message.is_root
        runs.children.update(task.children)
        runs.busy[busy] = _plus(runs.busy.get(busy, Busy(0, 0, 0)), Busy(1, ns, round(ns * task.cpu_share)))
        runs.ticks[tick] = _plus(runs.ticks.get(tick, Tick(0, 0, 0)), Tick(1, ns, int(message.is_root)))
        if start > message.published_s:
            slice_.turnaround.setdefault(task.queue, Sketch()).add(self.turnaround_s)
        if message.entry:
            followed = slice_.followed.setdefault(message.entry, {})
            place = hash(message.root) & 0xFFFFFFFF
            followed[place] = _plus(followed.get(place, Followed(0, 0)), Followed(1, ns))
            keep_followed(followed)


def _plus(one: Any, other: Any) -> Any:
    return type(one)(*(a + b for a, b in zip(one, other, strict=True)))


def a_worker(node: str = "w1@host", **changes: Any) -> WorkerSeen:
    """A prefork worker of one slot on a machine named as the host."""
    facts: dict[str, Any] = {
        "node": node, "machine": node.partition("@")[2], "at_s": START + 600.0, "started_at_s": START - 10.0,
        "pool": "prefork", "slots": 1, "queues": ("celery",), "cores": 2.0,
    }  # fmt: skip
    return WorkerSeen(**facts | changes)


def every(interval_s: float, task: str, entry: str = "refresh", lasts_s: float = 600.0) -> list[tuple[float, str, str]]:
    """What beat would send."""
    return [(number * interval_s, task, entry) for number in range(int(lasts_s / interval_s))]


def at_random(per_s: float, task: str, lasts_s: float = 600.0, seed: int = 1) -> list[tuple[float, str, str]]:
    """Messages of no entry, as a Poisson process."""
    chance, at_s, result = random.Random(seed), 0.0, []
    while (at_s := at_s + chance.expovariate(per_s)) < lasts_s:
        result.append((at_s, task, ""))
    return result


def planned(measured: Measured, *entries: EntrySeen, **changes: Any) -> Plan:
    """The plan from these measurements, with the schedule where entries are given."""
    schedule = {"entries": entries} if entries else {}
    return make_plan(Question(at="now", url="redis://localhost/0", measured=measured, **schedule, **changes), "1")


def an_entry(name: str = "refresh", task: str = CHILD, interval_s: float | None = 1.0, **changes: Any) -> EntrySeen:
    return EntrySeen(name=name, task=task, interval_s=interval_s, expires=True, **changes)


def outcomes(**numbers: int) -> Counter[str]:
    return Counter(numbers)
