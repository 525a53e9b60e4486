"""Fan-out: which task fires which others, and how many messages one firing makes (all that shares a root_id)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from tidegate.facts.message import Label, Undecodable
from tidegate.facts.seen import FlowSeen


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """What one run of `root` spawns: `children` messages in the mean, by task; `root` is None where it was not seen."""

    root: str | None
    children: float
    by_task: Mapping[str, float]
    seen: int


def firings(flows: Iterable[FlowSeen]) -> tuple[Firing, ...]:
    """The firings seen in the window, over all queues: parent and children may be routed to different ones.

    The oldest and the newest root are left out where there are more: the window may have cut them.
    """
    rows = list(flows)
    arrived = [label for flow in rows for label in flow.arrived if isinstance(label, Label)]
    names = _root_names([*(label for flow in rows for label in _labels(flow.departed)), *arrived])
    by_root: dict[str, Counter[str]] = defaultdict(Counter)
    for label in arrived:
        if label.is_child and label.root_id and label.task:
            by_root[label.root_id][label.task] += 1
    scale = _scale(rows)
    groups: dict[str | None, list[Counter[str]]] = defaultdict(list)
    for root in _whole(list(by_root)):
        groups[names.get(root)].append(by_root[root])
    return tuple(_firing(root, counts, scale) for root, counts in groups.items())


def _labels(labels: Iterable[Label | Undecodable]) -> list[Label]:
    return [label for label in labels if isinstance(label, Label)]


def _root_names(labels: Iterable[Label]) -> dict[str, str]:
    return {label.id: label.task for label in labels if label.id and label.task and not label.is_child}


def _whole(roots: Sequence[str]) -> Sequence[str]:
    return roots[1:-1] if len(roots) > 2 else roots


def _scale(flows: Sequence[FlowSeen]) -> float:
    """Arrivals counted for every arrival read."""
    read = sum(len(flow.arrived) for flow in flows)
    return max(1.0, sum(flow.arrivals_sampled_from for flow in flows) / read) if read else 1.0


def _firing(root: str | None, counts: Sequence[Counter[str]], scale: float) -> Firing:
    tasks = sorted(set().union(*counts))
    return Firing(
        root=root,
        children=mean(count.total() for count in counts) * scale,
        by_task={task: mean(count[task] for count in counts) * scale for task in tasks},
        seen=len(counts),
    )
