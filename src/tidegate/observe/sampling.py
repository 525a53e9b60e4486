"""What a queue consists of, from a bounded sample with an honest error.

Neighbours in a queue are alike (one firing's children stand together), so the sample is many small windows spread
evenly over the list, and the error comes from how the windows differ, not from the number of messages in them.
Reaching the middle of a long list costs the server a walk: 2 to 15 ms in two million messages, however short the
window. So no more are read than the error asks for, and where a pause of milliseconds matters (`tidegate doctor`)
only as much of both ends is looked at as can be reached cheaply, and the census says so.
"""

import itertools
import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from tidegate.broker.client import Broker
from tidegate.broker.envelope import open_label
from tidegate.facts.message import Label, Undecodable
from tidegate.facts.seen import CensusSeen, TaskCount
from tidegate.observe.census import NOT_A_TASK, depths_of, element_bytes, exact_census

Window = Sequence[Label | Undecodable]
#: A little over 1.96: a census of few windows should rather claim too little than too much.
_Z = 2.2
_WINDOW_BYTES = 1 << 20
#: What the windows of messages of megabytes may weigh together, and the fewest that still say something.
_MOST_BYTES, _FEWEST = 256 << 20, 4
#: How far from an end a read is cheap on any machine.
_NEAR = 4000


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to look at: windows of so many messages, twice as many until the error is small enough or most are read.

    Fewer than 150 windows would miss, more than 5 times in 100, a task that makes up 2 % in one heap (the rule of three).
    Reads that take the server longer than `reach_s` (seconds) are avoided where it is set. A queue of up to
    `whole_up_to` messages that weighs no more than `whole_bytes` is counted instead.
    """

    windows: int = 160
    length: int = 160
    most_windows: int = 640
    error: float = 0.015
    reach_s: float | None = None
    whole_up_to: int = 30_000
    whole_bytes: int = 64 << 20


#: For the doctor: a glance that stays within a few milliseconds of server time.
GLANCE = Plan(windows=24, length=80, most_windows=24, reach_s=0.0008, whole_up_to=2000, whole_bytes=4 << 20)


@dataclass(frozen=True, slots=True)
class Part:
    """The part of one list that is looked at: everything, or as far as `reach` from either end.

    At most `fit` messages are read at once.
    """

    key: str
    depth: int
    reach: int
    fit: int

    @property
    def size(self) -> int:
        """How many messages can be reached."""
        return min(self.depth, 2 * self.reach)

    def index(self, offset: int) -> int:
        """The list index of the offset-th element of the part."""
        return offset if offset < self.reach else self.depth - self.size + offset

    def window(self, offset: int, length: int) -> tuple[int, int]:
        """(list index, length) of the window around an offset; pulled back where it would hang over an end of the part."""
        fit = max(1, min(length, self.size, self.fit))
        return self.index(min(max(0, offset - fit // 2), self.size - fit)), fit


Read = Callable[[Part, int, int], Window]


@dataclass(frozen=True, slots=True)
class Glimpse:
    """One window and how often it holds each task (None: undecodable)."""

    labels: Window
    counts: Counter[str | None]

    @classmethod
    def of(cls, labels: Window) -> "Glimpse":
        """The window counted; 0.2 µs a message."""
        return cls(labels, Counter(map(_name, labels)))


def sample_census(
    broker: Broker, queue: str, keys: Sequence[str], plan: Plan = Plan(), seed: int | None = None
) -> CensusSeen:
    """The queue's composition estimated; short queues are counted whole. One LRANGE a window.

    `share_error` is the half-width of a 95 % interval; what a limited reach leaves out is not in it.
    """
    depths = depths_of(broker, keys)
    weights = [element_bytes(broker, key, depth) for key, depth in zip(keys, depths, strict=True)]
    heavy = sum(depth * weight for depth, weight in zip(depths, weights, strict=True)) > plan.whole_bytes
    plan = _affordable(plan, weights)
    if sum(depths) <= plan.windows or (sum(depths) <= plan.whole_up_to and not heavy):
        return _with_children(broker, exact_census(broker, queue, keys), keys, weights)
    parts = [
        Part(key, depth, _reach(broker, key, depth, plan), max(1, int(_WINDOW_BYTES / max(weight, 1.0))))
        for key, depth, weight in zip(keys, depths, weights, strict=True)
        if depth
    ]
    reader = _Reader(broker)
    glimpses = survey(parts, plan, random.Random(seed), reader)
    return _census(queue, sum(depths), parts, glimpses, reader.longest_s)


def _affordable(plan: Plan, weights: Sequence[float]) -> Plan:
    """The plan with fewer windows where single messages weigh megabytes: all of them together stay within 256 MB."""
    heaviest = max(weights, default=0.0)
    if heaviest <= _WINDOW_BYTES:
        return plan
    most = max(_FEWEST, int(_MOST_BYTES / heaviest))
    return replace(plan, windows=min(plan.windows, most), most_windows=min(plan.most_windows, most))


def _with_children(broker: Broker, census: CensusSeen, keys: Sequence[str], weights: Sequence[float]) -> CensusSeen:
    """An exact census with the fan-out of its first four hundred messages, which the fast count does not look at."""
    window: list[Label | Undecodable] = []
    for key, weight in zip(keys, weights, strict=True):
        count = min(400 - len(window), max(1, int(_WINDOW_BYTES / max(weight, 1.0))))
        if count > 0:
            rows = broker.one("LRANGE", key, 0, count - 1)
            window += [open_label(row) for row in rows] if isinstance(rows, list) else []
    share, per_root = _children([window])
    return replace(census, children_share=share, children_per_root=per_root)


def _reach(broker: Broker, key: str, depth: int, plan: Plan) -> int:
    """How far from the ends to look: further and further until a read gets slow, or all of it."""
    half = (depth + 1) // 2
    if plan.reach_s is None:
        return half
    idle = min(_timed(broker, key, 0, 0)[1] for _ in range(3))
    reach = _NEAR
    while reach < half and _timed(broker, key, reach, reach)[1] - idle <= plan.reach_s:
        reach = int(reach * 1.5)
    return min(reach, half)


def _timed(broker: Broker, key: str, start: int, stop: int) -> tuple[list[bytes], float]:
    began = time.perf_counter()
    rows = broker.one("LRANGE", key, start, stop)
    return (rows if isinstance(rows, list) else []), time.perf_counter() - began


class _Reader:
    """Reads windows from a broker and remembers how long the slowest took."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.longest_s = 0.0

    def __call__(self, part: Part, start: int, length: int) -> Window:
        rows, took = _timed(self._broker, part.key, start, start + length - 1)
        self.longest_s = max(self.longest_s, took)
        return [open_label(row) for row in rows]


