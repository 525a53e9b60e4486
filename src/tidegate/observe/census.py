"""What a queue consists of, exactly: every message counted by task, streaming, in bounded memory."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tidegate.broker.client import Broker
from tidegate.broker.envelope import ODD, epoch, identity_of, open_label, wire_decoder
from tidegate.broker.reads import lengths
from tidegate.broker.stream import CHUNKS, Chunks, stream_list
from tidegate.errors import CannotLook
from tidegate.facts.message import Undecodable
from tidegate.facts.seen import CensusSeen, TaskCount
from tidegate.facts.unknown import known

Progress = Callable[[int, int], None]
NOT_A_TASK, OTHER_TASKS = "(not a task)", "(other tasks)"
#: Identities kept to tell duplicates exactly: 150 MB at most. Beyond it they are estimated, to about 0.1 %.
MOST_IDENTITIES = 2_400_000
#: Names told apart; what is named differently from all of them is counted together. No application has so many tasks.
MOST_TASKS = 10_000


@dataclass(slots=True)
class Tally:
    """The running count of one task."""

    count: int = 0
    bytes: int = 0
    expired: int = 0
    identities: set[int] = field(default_factory=set)


class Counting:
    """Counts messages by task; the distinct ones exactly until there are too many, then by a fair sample of hashes.

    The sample keeps the identities whose lowest `k` bits are zero, with k growing as needed: distinct ≈ kept × 2^k,
    with a standard error of √(distinct × (2^k − 1)).
    """

    def __init__(self, now: float, most_identities: int = MOST_IDENTITIES) -> None:
        self.tallies: dict[str, Tally] = {}
        self.undecodable = 0
        self._now = now
        self._most = most_identities
        self._mask = 0
        self._read = wire_decoder()

    def add(self, elements: Iterable[bytes]) -> None:
        """Counts the elements; about 1.5 µs each."""
        read, now = self._read, self._now
        for element in elements:
            try:
                wire = read(element)
            except ODD:
                self._add_odd(element)
                continue
            task = wire.headers.task
            expires = wire.headers.expires
            tally = self.tallies.get(task) or self._new(task)
            tally.count += 1
            tally.bytes += len(element)
            if expires is not None and (epoch(expires) or now) < now:
                tally.expired += 1
            identity = identity_of(task, wire.body)
            if not identity & self._mask:
                tally.identities.add(identity)
        self._shed()

    def _add_odd(self, element: bytes) -> None:
        label = open_label(element)
        if isinstance(label, Undecodable):
            self.undecodable += 1
            return
        task = NOT_A_TASK if label.task is None else label.task
        tally = self.tallies.get(task) or self._new(task)
        tally.count += 1
        tally.bytes += len(element)
        tally.expired += label.expires_at is not None and label.expires_at < self._now
        if not label.identity & self._mask:
            tally.identities.add(label.identity)

    def _new(self, task: str) -> Tally:
        name = task if len(self.tallies) < MOST_TASKS else OTHER_TASKS
        return self.tallies.setdefault(name, Tally())

    def _shed(self) -> None:
        while sum(len(tally.identities) for tally in self.tallies.values()) > self._most:
            self._mask = self._mask * 2 + 1
            for tally in self.tallies.values():
                tally.identities = {identity for identity in tally.identities if not identity & self._mask}

    def duplicates(self, tally: Tally) -> int:
        """Messages of the task beyond the first of each identity."""
        return max(0, tally.count - len(tally.identities) * (self._mask + 1))

    def rows(self) -> tuple[TaskCount, ...]:
        """One row a task, the most frequent first."""
        total = sum(tally.count for tally in self.tallies.values()) + self.undecodable
        ordered = sorted(self.tallies.items(), key=lambda item: (-item[1].count, item[0]))
        return tuple(
            TaskCount(
                name=name,
                count=tally.count,
                share=tally.count / total,
                share_error=0.0,
                bytes=tally.bytes,
                expired=tally.expired,
                duplicates=self.duplicates(tally),
            )
            for name, tally in ordered
        )


def exact_census(
    broker: Broker, queue: str, keys: Sequence[str], progress: Progress | None = None, chunks: Chunks = CHUNKS
) -> CensusSeen:
    """Every message of the queue counted, those that arrive meanwhile left out; one LRANGE per 1,000 to 4,000 messages.

    Ctrl-C at any moment is safe: nothing is changed. `progress` is told (messages counted, messages expected).
    """
    counting = Counting(time.time())
    depths = depths_of(broker, keys)
    expected, counted = sum(depths), 0
    for key, depth in zip(keys, depths, strict=True):
        for chunk in stream_list(broker, key, depth, element_bytes(broker, key, depth), chunks):
            counting.add(chunk)
            counted += len(chunk)
            if progress is not None:
                progress(counted, max(expected, counted))
    return CensusSeen(
        queue=queue,
        messages=counted,
        exact=True,
        looked_at=counted,
        by_task=counting.rows(),
        undecodable=counting.undecodable,
    )


def depths_of(broker: Broker, keys: Sequence[str]) -> list[int]:
    """The length of every list; raises CannotLook where one can't be had, for a part counted as 0 would be a lie."""
    depths: list[int] = []
    for key, depth in zip(keys, lengths(broker, keys), strict=True):
        if not known(depth):
            raise CannotLook(f"{key!r} can't be counted: {depth.why}")
        depths.append(depth)
    return depths


def element_bytes(broker: Broker, key: str, depth: int) -> float:
    """The mean weight of an element, 1 KB where the server does not tell; one MEMORY USAGE."""
    weight = broker.one("MEMORY", "USAGE", key, "SAMPLES", 100) if depth else None
    return weight / depth if isinstance(weight, int) and depth else 1024.0
