"""What is seen of a fluid while it flows: depths, waits and ages step by step, and their means over the measured time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.model.simulate.fluid.nodes import Node, Tree
from tidegate.model.simulate.fluid.pools import FluidPool
from tidegate.model.simulate.fluid.stream import Stream
from tidegate.model.simulate.fluid.waits import scattered_wait_s


@dataclass(slots=True)
class Watched:
    """Sums over the measured time, each value times how long it lasted."""

    length_s: float = 0.0
    values: dict[str, float] = field(default_factory=dict)

    def add(self, length_s: float, **values: float) -> None:
        """One step."""
        self.length_s += length_s
        for name, value in values.items():
            self.values[name] = self.values.get(name, 0.0) + value * length_s

    def mean(self, name: str) -> float | None:
        """None where nothing was measured."""
        return self.values.get(name, 0.0) / self.length_s if self.length_s > 0 else None


@dataclass(slots=True)
class QueueWatch:
    """One queue: its depth at the end of every step, its means, and the wait of what leaves it now."""

    depths: list[float] = field(default_factory=list)
    end_bytes: float = 0.0
    wait_s: float = 0.0
    over: Watched = field(default_factory=Watched)
    #: By message that started, in place of time.
    by_message: Watched = field(default_factory=Watched)

    def note(self, stream: Stream, queue: str, length_s: float, step_s: float, chance_s: float) -> None:
        """The end of a step, of which `length_s` is measured; chance adds so much to the wait."""
        shape, nodes, pools = stream.queues[queue], stream.by_queue[queue], stream.served_by[queue]
        slots = sum(pool.slots for pool in pools)
        longer = _longer(pools, slots)
        chance_s += _bunched_s(nodes, slots / longer, step_s)
        waiting = shape.waiting + chance_s * shape.coming_per_s
        held = min(waiting, sum(_holds(pool, nodes) for pool in pools))
        depth = waiting - held
        each = _bytes(nodes)
        late = sum(node.served / step_s * node.run_s for node in nodes if node.task.acks_late)
        self.wait_s, self.end_bytes = shape.wait_s + chance_s, depth * each
        self.depths.append(depth)
        self.over.add(length_s, depth=depth, held=held + late, bytes=depth * each)
        self.by_message.add(shape.leaving_per_s * length_s, wait=self.wait_s, longer=longer)


def _holds(pool: FluidPool, nodes: Sequence[Node]) -> float:
    late = bool(nodes) and all(node.task.acks_late for node in nodes)
    return sum(group.holds(late) for group in pool.groups)


def _bytes(nodes: Sequence[Node]) -> float:
    """Of a mean message that waits, or that comes."""
    waiting = sum(node.waiting for node in nodes)
    weights = [node.waiting if waiting > 0 else node.per_firing for node in nodes]
    total = sum(weights)
    return sum(weight * node.task.bytes for weight, node in zip(weights, nodes, strict=True)) / total if total else 0.0


@dataclass(slots=True)
class Passed:
    """What left the queues in a step: messages, their work and its squares, and what tells how scattered they came."""

    messages: float = 0.0
    work_s: float = 0.0
    squares: float = 0.0
    scatter_arrivals: float = 0.0
    coming_per_s: float = 0.0

    def plus(self, other: "Passed") -> None:
        """Both together."""
        self.messages += other.messages
        self.work_s += other.work_s
        self.squares += other.squares
        self.scatter_arrivals += other.scatter_arrivals
        self.coming_per_s += other.coming_per_s


def passed(stream: Stream, queue: str) -> Passed:
    """Through one queue, in the last step; costs one pass over its nodes."""
    total = Passed(coming_per_s=stream.queues[queue].coming_per_s)
    for node in stream.by_queue[queue]:
        if node.served > 0:
            total.messages += node.served
            total.work_s += node.served * node.work_s
            total.squares += node.served * node.work_s**2 * (1 + node.scatter_runs)
            total.scatter_arrivals += node.served * node.scatter_arrivals
    return total


def chance_s(stream: Stream, pools: Sequence[FluidPool], by_queue: Mapping[str, Passed]) -> float:
    """The wait that chance makes for all that these pools serve, in the order of arrival."""
    total, slots = Passed(), sum(pool.slots for pool in pools)
    for queue in dict.fromkeys(queue for pool in pools for queue in pool.queues):
        total.plus(by_queue[queue])
    if total.coming_per_s <= 0 or total.messages <= 0 or not slots:
        return 0.0
    mean_s = total.work_s / total.messages
    scatter_runs = max(0.0, total.squares / total.messages / mean_s**2 - 1)
    scatter_arrivals = total.scatter_arrivals / total.messages
    return scattered_wait_s(
        slots, total.coming_per_s, mean_s * _longer(pools, slots), scatter_arrivals, scatter_runs, stream.now
    )


def _longer(pools: Sequence[FluidPool], slots: int) -> float:
    """How many times longer a run takes at present, over all their slots."""
    return sum(pool.longer() * pool.slots for pool in pools) / slots if slots else 1.0


def _bunched_s(nodes: Sequence[Node], slots: float, step_s: float) -> float:
    """The wait that messages of one bunch make for one another; of a bunch longer than a step the fluid itself tells."""
    waited = served = 0.0
    for node in nodes:
        served += node.served
        lasts_s = node.bunch / slots * node.work_s if slots else 0.0
        if 0 < slots < node.bunch and lasts_s < step_s:
            waited += node.served * (node.bunch - slots) / (2 * slots) * node.work_s
    return waited / served if served > 0 else 0.0


@dataclass(slots=True)
class AgeWatch:
    """One entry: how old the values are that the last tasks of its firings write, for both kinds of payload."""

    at_run_s: float = 0.0
    at_publish_s: float = 0.0
    most_s: float = 0.0
    ever: bool = False
    over: Watched = field(default_factory=Watched)

    def note(self, stream: Stream, watches: dict[str, QueueWatch], tree: Tree, length_s: float, step_s: float) -> None:
        """The end of a step: a value that was written so and so often in it is as old as its run, and half the gap."""
        leaves = [node for node in tree.nodes if not node.children]
        served = sum(node.served for node in leaves)
        times = served / sum(node.per_firing for node in leaves) if leaves else 0.0
        run_s = sum(node.served * node.run_s for node in leaves) / served if served > 0 else 0.0
        wait_s = sum(node.served * watches[node.task.queue].wait_s for node in leaves) / served if served > 0 else 0.0
        self.ever = self.ever or times > 0
        self.at_run_s = _aged(self.at_run_s, step_s, times, run_s)
        self.at_publish_s = _aged(self.at_publish_s, step_s, times, run_s + wait_s)
        if self.ever and length_s > 0:
            self.most_s = max(self.most_s, self.at_publish_s)
            self.over.add(length_s, at_run=self.at_run_s, at_publish=self.at_publish_s)


def _aged(before_s: float, step_s: float, times: float, fresh_s: float) -> float:
    if times >= 1:
        return fresh_s + step_s / times / 2
    return (before_s + step_s) * (1 - times) + fresh_s * times