def survey(parts: Sequence[Part], plan: Plan, rng: random.Random, read: Read) -> list[Glimpse]:
    """Windows in the order of the list, twice as many each time until the largest error is small enough.

    No window is read in vain: the earlier ones stay part of the finer sample.
    """
    total = sum(part.size for part in parts)
    places = [(number + rng.random()) * total / plan.windows for number in range(plan.windows)]
    found: dict[float, Glimpse] = {}
    while True:
        for place in places:
            if place not in found:
                found[place] = Glimpse.of(_window(parts, place, plan.length, read))
        glimpses = [found[place] for place in places if found[place].labels]
        if len(places) * 2 > plan.most_windows or _largest_error(glimpses) <= plan.error:
            return glimpses
        places = list(_finer(places, total, rng))


def _finer(places: Sequence[float], total: int, rng: random.Random) -> Iterator[float]:
    """One place in each half of every stretch: the present one, random in its half, and a new one in the other."""
    half = total / len(places) / 2
    for number, place in enumerate(places):
        middle = (2 * number + 1) * half
        yield from (place, middle + rng.random() * half) if place < middle else (middle - rng.random() * half, place)


def _window(parts: Sequence[Part], place: float, length: int, read: Read) -> Window:
    offset = int(place)
    for part in parts:
        if offset < part.size:
            return read(part, *part.window(offset, length))
        offset -= part.size
    return read(parts[-1], *parts[-1].window(parts[-1].size - 1, length))


