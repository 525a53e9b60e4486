"""A host: slots that run, messages it has reserved for them, and the queues it takes from."""

from collections import deque
from itertools import product
from math import inf

from tidegate.facts.scenario import HostGroup
from tidegate.model.simulate.lines import Line
from tidegate.model.simulate.messages import Message
from tidegate.model.simulate.pace import Pace
from tidegate.model.simulate.tally import Batches, Level


class Pool:
    """The hosts that consume one set of queues: how many of their slots are busy, of those that live."""

    __slots__ = ("busy", "capacity", "hosts", "queues", "share")

    def __init__(self, queues: tuple[str, ...]) -> None:
        self.queues = queues
        self.hosts: list[Host] = []
        self.busy, self.capacity = Level(), Level()
        self.share = Batches()

    def fold(self, now: float, *, measured: bool) -> None:
        """The end of a batch."""
        busy, capacity = self.busy.area(now), self.capacity.area(now)
        if measured:
            self.share.add(busy, capacity)


class Host:
    """One worker machine. `room` is how many messages more it would take: its prefetch limit less what it holds
    unacknowledged, or its free slots where prefetching is off.
    """

    __slots__ = (
        "alive", "blocked", "group", "idle", "in_turn", "latency_s", "limit", "lines", "pace", "pool", "prefetches", "reserved",
        "room", "running", "turnaround_s",
    )  # fmt: skip

    def __init__(self, group: HostGroup, lines: tuple[Line, ...], pool: Pool) -> None:
        self.group, self.lines, self.pool = group, deque(lines), pool
        self.prefetches, self.in_turn = not group.disable_prefetch, group.queue_order == "round_robin"
        self.limit = group.slots * group.prefetch if self.prefetches and group.prefetch else inf
        self.latency_s, self.turnaround_s = group.latency_s, group.turnaround_s
        self.pace = Pace(group.cores, group.slowdown) if contends(group) else None
        self.running: dict[Message, None] = {}
        self.reserved: deque[Message] = deque()
        self.alive = self.blocked = False
        self.idle: int = 0
        self.room: float = 0

    def rise(self, now: float) -> None:
        """It starts, with nothing in its hands."""
        self.alive = True
        self.idle = self.group.slots
        self.room = self.limit if self.prefetches else self.idle
        self.pool.capacity.shift(now, self.group.slots)

    def fall(self, now: float) -> tuple[list[Message], list[Message]]:
        """It dies; what was running and what was reserved."""
        running, reserved = list(self.running), list(self.reserved)
        self.running.clear()
        self.reserved.clear()
        self.alive, self.idle, self.room = False, 0, 0
        self.unblock()
        if self.pace is not None:
            self.pace.clear()
        self.pool.capacity.shift(now, -self.group.slots)
        self.pool.busy.shift(now, -len(running))
        return running, reserved

    def block(self) -> None:
        """Its BRPOP waits: the next message of its queues comes here, after the hosts that wait longer."""
        self.blocked = True
        for line in self.lines:
            line.blocked[self] = None

    def unblock(self) -> None:
        """It asks for nothing."""
        if self.blocked:
            self.blocked = False
            for line in self.lines:
                del line.blocked[self]

    def block_anew(self) -> None:
        """It was served, and asks again: behind the others."""
        for line in self.lines:
            line.blocked.move_to_end(self)

    def next(self, now: float) -> Message | None:
        """What it takes next: the lowest priority step first, within it its queues in turn (or always in their order)."""
        if len(self.lines) == 1:
            line = self.lines[0]
            return next((line.pop(now, step) for step, waiting in enumerate(line.lists) if waiting), None)
        for step, line in product(range(len(self.lines[0].lists)), self.lines):
            if line.lists[step]:
                self.turn(line)
                return line.pop(now, step)
        return None

    def turn(self, line: Line) -> None:
        """It was served from that queue, which is asked after the others then, as Kombu's cycle has it."""
        if len(self.lines) > 1 and self.in_turn:
            self.lines.remove(line)
            self.lines.append(line)


def contends(group: HostGroup) -> bool:
    """True where its runs may slow one another down."""
    return bool(group.slowdown) or 0 < group.cores < group.slots
