"""A queue: one list for every priority step, the lower step first; producers push at one end, workers pop the other."""

from collections import OrderedDict, deque
from typing import TYPE_CHECKING

from tidegate.model.simulate.messages import Message
from tidegate.model.simulate.tally import Level

if TYPE_CHECKING:
    from tidegate.model.simulate.hosts import Host


class Line:
    """The lists of one queue, and the hosts that wait for a message of it, the one that waits longest first.

    While a host waits (its BRPOP is blocked), all lists are empty: a message goes straight to it, as in Redis.
    """

    __slots__ = ("blocked", "bytes", "depth", "lists", "most", "name", "points", "unacked", "weights")

    def __init__(self, name: str, steps: int) -> None:
        self.name = name
        self.lists: list[deque[Message]] = [deque() for _ in range(steps)]
        self.blocked: OrderedDict[Host, None] = OrderedDict()
        self.depth, self.unacked = Level(), Level()
        self.bytes = 0
        self.most = 0
        #: Depth and weight at the end of every batch, for charts and growth.
        self.points: list[int] = []
        self.weights: list[int] = []

    def push(self, now: float, message: Message) -> None:
        """LPUSH: behind all that wait with its priority."""
        self.lists[message.step].append(message)
        self._grew(now, message)

    def put_back(self, now: float, message: Message) -> None:
        """RPUSH: it leaves next, as Kombu restores it."""
        self.lists[message.step].appendleft(message)
        self._grew(now, message)

    def pop(self, now: float, step: int) -> Message:
        """BRPOP from the list of that step, which is known to hold one."""
        message = self.lists[step].popleft()
        depth = self.depth
        depth.value -= 1
        depth.moment += now
        self.bytes -= message.kind.load.bytes
        return message

    def _grew(self, now: float, message: Message) -> None:
        depth = self.depth
        depth.value += 1
        depth.moment -= now
        self.bytes += message.kind.load.bytes
        if depth.value > self.most:
            self.most = depth.value

    def fold(self, now: float, *, measured: bool) -> None:
        """The end of a batch."""
        self.depth.fold(now, measured=measured)
        self.unacked.fold(now, measured=measured)
        self.points.append(self.depth.value)
        self.weights.append(self.bytes)