def _name(label: Label | Undecodable) -> str | None:
    return None if isinstance(label, Undecodable) else _name_of(label)


def _name_of(label: Label) -> str:
    return NOT_A_TASK if label.task is None else label.task


def _largest_error(glimpses: Sequence[Glimpse]) -> float:
    names = set().union(*(glimpse.counts for glimpse in glimpses))
    sizes = [len(glimpse.labels) for glimpse in glimpses]
    return max((share_error([g.counts[name] for g in glimpses], sizes) for name in names), default=0.0)


def share_error(hits: Sequence[int], sizes: Sequence[int]) -> float:
    """Half-width of a 95 % interval of a share, from windows in the order of the list.

    The larger of two: from the differences of successive windows (for a stratified sample, Cochran, *Sampling
    Techniques*, §5A.12), and of independent draws after Agresti and Coull, which holds where the windows happen to agree.
    """
    total = sum(sizes)
    if total == 0:
        return 1.0
    shares = [hit / size for hit, size in zip(hits, sizes, strict=True) if size]
    centre = (sum(hits) + 2) / (total + 4)
    return _Z * max(_spread(shares), math.sqrt(centre * (1 - centre) / (total + 4)))


def _spread(shares: Sequence[float]) -> float:
    """The standard error of the mean share, larger where few windows hold all there is.

    What stands in few clumps is met by chance, so their number is taken to be as uncertain as that of two more.
    """
    windows = len(shares)
    if windows < 2:
        return 0.5
    between = sum((a - b) ** 2 for a, b in itertools.pairwise(shares)) / (2 * (windows - 1))
    squares = sum(share * share for share in shares)
    clumps = sum(shares) ** 2 / squares if squares else windows
    return math.sqrt(between / windows * (1 + 2 / clumps))


def _census(queue: str, depth: int, parts: Sequence[Part], glimpses: Sequence[Glimpse], longest_s: float) -> CensusSeen:
    looked_at = sum(len(glimpse.labels) for glimpse in glimpses)
    scale = depth / looked_at if looked_at else 0.0
    children, per_root = _children([glimpse.labels for glimpse in glimpses])
    return CensusSeen(
        queue=queue,
        messages=depth,
        exact=False,
        looked_at=looked_at,
        by_task=rows_of(glimpses, scale, time.time()),
        undecodable=round(sum(glimpse.counts[None] for glimpse in glimpses) * scale),
        reach=_reach_text(parts),
        children_share=children,
        children_per_root=per_root,
        longest_command_s=longest_s,
    )


def rows_of(glimpses: Sequence[Glimpse], scale: float, now: float) -> tuple[TaskCount, ...]:
    """One row a task, the most frequent first; counts of what was seen times `scale`.

    Repeats are too few rather than too many: most of a message's likenesses are not in the sample.
    """
    by_task: dict[str, list[Label]] = defaultdict(list)
    for glimpse in glimpses:
        for label in glimpse.labels:
            if isinstance(label, Label):
                by_task[_name_of(label)].append(label)
    sizes = [len(glimpse.labels) for glimpse in glimpses]
    looked_at = sum(sizes)
    rows = [
        TaskCount(
            name=name,
            count=round(len(labels) * scale),
            share=len(labels) / looked_at,
            share_error=min(1.0, share_error([glimpse.counts[name] for glimpse in glimpses], sizes)),
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


def _reach_text(parts: Sequence[Part]) -> str:
    whole = all(part.size == part.depth for part in parts)
    near = sum(part.size for part in parts) // 2
    return "the whole queue" if whole else f"the newest and the oldest {near:,}"
