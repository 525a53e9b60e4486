"""A server at its memory limit, its queue, and consumers that keep the order in which they took: all in Redis's own words."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from tidegate.act.rescue import rescue as rescuing
from tidegate.act.rescue.rescue import Rescue
from tidegate.act.spill.store import Store
from tidegate.broker import rescue as hand
from tidegate.broker.address import parse_address
from tidegate.demo.broker import PrivateBroker
from tidegate.relieving import rescue

QUEUE = "celery"
BINDINGS = ("_kombu.binding.celery", "celery\x06\x16\x06\x16celery", "mail\x06\x16\x06\x16mail")
#: Takes the oldest, and notes their numbers in the same moment; RPOP first, which a full server allows.
_CONSUME = """
for _ = 1, tonumber(ARGV[1]) do
  local one = redis.call('RPOP', KEYS[1])
  if not one then break end
  redis.call('APPEND', 'executed', string.sub(one, 1, 8))
end
"""


class Killed(BaseException):
    """What SIGKILL is to a process of its own; no handler of ours may catch it."""


@dataclass
class FullServer:
    """The queue on a server at its limit. A message is its number and as many bytes as `weight` says."""

    broker: PrivateBroker
    weight: int = 100_000
    published: int = 0
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.redis = redis.Redis.from_url(self.broker.url)
        self._consume = self.redis.register_script(_CONSUME)

    def fill(self, most: int = 10**9) -> None:
        """Publishes until the server refuses it, or so many messages."""
        self.redis.sadd(*BINDINGS)
        at_once = max(1, 200_000 // self.weight)
        while self.published < most and self.publish(min(at_once, most - self.published)):
            pass

    def publish(self, many: int = 1) -> bool:
        """So many messages more; False where they were refused."""
        messages = [f"{self.published + at:08d}" + "x" * self.weight for at in range(many)]
        try:
            self.redis.lpush(QUEUE, *messages)
        except redis.exceptions.OutOfMemoryError:
            return False
        self.published += many
        return True

    def consume(self, many: int) -> None:
        """The oldest messages, taken and noted in one moment."""
        self._consume(keys=[QUEUE], args=[many])

    def order(self) -> list[int]:
        """The numbers of all messages, in the order in which they were taken and would be."""
        taken = self.redis.get("executed") or b""
        waiting = [one[:8] for one in reversed(self.redis.lrange(QUEUE, 0, -1))]
        noted = [taken[at : at + 8] for at in range(0, len(taken), 8)]
        return [int(number) for number in (*noted, *waiting)]

    def rescue(self, directory: Path, **options: object) -> object:
        """`tidegate rescue --yes`, in this process."""
        return rescue(parse_address(self.broker.url), directory, say=self.said.append, **options)


class Boundaries:
    """Counts the moments before and after everything that a rescue does to the disk or the server, and kills at one."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.passed = 0
        self.killed = False
        self.kill_at = kill_at

    def reached(self) -> None:
        """One boundary more."""
        self.passed += 1
        if self.passed == self.kill_at:
            raise Killed

    @contextmanager
    def watching(self, monkeypatch) -> Iterator[None]:
        """The calls that change something are watched."""
        with monkeypatch.context() as patch:
            for owner, name in (
                (Store, "note"),
                (Store, "append"),
                (Store, "prepend"),
                (Store, "forget_before"),
                (Store, "forget_from"),
                (hand, "run"),
            ):
                patch.setattr(owner, name, self._watched(getattr(owner, name)))
            yield

    def _watched(self, call):
        def watched(*args, **options):
            self.reached()
            answer = call(*args, **options)
            self.reached()
            return answer

        return watched


@contextmanager
def draining(server: FullServer, monkeypatch, *, publishing: int = 2, every: int = 1) -> Iterator[None]:
    """Between two turns of a rescue workers take a few messages, and producers publish some, as long as `publishing`."""
    turn, turns, left = Rescue._turn, itertools.count(), [publishing]

    def turned(self) -> bool:
        if next(turns) % every == 0:
            if left[0] > 0 and server.publish():
                left[0] -= 1
            if self.came.room_s is not None:
                server.consume(2)
        return turn(self)

    with monkeypatch.context() as patch:
        patch.setattr(Rescue, "_turn", turned)
        patch.setattr(rescuing, "_PAUSE_S", 0.002)
        yield


def rescued_with_a_kill_at(server: FullServer, place: Path, monkeypatch, kill_at: int | None) -> Boundaries:
    """Killed at one boundary and gone on with in the same directory, while workers drain: the boundaries that it passed."""
    boundaries = Boundaries(kill_at)
    with draining(server, monkeypatch, publishing=20), boundaries.watching(monkeypatch):
        try:
            server.rescue(place)
        except Killed:
            boundaries.killed = True
            server.rescue(place)
    return boundaries
