"""The dry run: what an act would do, told from one walk along the queue (two where the newest or oldest stay).

Writes nothing. What arrives or is taken meanwhile makes the numbers those of a moment ago.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tidegate.act.relief.acts import holder_of
from tidegate.act.relief.arriving import arrival_of
from tidegate.act.relief.choosing import Chooser, chooser_of
from tidegate.act.relief.examples import Examples
from tidegate.broker.bodies import ODD
from tidegate.broker.client import Broker
from tidegate.broker.envelope import open_label, wire_decoder
from tidegate.broker.reads import server_time
from tidegate.broker.stream import stream_list
from tidegate.facts.message import Label
from tidegate.facts.relief import Act, Filter, Relieved, Selected
from tidegate.facts.unknown import known
from tidegate.observe.census import MOST_TASKS, NOT_A_TASK, OTHER_TASKS, depths_of, element_bytes
from tidegate.observe.peek import lists_of

Progress = Callable[[int, int], None]
UNREADABLE = "(can't be read)"


@dataclass(slots=True)
class Tally:
    """What was selected so far, by task."""

    count: dict[str, int] = field(default_factory=dict)
    weight: dict[str, int] = field(default_factory=dict)
    _read: Callable[..., object] = field(default_factory=wire_decoder)

    def add(self, element: bytes) -> str:
        """Counts a message that was selected; its task's name. 1 µs."""
        task = self._task_of(element)
        name = task if task in self.count or len(self.count) < MOST_TASKS else OTHER_TASKS
        self.count[name] = self.count.get(name, 0) + 1
        self.weight[name] = self.weight.get(name, 0) + len(element)
        return name

    def _task_of(self, element: bytes) -> str:
        try:
            return self._read(element).headers.task  # type: ignore[attr-defined, no-any-return]
        except ODD:
            label = open_label(element)
            return (label.task or NOT_A_TASK) if isinstance(label, Label) else UNREADABLE

    def rows(self) -> tuple[Selected, ...]:
        """One row a task, the most frequent first."""
        ordered = sorted(self.count.items(), key=lambda item: (-item[1], item[0]))
        return tuple(Selected(name=name, count=number, bytes=self.weight[name]) for name, number in ordered)


class _Walk:
    """One walk along the lists, newest first, with its progress."""

    def __init__(self, broker: Broker, keys: Sequence[str], depths: Sequence[int], walks: int, tell: Progress) -> None:
        self._broker, self._lists = broker, list(zip(keys, depths, strict=True))
        self._expected = sum(depths) * walks
        self._tell, self._seen = tell, 0

    def chunks(self) -> Iterator[tuple[int, Sequence[bytes]]]:
        """Every chunk with how many of its list stand before it."""
        for key, depth in self._lists:
            newer = 0
            for chunk in stream_list(self._broker, key, depth, element_bytes(self._broker, key, depth)):
                yield newer, chunk
                newer += len(chunk)
                self._seen += len(chunk)
                self._tell(self._seen, max(self._expected, self._seen))


def look_over(
    broker: Broker, act: Act, queue: str, wanted: Filter, *, to: str = "", progress: Progress | None = None
) -> Relieved:
    """What the act would select: counts, bytes, by task, and up to five examples. Writes nothing.

    One LRANGE per 1,000 to 4,000 messages, 5 µs a message. Raises NothingFound for a queue that is not there.
    """
    began = time.monotonic()
    keys = lists_of(broker, queue)
    now_s, arrival = server_time(broker), arrival_of(broker, queue, keys, wanted)
    chooser = chooser_of(wanted, now_s, arrival)
    walk = _Walk(broker, keys, depths_of(broker, keys), 1 + chooser.wants_look, progress or _nobody)
    if chooser.wants_look:
        for newer, chunk in walk.chunks():
            if newer == 0:
                chooser.next_list()
            chooser.look(chunk)
    examples = Examples(now_s, arrival if known(arrival) else None)
    tally, scanned, undecodable = _chosen(chooser, walk, examples)
    removed = sum(tally.count.values())
    return Relieved(
        id="",
        act=act,
        queue=queue,
        to=to,
        scanned=scanned,
        removed=removed,
        removed_bytes=sum(tally.weight.values()),
        kept=scanned - removed,
        undecodable=undecodable,
        by_task=tally.rows(),
        examples=examples.lines(),
        age_by=chooser.age_by,
        elapsed_s=time.monotonic() - began,
        notes=(*_held(broker, queue), *chooser.notes),
    )


def _chosen(chooser: Chooser, walk: _Walk, examples: Examples) -> tuple[Tally, int, int]:
    """What was selected, how many messages were scanned, and how many of them can't be read."""
    tally, scanned, undecodable = Tally(), 0, 0
    for newer, chunk in walk.chunks():
        choice = chooser.choose(chunk[::-1], -newer - len(chunk), 0)
        scanned, undecodable = scanned + len(chunk), undecodable + choice.undecodable
        for place, (element, goes) in enumerate(zip(chunk, reversed(choice.flags), strict=True)):
            if goes:
                examples.offer(tally.add(element), element, newer + place)
    return tally, scanned, undecodable


def _held(broker: Broker, queue: str) -> Iterator[str]:
    """That a part of the queue is set aside, so that this look did not see it."""
    other = holder_of(broker, queue)
    if other:
        yield f"the act {other} has a part of {queue} set aside, which is not counted: tidegate relief show {other}"


def _nobody(done: int, total: int) -> None:
    """Nobody watches."""
