"""Fan-out: which task fires which others, and how many messages one firing makes (all that shares a root_id)."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from tidegate.facts.message import Label
from tidegate.facts.seen import FlowSeen, Sighting, Step

#: A task that left so often and spawned nothing is no root.
BARREN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """What one run of `root` spawns: `children` messages in the mean, by task.

    `root` is None where the first message of the firing was not seen; `presumed` where it was not, and only one task
    that is no child came or left in the window, so that it must be the one. `seen` firings were counted.
    """

    root: str | None
    children: float
    by_task: Mapping[str, float]
    seen: int
    presumed: bool = False


def firings(flows: Mapping[str, FlowSeen]) -> dict[str, tuple[Firing, ...]]:
    """By queue, the part of every firing seen in the window that came there; parent and children may be routed apart.

    Children are counted as they arrive and as they leave, since behind a backlog a firing's children may do only one
    of the two in the window. The first and the last root of either are left out: the window may have cut them.
    """
    labels = [label for flow in flows.values() for label in (*_labels(flow.arrived), *_labels(flow.departed))]
    names = {label.id: label.task for label in labels if label.id and label.task and not label.is_child}
    counts = {queue: _left(flow) | _came(flow) for queue, flow in flows.items()}
    candidates = set(names.values()) - _barren(flows.values(), names)
    groups = {queue: _grouped(rows, names) for queue, rows in counts.items()}
    return {queue: _named(rows, candidates) for queue, rows in groups.items()}


def together(parts: Iterable[Sequence[Firing]]) -> tuple[Firing, ...]:
    """Whole firings, from the parts of them that came to each queue."""
    by_root: dict[str | None, list[Firing]] = defaultdict(list)
    for part in (firing for row in parts for firing in row):
        by_root[part.root].append(part)
    return tuple(_sum(row) for row in by_root.values())


def _sum(parts: Sequence[Firing]) -> Firing:
    by_task: Counter[str] = Counter()
    for part in parts:
        by_task.update(part.by_task)
    return Firing(
        root=parts[0].root,
        children=sum(part.children for part in parts),
        by_task=dict(by_task),
        seen=max(part.seen for part in parts),
        presumed=all(part.presumed for part in parts),
    )


def _labels(sightings: Iterable[Sighting]) -> list[Label]:
    return [sighting.label for sighting in sightings if isinstance(sighting.label, Label)]


def _barren(flows: Iterable[FlowSeen], names: Mapping[str, str]) -> set[str]:
    """Tasks that left in the first half of the window, time enough to publish, and of which no child was seen."""
    rows = list(flows)
    roots = {label.root_id for flow in rows for label in _labels((*flow.arrived, *flow.departed)) if label.is_child}
    left = {label.id for flow in rows for label in _labels(_early(flow)) if label.id}
    often = Counter(names[own] for own in left if own in names)
    fired = {names[root] for root in roots if root and root in names}
    return {task for task, count in often.items() if count >= BARREN and task not in fired}


def _early(flow: FlowSeen) -> list[Sighting]:
    middle_s = (flow.steps[0].since_s + flow.steps[-1].until_s) / 2 if flow.steps else 0.0
    return [sighting for sighting in flow.departed if sighting.at_s <= middle_s]


def _came(flow: FlowSeen) -> dict[str, Mapping[str, float]]:
    counts = _children(flow.arrived, [(step, step.arrivals) for step in flow.steps])
    whole = _uncut(flow.arrived, flow.steps)
    # Children of one firing come together, so one that lies within the window is whole.
    kept = list(counts)[1:-1] if len(counts) > 2 else list(counts)
    return {root: counts[root] for root in kept if root in whole}


def _left(flow: FlowSeen) -> dict[str, Mapping[str, float]]:
    # What left unseen came in the same step, so it belongs to none of those that were seen to leave.
    counts = _children(flow.departed, [(step, step.departures) for step in flow.steps if step.waiting])
    return {root: counts[root] for root in list(counts)[1:-1]}


def _children(sightings: Sequence[Sighting], counted: Sequence[tuple[Step, int]]) -> dict[str, Mapping[str, float]]:
    """Children by task for every root, from what was read and how many were counted in each step."""
    by_root: dict[str, dict[str, float]] = {}
    for sighting, weight in zip(sightings, _weights(sightings, counted), strict=True):
        label = sighting.label
        if isinstance(label, Label) and label.is_child and label.root_id and label.task:
            tasks = by_root.setdefault(label.root_id, defaultdict(float))
            tasks[label.task] += weight
    return dict(by_root)


def _weights(sightings: Sequence[Sighting], counted: Sequence[tuple[Step, int]]) -> list[float]:
    """How many messages each one read stands for.

    Where only some of a busy queue's were read, each stands for its share. Where workers took some from an empty queue
    unseen, they took the oldest: those belong to the oldest that was seen, then or in the step after.
    """
    read = Counter(sighting.at_s for sighting in sightings)
    share, first, unseen = {}, {}, 0
    for step, count in counted:
        here = read[step.until_s]
        unseen += 0 if step.waiting else max(0, count - here)
        share[step.until_s] = max(1.0, count / here) if step.waiting and here else 1.0
        if here:
            first[step.until_s], unseen = unseen, 0
    return [share.get(sighting.at_s, 1.0) + first.pop(sighting.at_s, 0) for sighting in sightings]


def _uncut(sightings: Sequence[Sighting], steps: Sequence[Step]) -> set[str]:
    """Roots of which nothing was seen in the first step or in the last."""
    edges = {steps[0].until_s, steps[-1].until_s} if steps else set()
    roots = {root for root, _ in _roots(sightings)}
    return roots - {root for root, at_s in _roots(sightings) if at_s in edges}


def _roots(sightings: Sequence[Sighting]) -> list[tuple[str, float]]:
    return [(s.label.root_id, s.at_s) for s in sightings if isinstance(s.label, Label) and s.label.root_id]


def _grouped(
    counts: Mapping[str, Mapping[str, float]], names: Mapping[str, str]
) -> dict[str | None, list[Mapping[str, float]]]:
    groups: dict[str | None, list[Mapping[str, float]]] = defaultdict(list)
    for root, count in counts.items():
        groups[names.get(root)].append(count)
    return groups


def _named(
    groups: Mapping[str | None, Sequence[Mapping[str, float]]], candidates: Collection[str]
) -> tuple[Firing, ...]:
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
