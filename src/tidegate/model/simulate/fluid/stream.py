"""The fluid, step by step: what enters, what the pools do of it, what comes of that. Nothing is lost on the way.

A step ends in closed form: served is what the pools can do, or all there is. Inside a queue every task leaves in
proportion to what waits of it, which in steady growth is what first in, first out gives. What a run publishes enters in
the next step. So a simulation costs some 600 steps times tasks and queues, whatever their numbers of messages.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from math import ceil, inf

from tidegate.facts.overlap import Overlap
from tidegate.facts.scenario import Entry, HostEvent, Scenario
from tidegate.model.simulate.building import queues_of
from tidegate.model.simulate.drawing import mean_s
from tidegate.model.simulate.fluid.nodes import Node, Tree, entering, trees_of
from tidegate.model.simulate.fluid.pools import FluidPool, Group, pools_of, serving
from tidegate.model.simulate.fluid.sharing import Offer, share

STEPS = 600
_NOTHING = 1e-12


@dataclass(slots=True)
class Shape:
    """One queue at the end of a step. `wait_s` is how long what leaves it now has waited: first in, first out."""

    waiting: float = 0.0
    wait_s: float = 0.0
    leaving_per_s: float = 0.0
    coming_per_s: float = 0.0
    _came: float = 0.0
    #: Messages that had come by then, ascending; those whose last one has left are forgotten.
    _curve: deque[tuple[float, float]] = field(default_factory=lambda: deque([(0.0, 0.0)]))

    def note(self, now: float, length_s: float, waiting: float, served: float, expired: float) -> None:
        """The end of a step."""
        came = max(0.0, waiting + served + expired - self.waiting)
        self._came += came
        self._curve.append((now, self._came))
        self.waiting, self.leaving_per_s, self.coming_per_s = waiting, served / length_s, came / length_s
        gone = self._came - waiting
        while len(self._curve) > 1 and self._curve[1][1] <= gone + _NOTHING:
            self._curve.popleft()
        (since, before), (until, after) = self._curve[0], self._curve[min(1, len(self._curve) - 1)]
        share = (gone - before) / (after - before) if after > before else 0.0
        self.wait_s = now - (since + (until - since) * share) if waiting > _NOTHING else 0.0


@dataclass(slots=True)
class Stream:
    """The whole fluid, at `now`."""

    scenario: Scenario
    trees: list[Tree]
    pools: list[FluidPool]
    queues: dict[str, Shape]
    nodes: list[Node]
    #: The nodes of every queue, and the pools that consume it.
    by_queue: dict[str, list[Node]]
    served_by: dict[str, list[FluidPool]]
    now: float = 0.0
    #: (when, number, node, messages, whether a retry): what enters again later.
    later: list[tuple[float, int, Node, float, bool]] = field(default_factory=list)
    numbers: "count[int]" = field(default_factory=count)
    #: Work a second that pools could have done more in the last step, by queue.
    spare: dict[str, float] = field(default_factory=dict)

    def step(self, until_s: float) -> None:
        """From now to then."""
        length_s = until_s - self.now
        while self.later and self.later[0][0] <= until_s:
            _, _, node, amount, _ = heappop(self.later)
            node.waiting += amount
        for tree in self.trees:
            self._enter(tree, until_s, length_s)
        nodes = self.nodes
        for node in nodes:
            node.waiting += node.entering
            node.served = 0.0
            if node.expires_s < inf:
                node.inflow.append((until_s, node.entering))
        self._serve(nodes, length_s)
        for node in nodes:
            node.entering = 0.0
        gone = dict.fromkeys(self.queues, 0.0)
        for node in nodes:
            self._pass_on(node, until_s)
            gone[node.task.queue] += _expire(node, until_s)
        self.now = until_s
        for queue, shape in self.queues.items():
            own = self.by_queue[queue]
            waiting, served = sum(node.waiting for node in own), sum(node.served for node in own)
            shape.note(until_s, length_s, waiting, served, gone[queue])

    def happens(self, event: HostEvent) -> None:
        """Hosts die or come back."""
        for pool in self.pools:
            for group in pool.groups:
                if group.spec.name == event.host:
                    there = group.alive if event.kind == "kill" else group.spec.count - group.alive
                    number = there if event.count is None else min(event.count, there)
                    if event.kind == "kill":
                        self._lose(pool, number * group.spec.slots, number * _holds_each(group))
                    group.alive += number if event.kind == "return" else -number

    # What enters

    def _enter(self, tree: Tree, until_s: float, length_s: float) -> None:
        comes = entering(tree.spec, self.now, until_s)
        admitted = self._admitted(tree, comes, length_s)
        tree.fired += comes
        tree.skipped += comes - admitted
        tree.root.entering += admitted
        tree.root.published += admitted

    def _admitted(self, tree: Tree, comes: float, length_s: float) -> float:
        """What the overlap policy lets pass: as much as is served, and no more than one firing ahead of that."""
        spec = tree.spec
        if not isinstance(spec, Entry) or spec.overlap is Overlap.ALLOW_ALL or comes <= 0:
            return comes
        if spec.overlap is Overlap.SKIP:
            lasts_s = sum(self._lasts_s(node) for node in tree.in_scope())
            if lasts_s == inf:
                return max(0.0, min(comes, spec.count - tree.root.waiting))
            return comes / _one_in(spec, lasts_s)
        able = self._able(tree, length_s)
        # Behind the pending root, the firing in progress has half of its messages left on average.
        pending = max(node.waiting / node.per_firing * (1 if node is tree.root else 2) for node in tree.in_scope())
        return max(0.0, min(comes, able + (spec.count - pending) / 2))

    def _lasts_s(self, node: Node) -> float:
        """From the publication of a firing's messages of this node until the last of them is done."""
        slots = sum(pool.slots for pool in self.served_by[node.task.queue])
        turns = max(1.0, node.per_firing / slots) if slots else inf
        return self.queues[node.task.queue].wait_s + node.run_s * turns

    def _able(self, tree: Tree, length_s: float) -> float:
        """Firings that the workers could have done in the last step: those served, and those for which there was room."""
        served = min(node.served / node.per_firing for node in tree.in_scope())
        more = inf
        for queue in {node.task.queue for node in tree.in_scope()}:
            work_s = sum(n.per_firing * n.work_s for n in tree.nodes if n.task.queue == queue)
            more = min(more, self.spare.get(queue, 0.0) * length_s / max(work_s, _NOTHING))
        return served + more

    # What is done of it

    def _serve(self, nodes: Sequence[Node], length_s: float) -> None:
        offers = [
            Offer(pool.queues, pool.can_do() * length_s, pool.groups[0].spec.queue_order == "priority")
            for pool in self.pools
        ]
        before = [offer.left_s for offer in offers]
        for step in sorted({node.step for node in nodes}):
            wanted, each = self._wanted([node for node in nodes if node.step == step])
            done = share(offers, wanted, each)
            for node in nodes:
                if node.step == step and wanted.get(node.task.queue, 0.0) > _NOTHING:
                    node.served = node.waiting * done[node.task.queue] / wanted[node.task.queue]
                    node.waiting -= node.served
        gated = max(1, sum(isinstance(t.spec, Entry) and t.spec.overlap is Overlap.BUFFER_ONE for t in self.trees))
        self.spare = dict.fromkeys(self.queues, 0.0)
        for pool, offer, all_of_it in zip(self.pools, offers, before, strict=True):
            pool.work = (all_of_it - offer.left_s) / length_s
            for queue in pool.queues:
                self.spare[queue] += offer.left_s / length_s / gated

    def _wanted(self, nodes: Sequence[Node]) -> tuple[dict[str, float], dict[str, float]]:
        """Seconds of work that wait by queue, and those of a mean message."""
        work: dict[str, float] = {}
        messages: dict[str, float] = {}
        for node in nodes:
            work[node.task.queue] = work.get(node.task.queue, 0.0) + node.waiting * node.work_s
            messages[node.task.queue] = messages.get(node.task.queue, 0.0) + node.waiting
        return work, {queue: work[queue] / number if number else 1.0 for queue, number in messages.items()}

    def _pass_on(self, node: Node, until_s: float) -> None:
        """What was served becomes retries and children."""
        again = node.served * node.retried_share
        node.started += node.served
        if again > 0 and node.task.retry is not None:
            node.retried += again
            node.published += again
            self._comes_later(until_s + node.task.retry.delay_s, node, again, retry=True)
        for child, each in node.children:
            born = (node.served - again) * each
            child.entering += born
            child.published += born

    def _comes_later(self, moment: float, node: Node, amount: float, *, retry: bool) -> None:
        heappush(self.later, (moment, next(self.numbers), node, amount, retry))

    # What goes wrong

    def _lose(self, pool: FluidPool, slots: float, most_held: float) -> None:
        """Slots of the pool die with what they run and hold."""
        back_s = self.now + self.scenario.broker.visibility_timeout_s + self.scenario.broker.restore_every_s / 2
        share_of_pool = slots / pool.slots if pool.slots else 0.0
        nodes = [node for node in self.nodes if node.task.queue in pool.queues]
        work = sum(node.served * node.run_s for node in nodes)
        running = pool.busy() * share_of_pool
        for node in nodes:
            # The shares are those of the last step: of a task that only began there, less can be running.
            ran = min(running * node.served * node.run_s / work, node.started) if work else 0.0
            if node.task.acks_late:
                node.started -= ran
                self._comes_later(back_s, node, ran, retry=False)
            else:
                node.lost += ran
            everyone = sum(other.slots for other in self.served_by[node.task.queue])
            held = min(node.waiting * slots / everyone, most_held) if everyone else 0.0
            node.waiting -= held
            self.queues[node.task.queue].waiting -= held
            self._comes_later(back_s, node, held, retry=False)


