"""Which load fits where: queues that share workers fit exactly if no set of queues outgrows the workers it can reach.

That is the max-flow min-cut theorem (Ford and Fulkerson 1956) for the network source → queues → workers → sink; the cut
that can't be passed names the queues that are the limit.
"""

import itertools
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Loads are slots; what is smaller than this is rounding.
TINY = 1e-9
_SOURCE, _SINK = "source", "sink"
Node = tuple[str, str] | str
Edges = dict[Node, dict[Node, float]]


@dataclass(frozen=True, slots=True)
class Supply:
    """Workers that consume the same queues, and the slots they have."""

    name: str
    queues: frozenset[str]
    slots: float


@dataclass(frozen=True, slots=True)
class Cut:
    """A set of queues and all the slots it can reach."""

    queues: frozenset[str]
    slots: float

    def of(self, loads: Mapping[str, float]) -> float:
        """How much of the load falls on these queues."""
        return sum(load for queue, load in loads.items() if queue in self.queues)


def tightest(loads: Mapping[str, float], supplies: Sequence[Supply]) -> Cut | None:
    """The set of queues that lacks most slots; None where everything fits.

    Loads and supplies in slots. Costs one max-flow: augmenting paths through queues and supplies, breadth first.
    """
    wanted = {queue: load for queue, load in loads.items() if load > TINY}
    edges = _edges(wanted, supplies)
    passed = 0.0
    while path := _path(edges):
        passed += _push(edges, path)
    if passed >= sum(wanted.values()) - TINY * (1 + len(wanted)):
        return None
    short = frozenset(queue for queue in wanted if ("queue", queue) in _reached(edges))
    return Cut(short, reachable_slots(short, supplies))


def reachable_slots(queues: frozenset[str], supplies: Sequence[Supply]) -> float:
    """The slots that take from at least one of these queues."""
    return sum(supply.slots for supply in supplies if supply.queues & queues)


def _edges(loads: Mapping[str, float], supplies: Sequence[Supply]) -> Edges:
    edges: Edges = defaultdict(lambda: defaultdict(float))
    for queue, load in loads.items():
        edges[_SOURCE]["queue", queue] = load
    for supply in supplies:
        edges["supply", supply.name][_SINK] = supply.slots
        for queue in supply.queues:
            if queue in loads:
                edges["queue", queue]["supply", supply.name] = float("inf")
    return edges


def _path(edges: Edges) -> list[Node]:
    """The shortest way with room from source to sink; empty where there is none."""
    came_from = _search(edges)
    if _SINK not in came_from:
        return []
    path: list[Node] = [_SINK]
    while path[-1] != _SOURCE:
        path.append(came_from[path[-1]])
    return path[::-1]


def _search(edges: Edges) -> dict[Node, Node]:
    came_from: dict[Node, Node] = {_SOURCE: _SOURCE}
    waiting: deque[Node] = deque([_SOURCE])
    while waiting:
        here = waiting.popleft()
        for there, room in edges[here].items():
            if room > TINY and there not in came_from:
                came_from[there] = here
                waiting.append(there)
    return came_from


def _reached(edges: Edges) -> set[Node]:
    return set(_search(edges))


def _push(edges: Edges, path: Sequence[Node]) -> float:
    steps = list(itertools.pairwise(path))
    amount = min(edges[here][there] for here, there in steps)
    for here, there in steps:
        edges[here][there] -= amount
        edges[there][here] += amount
    return amount
