"""What a queue consists of, from a bounded sample with an honest error.

Neighbours in a queue are alike (one firing's children stand together), so the sample is many small windows spread
evenly over the list, and the error comes from how the windows differ, not from the number of messages in them.
Reaching the middle of a long list costs the server a walk: 2 to 14 ms in two million messages. Where that matters
(`tidegate doctor`), only as much of both ends is looked at as can be reached cheaply, and the census says so.
"""

import itertools
import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tidegate.broker.client import Broker
from tidegate.broker.envelope import open_label
from tidegate.facts.message import Label, Undecodable
from tidegate.facts.seen import CensusSeen, TaskCount
from tidegate.observe.census import NOT_A_TASK, element_bytes, exact_census

Window = Sequence[Label | Undecodable]
#: A little over 1.96: a census of few windows should rather claim too little than too much.
_Z = 2.2
_WINDOW_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to look at: windows of so many messages, more until the error is small enough or the most is reached.

    Reads that take the server longer than `reach_s` (seconds) are avoided where it is set.
    """

    windows: int = 64
    length: int = 200
    most_windows: int = 1024
    error: float = 0.01
    reach_s: float | None = None
    whole_up_to: int = 10_000


#: For the doctor: a glance that stays within a few milliseconds of server time.
GLANCE = Plan(windows=24, length=80, most_windows=24, reach_s=0.0008, whole_up_to=400)


@dataclass(frozen=True, slots=True)
class _Part:
    """The part of one list that is looked at: everything, or as far as `reach` from either end."""

    key: str
    depth: int
    reach: int

    @property
    def size(self) -> int:
        return min(self.depth, 2 * self.reach)

    def index(self, offset: int) -> int:
        """The list index of the offset-th element of the part."""
        return offset if offset < self.reach else self.depth - self.size + offset


def sample_census(
    broker: Broker, queue: str, keys: Sequence[str], plan: Plan = Plan(), seed: int | None = None
) -> CensusSeen:
    """The queue's composition estimated; short queues are counted whole. One LRANGE a window.

    `share_error` is the half-width of a 95 % interval; what a limited reach leaves out is not in it.
    """
    depths = [int(depth) if isinstance(depth, int) else 0 for depth in broker.ask(*[("LLEN", key) for key in keys])]
    if sum(depths) <= plan.whole_up_to and _bytes(broker, keys, depths) < 64 << 20:
        return _with_children(broker, exact_census(broker, queue, keys), keys, depths)
    parts = [
        _Part(key, depth, _reach(broker, key, depth, plan)) for key, depth in zip(keys, depths, strict=True) if depth
    ]
    windows, longest = _look(broker, parts, plan, random.Random(seed))
    return _census(queue, sum(depths), parts, windows, longest)


def _bytes(broker: Broker, keys: Sequence[str], depths: Sequence[int]) -> float:
    return sum(element_bytes(broker, key, depth) * depth for key, depth in zip(keys, depths, strict=True))


def _with_children(broker: Broker, census: CensusSeen, keys: Sequence[str], depths: Sequence[int]) -> CensusSeen:
    """An exact census with the fan-out of its first four hundred messages, which the fast count does not look at."""
    window: list[Label | Undecodable] = []
    for key, depth in zip(keys, depths, strict=True):
        if depth and len(window) < 400:
            rows = broker.one("LRANGE", key, 0, 399 - len(window))
            window += [open_label(row) for row in rows] if isinstance(rows, list) else []
    share, per_root = _children([window])
    fields = {name: getattr(census, name) for name in census.__dataclass_fields__}
    return CensusSeen(**{**fields, "children_share": share, "children_per_root": per_root})


def _reach(broker: Broker, key: str, depth: int, plan: Plan) -> int:
    """How far from the ends to look: further and further until a read gets slow, or all of it."""
    half = (depth + 1) // 2
    if plan.reach_s is None:
        return half
    idle = min(_timed(broker, key, 0, 0)[1] for _ in range(3))
    reach = 4000
    while reach < half and _timed(broker, key, reach, reach)[1] - idle <= plan.reach_s:
        reach = int(reach * 1.5)
    return min(reach, half)


def _timed(broker: Broker, key: str, start: int, stop: int) -> tuple[list[bytes], float]:
    began = time.perf_counter()
    rows = broker.one("LRANGE", key, start, stop)
    return (rows if isinstance(rows, list) else []), time.perf_counter() - began


def _look(broker: Broker, parts: Sequence[_Part], plan: Plan, rng: random.Random) -> tuple[list[Window], float]:
    """Windows in the order of the list, twice as many each time until the largest error is small enough."""
    sizes = {part.key: element_bytes(broker, part.key, part.depth) for part in parts}
    count, longest = plan.windows, 0.0
    while True:
        windows: list[Window] = []
        for part, start, length in _spread(parts, count, plan.length, sizes, rng):
            rows, took = _timed(broker, part.key, start, start + length - 1)
            longest = max(longest, took)
            if rows:
                windows.append([open_label(row) for row in rows])
        if count >= plan.most_windows or _largest_error(windows) <= plan.error:
            return windows, longest
        count = min(count * 2, plan.most_windows)


def _spread(
    parts: Sequence[_Part], count: int, length: int, sizes: Mapping[str, float], rng: random.Random
) -> Iterator[tuple[_Part, int, int]]:
    """One window at a random place in each of `count` equal stretches of what can be reached."""
    total = sum(part.size for part in parts)
    for number in range(count):
        offset = int((number + rng.random()) * total / count)
        part, inside = _place(parts, offset)
        fit = max(1, min(length, part.size, int(_WINDOW_BYTES / max(sizes[part.key], 1.0))))
        # A window hangs over the end of the part half the time; pulled back, it stays as likely to hold each message.
        first = min(max(0, inside - fit // 2), part.size - fit)
        yield part, part.index(first), fit


def _place(parts: Sequence[_Part], offset: int) -> tuple[_Part, int]:
    for part in parts:
        if offset < part.size:
            return part, offset
        offset -= part.size
    return parts[-1], parts[-1].size - 1


def _name(label: Label | Undecodable) -> str | None:
    return None if isinstance(label, Undecodable) else label.task or NOT_A_TASK


def _counts(windows: Sequence[Window]) -> list[Counter[str | None]]:
    return [Counter(_name(label) for label in window) for window in windows]


def _largest_error(windows: Sequence[Window]) -> float:
    counts = _counts(windows)
    names = set().union(*counts) if counts else set()
    return max((share_error([c[name] for c in counts], [c.total() for c in counts]) for name in names), default=0.0)


def share_error(hits: Sequence[int], sizes: Sequence[int]) -> float:
    """Half-width of a 95 % interval of a share, from windows in the order of the list.

    The larger of two: from the differences of successive windows (for a stratified sample, Cochran, *Sampling
    Techniques*, §5A.12), and of independent draws after Agresti and Coull, which holds where the windows happen to agree.
    """
    total = sum(sizes)
    if total == 0:
        return 1.0
    shares = [hit / size for hit, size in zip(hits, sizes, strict=True) if size]
    between = sum((a - b) ** 2 for a, b in itertools.pairwise(shares))
    windows = len(shares)
    spread = math.sqrt(between / (2 * (windows - 1)) / windows) if windows > 1 else 0.5
    centre = (sum(hits) + 2) / (total + 4)
    return _Z * max(spread, math.sqrt(centre * (1 - centre) / (total + 4)))


def _census(queue: str, depth: int, parts: Sequence[_Part], windows: Sequence[Window], longest: float) -> CensusSeen:
    counts = _counts(windows)
    sizes = [count.total() for count in counts]
    looked_at = sum(sizes)
    scale = depth / looked_at if looked_at else 0.0
    children, per_root = _children(windows)
    return CensusSeen(
        queue=queue,
        messages=depth,
        exact=False,
        looked_at=looked_at,
        by_task=_rows(windows, counts, sizes, scale),
        undecodable=round(sum(count[None] for count in counts) * scale),
        reach=_reach_text(parts),
        children_share=children,
        children_per_root=per_root,
        oldest_stamp_at=None,
        longest_command_s=longest,
    )


def _rows(
    windows: Sequence[Window], counts: Sequence[Counter[str | None]], sizes: Sequence[int], scale: float
) -> tuple[TaskCount, ...]:
    by_task: dict[str, list[Label]] = defaultdict(list)
    for window in windows:
        for label in window:
            if isinstance(label, Label):
                by_task[label.task or NOT_A_TASK].append(label)
    now, looked_at = time.time(), sum(sizes)
    rows = [
        TaskCount(
            name=name,
            count=round(len(labels) * scale),
            share=len(labels) / looked_at,
            share_error=min(1.0, share_error([count[name] for count in counts], sizes)),
            bytes=round(sum(label.size_bytes for label in labels) * scale),
            expired=round(sum(label.expires_at is not None and label.expires_at < now for label in labels) * scale),
            duplicates=round((len(labels) - len({label.identity for label in labels})) * scale),
        )
        for name, labels in by_task.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.count, row.name)))


def _children(windows: Sequence[Window]) -> tuple[float, float | None]:
    """(share of messages that another task published, messages per root among the roots seen whole)."""
    labels = [label for window in windows for label in window if isinstance(label, Label)]
    if not labels:
        return 0.0, None
    families: list[int] = []
    for window in windows:
        roots = [label.root_id for label in window if isinstance(label, Label) and label.is_child]
        inside = {root for root in roots if root not in (roots[0], roots[-1])}
        families += [roots.count(root) for root in inside]
    share = sum(label.is_child for label in labels) / len(labels)
    return share, (sum(families) / len(families) if families else None)


def _reach_text(parts: Sequence[_Part]) -> str:
    whole = all(part.size == part.depth for part in parts)
    near = sum(part.size for part in parts) // 2
    return "the whole queue" if whole else f"the newest and the oldest {near:,}"