def _one_in(spec: Entry, lasts_s: float) -> float:
    """Of so many firings `skip` lets one pass: a timer's next one after the end, or a random gap after it."""
    if spec.gaps is None:
        return max(1.0, ceil(lasts_s / spec.every_s - 1e-9))
    return 1 + lasts_s / mean_s(spec.gaps)


def _holds_each(group: Group) -> float:
    return group.holds(running_late=False) / group.alive if group.alive else 0.0


def _expire(node: Node, now: float) -> float:
    """What is older than it may be goes: what waits is at most what came in since."""
    if node.expires_s == inf:
        return 0.0
    node.inflow = [(at, amount) for at, amount in node.inflow if at > now - node.expires_s]
    over = max(0.0, node.waiting - sum(amount for _, amount in node.inflow))
    node.waiting -= over
    node.expired += over
    return over


def stream_of(scenario: Scenario) -> Stream:
    """The fluid of the scenario at its beginning; the order of events is that of their moments."""
    trees = trees_of(scenario)
    loads: dict[str, list[tuple[float, float]]] = {}
    for node in (node for tree in trees for node in tree.nodes):
        loads.setdefault(node.task.queue, []).append((node.per_firing * node.run_s, node.task.cpu))
    cpu = {
        queue: sum(work * share for work, share in parts) / sum(work for work, _ in parts)
        for queue, parts in loads.items()
        if sum(work for work, _ in parts) > 0
    }
    pools, queues = pools_of(scenario, cpu), queues_of(scenario)
    nodes = [node for tree in trees for node in tree.nodes]
    added_s = {queue: _turnaround_s(pools, queue) for queue in queues}
    for node in nodes:
        node.work_s = max(node.run_s + added_s[node.task.queue], _NOTHING)
    stream = Stream(
        scenario=scenario,
        trees=trees,
        pools=pools,
        queues={queue: Shape() for queue in queues},
        nodes=nodes,
        by_queue={queue: [node for node in nodes if node.task.queue == queue] for queue in queues},
        served_by={queue: serving(pools, queue) for queue in queues},
    )
    stream.spare = {queue: sum(pool.can_do() for pool in stream.served_by[queue]) for queue in queues}
    return stream


def _turnaround_s(pools: Sequence[FluidPool], queue: str) -> float:
    groups = [group for pool in serving(pools, queue) for group in pool.groups]
    slots = sum(group.slots for group in groups)
    return sum(group.slots * group.spec.turnaround_s for group in groups) / slots if slots else 0.0
