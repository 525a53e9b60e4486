"""What is seen of a fluid while it flows: depths, waits and ages step by step, and their means over the measured time."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from tidegate.facts.scenario import Arrivals, Entry
from tidegate.model.simulate.drawing import scatter
from tidegate.model.simulate.fluid.nodes import Node, Tree
from tidegate.model.simulate.fluid.pools import FluidPool, serving
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

    def note(self, stream: Stream, queue: str, length_s: float, step_s: float) -> None:
        """The end of a step, of which `length_s` is measured."""
        shape, nodes = stream.queues[queue], [node for node in stream.nodes if node.task.queue == queue]
        pools = serving(stream.pools, queue)
        chance_s = _chance_s(stream, pools, step_s)
        waiting = shape.waiting + chance_s * shape.coming_per_s
        held = min(waiting, sum(_holds(pool, nodes) for pool in pools))
        depth = waiting - held
        each = _bytes(nodes)
        late = sum(node.served / step_s * node.run_s for node in nodes if node.task.acks_late)
        self.wait_s, self.end_bytes = shape.wait_s + chance_s, depth * each
        self.depths.append(depth)
        self.over.add(length_s, depth=depth, held=held + late, bytes=depth * each)
        longer = sum(pool.longer() * pool.slots for pool in pools) / max(1, sum(pool.slots for pool in pools))
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


def _chance_s(stream: Stream, pools: Sequence[FluidPool], step_s: float) -> float:
    """The wait that chance makes for all that these pools serve, in the order of arrival."""
    queues = {queue for pool in pools for queue in pool.queues}
    slots = sum(pool.slots for pool in pools)
    per_s = sum(stream.queues[queue].coming_per_s for queue in queues)
    nodes = [node for node in stream.nodes if node.task.queue in queues and node.served > 0]
    served = sum(node.served for node in nodes)
    if per_s <= 0 or served <= 0 or not slots:
        return 0.0
    longer = sum(pool.longer() * pool.slots for pool in pools) / slots
    work_s = sum(node.served * stream.each_s(node) for node in nodes) / served * longer
    scattered_s = scattered_wait_s(
        slots, per_s, work_s, _scatter_arrivals(stream, nodes), _scatter_runs(nodes), stream.now
    )
    return scattered_s + _bunched_s(stream, nodes, slots / longer, step_s)


def _bunched_s(stream: Stream, nodes: Sequence[Node], slots: float, step_s: float) -> float:
    """The wait that messages of one bunch make for one another; of a bunch longer than a step the fluid itself tells."""
    waited = 0.0
    for node in nodes:
        lasts_s = node.bunch / slots * stream.each_s(node)
        if slots < node.bunch and lasts_s < step_s:
            waited += node.served * (node.bunch - slots) / (2 * slots) * stream.each_s(node)
    return waited / sum(node.served for node in nodes)


def _scatter_arrivals(stream: Stream, nodes: Sequence[Node]) -> float:
    """Of all streams together: the mean of theirs, weighted by what they bring; children come as their parents do."""
    served = sum(node.served for node in nodes)
    return sum(node.served * _scatter_of(stream.trees[node.source].spec) for node in nodes) / served


def _scatter_of(spec: Entry | Arrivals) -> float:
    if spec.gaps is not None:
        return min(scatter(spec.gaps), 100.0)
    return 0.0 if isinstance(spec, Entry) else 1.0


def _scatter_runs(nodes: Sequence[Node]) -> float:
    served = sum(node.served for node in nodes)
    mean = sum(node.served * node.run_s for node in nodes) / served
    square = sum(node.served * node.run_s**2 * (1 + min(scatter(node.task.run), 100.0)) for node in nodes) / served
    return square / mean**2 - 1 if mean > 0 else 0.0


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
