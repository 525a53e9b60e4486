"""What flows: for every source the tasks that come of it, and how much enters in a stretch of time."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil, inf

from tidegate.facts.overlap import Scope
from tidegate.facts.scenario import Arrivals, Entry, Scenario, TaskLoad
from tidegate.model.simulate.arriving import rate_of, sources_of
from tidegate.model.simulate.building import place_of_priority, steps_of
from tidegate.model.simulate.drawing import mean_s, scatter

#: How many messages of a task one firing brings is added up over so many generations.
_GENERATIONS = 1000
_NOTHING = 1e-9
#: A scatter that is infinite on paper is what a finite time shows of it.
_WILDEST = 100.0


@dataclass(slots=True)
class Node:
    """The messages of one task that one source brings.

    `work_s` is what a message costs, what the worker adds included. `scatter_arrivals` is that of the source: children
    come as their parents do. `per_firing` is how many one firing brings in the end, `children` are by node and run.
    `waiting` are published and not started; `published` to `expired` count from the start. `inflow` is what came in
    every step, for what expires.
    """

    source: int
    task: TaskLoad
    step: int
    run_s: float
    expires_s: float
    work_s: float = 0.0
    scatter_runs: float = 0.0
    scatter_arrivals: float = 0.0
    #: So many come at once: children of one run, or entries that fire together.
    bunch: float = 1.0
    per_firing: float = 0.0
    children: list[tuple["Node", float]] = field(default_factory=list)
    retried_share: float = 0.0
    waiting: float = 0.0
    entering: float = 0.0
    served: float = 0.0
    published: float = 0.0
    started: float = 0.0
    retried: float = 0.0
    lost: float = 0.0
    expired: float = 0.0
    inflow: list[tuple[float, float]] = field(default_factory=list)


@dataclass(slots=True)
class Tree:
    """One source with its nodes, the root first."""

    spec: Entry | Arrivals
    nodes: list[Node]
    fired: float = 0.0
    skipped: float = 0.0

    @property
    def root(self) -> Node:
        """What the source itself publishes."""
        return self.nodes[0]

    def in_scope(self) -> Sequence[Node]:
        """The nodes that its overlap policy looks at."""
        firing = isinstance(self.spec, Entry) and self.spec.scope is Scope.FIRING
        return self.nodes if firing else self.nodes[:1]


def trees_of(scenario: Scenario) -> list[Tree]:
    """Every source with what comes of it."""
    return [_tree(number, spec, scenario) for number, spec in enumerate(sources_of(scenario))]


def _tree(number: int, spec: Entry | Arrivals, scenario: Scenario) -> Tree:
    tasks, steps = {task.name: task for task in scenario.tasks}, steps_of(scenario)
    nodes: dict[str, Node] = {}
    for name in _reached(spec.task, tasks):
        task, is_root = tasks[name], name == spec.task
        priority = spec.priority if is_root and spec.priority is not None else task.priority
        expires_s = spec.expires_s if is_root and spec.expires_s is not None else task.expires_s
        expires_s = inf if expires_s is None else expires_s
        node = Node(number, task, place_of_priority(priority, steps), mean_s(task.run), expires_s)
        node.retried_share = _retried(task)
        node.scatter_runs, node.scatter_arrivals = min(scatter(task.run), _WILDEST), _scatter_of(spec)
        nodes[name] = node
    for name, node in nodes.items():
        node.children = [(nodes[child], each) for child, each in tasks[name].children.items() if each]
        for child, each in node.children:
            child.bunch = max(child.bunch, each)
    if isinstance(spec, Entry):
        nodes[spec.task].bunch = float(spec.count)
    _expect(list(nodes.values()))
    return Tree(spec, _brought(list(nodes.values())))


def _brought(nodes: Sequence[Node]) -> list[Node]:
    """Those of which a firing brings any; of a number next to nothing none would ever be whole."""
    for node in nodes:
        node.children = [(child, each) for child, each in node.children if child.per_firing > 0]
    return [node for node in nodes if node.per_firing > 0]


def _scatter_of(spec: Entry | Arrivals) -> float:
    if spec.gaps is not None:
        return min(scatter(spec.gaps), _WILDEST)
    return 0.0 if isinstance(spec, Entry) else 1.0


def _reached(root: str, tasks: dict[str, TaskLoad]) -> list[str]:
    names = [root]
    for name in names:
        names += [child for child, each in tasks[name].children.items() if each and child not in names]
    return names


def _retried(task: TaskLoad) -> float:
    """The share of runs that come again, such that a message runs as often as with its limit of tries."""
    if task.retry is None:
        return 0.0
    return 1 - 1 / sum(task.retry.share**tries for tries in range(task.retry.most + 1))


def _expect(nodes: Sequence[Node]) -> None:
    """How many messages of every node one firing brings; a retry's run brings no children."""
    born = {id(nodes[0]): 1.0}
    for _ in range(_GENERATIONS):
        following: dict[int, float] = {}
        for node in nodes:
            number = born.get(id(node), 0.0)
            node.per_firing += number
            for child, each in node.children:
                following[id(child)] = following.get(id(child), 0.0) + number * each
        born = following
        if sum(born.values()) < _NOTHING:
            return


def entering(spec: Entry | Arrivals, since_s: float, until_s: float) -> float:
    """How many messages the source sends in a stretch of time: of a timer exactly, of anything else on average."""
    if isinstance(spec, Entry) and spec.gaps is None:
        return spec.count * (_firings(spec, until_s) - _firings(spec, since_s))
    if isinstance(spec, Arrivals) and spec.times_s:
        return bisect_right(spec.times_s, until_s) - bisect_right(spec.times_s, since_s)
    if isinstance(spec, Arrivals) and spec.rates:
        return sum(rate * max(0.0, min(until_s, end) - max(since_s, begin)) for begin, end, rate in _spans(spec))
    return rate_of(spec, until_s) * (until_s - since_s)


def _spans(spec: Arrivals) -> Iterator[tuple[float, float, float]]:
    ends = [begin for begin, _ in spec.rates[1:]] + [inf]
    yield from ((begin, end, rate) for (begin, rate), end in zip(spec.rates, ends, strict=True))


def _firings(spec: Entry, until_s: float) -> int:
    """Firings up to that moment, it not included; the jitter moves them by half of it on average."""
    return max(0, ceil((until_s - spec.phase_s - spec.jitter_s / 2) / spec.every_s - 1e-9))
