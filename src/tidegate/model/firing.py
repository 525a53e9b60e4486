"""Fan-out: which task fires which others, and how many messages one firing makes (all that shares a root_id)."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean

from tidegate.facts.message import Label
from tidegate.facts.seen import FlowSeen, Sighting


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """What one run of `root` spawns: `children` messages in the mean, by task.

    `root` is None where the first message of the firing was not seen; `presumed` where it was not, and only one task
    that is no child came or left in the window, so that it must be the one.
    """

    root: str | None
    children: float
    by_task: Mapping[str, float]
    seen: int
    presumed: bool = False

    def within(self, tasks: Collection[str]) -> "Firing | None":
        """The part of the firing that these tasks make; None where they make none of it."""
        part = {task: count for task, count in self.by_task.items() if task in tasks}
        return replace(self, by_task=part, children=sum(part.values())) if part else None


def firings(flows: Iterable[FlowSeen]) -> tuple[Firing, ...]:
    """The firings seen in the window, over all queues: parent and children may be routed to different ones.

    Children are counted as they arrive and as they leave, since behind a backlog a firing's children may do only one
    of the two in the window. The first and the last root of either are left out: the window may have cut them.
    """
    rows = list(flows)
    labels = [label for flow in rows for label in (*_labels(flow.arrived), *_labels(flow.departed))]
    names = {label.id: label.task for label in labels if label.id and label.task and not label.is_child}
    counts: dict[str, Mapping[str, float]] = {}
    for flow in rows:
        counts |= _children(_labels(flow.departed), _scale(len(flow.departed), flow.departures_sampled_from))
    for flow in rows:
        counts |= _children(_labels(flow.arrived), _scale(len(flow.arrived), flow.arrivals_sampled_from))
    groups: dict[str | None, list[Mapping[str, float]]] = defaultdict(list)
    for root, count in counts.items():
        groups[names.get(root)].append(count)
    return _named(groups, set(names.values()))


def _labels(sightings: Iterable[Sighting]) -> list[Label]:
    return [sighting.label for sighting in sightings if isinstance(sighting.label, Label)]


def _scale(read: int, counted: int) -> float:
    """Messages counted for every message read."""
    return max(1.0, counted / read) if read else 1.0


def _children(labels: Sequence[Label], scale: float) -> dict[str, Mapping[str, float]]:
    """Children by task for every root whose children were all seen."""
    by_root: dict[str, Counter[str]] = defaultdict(Counter)
    for label in labels:
        if label.is_child and label.root_id and label.task:
            by_root[label.root_id][label.task] += 1
    roots = list(by_root)
    whole = roots[1:-1] if len(roots) > 2 else roots
    return {root: {task: count * scale for task, count in by_root[root].items()} for root in whole}


def _named(groups: Mapping[str | None, Sequence[Mapping[str, float]]], candidates: set[str]) -> tuple[Firing, ...]:
    known = {root: counts for root, counts in groups.items() if root is not None}
    nameless = groups.get(None, ())
    if not nameless:
        return tuple(_firing(root, counts) for root, counts in known.items())
    if len(candidates) == 1:
        root = next(iter(candidates))
        return (_firing(root, [*known.get(root, ()), *nameless], presumed=root not in known),)
    return (*(_firing(root, counts) for root, counts in known.items()), _firing(None, nameless))


def _firing(root: str | None, counts: Sequence[Mapping[str, float]], *, presumed: bool = False) -> Firing:
    tasks = sorted(set().union(*counts))
    return Firing(
        root=root,
        children=mean(sum(count.values()) for count in counts),
        by_task={task: mean(count.get(task, 0.0) for count in counts) for task in tasks},
        seen=len(counts),
        presumed=presumed,
    )
