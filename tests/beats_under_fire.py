"""Two beats of one schedule, the leading one killed or stopped again and again, and a referee who reads every message.

Nothing is ever taken out of the queue: the referee reads on where he was, so a server that is restarted loses him none.
"""

import json
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import redis

from tidegate.demo.broker import PrivateBroker
from tidegate.demo.processes import Guarded

SPACE = "tidegate:beat:1:proj:"
EVERY_S = 1.0
AT_ONCE = 500
PROJECT = """
from celery import Celery
import tidegate
app = Celery("proj")
tidegate.install(app)
app.conf.beat_scheduler = "tidegate"
app.conf.beat_schedule = {
    f"e{n}": {"task": "t", "schedule": 1.0, "kwargs": {"n": n}} for n in range(ENTRIES)
}
"""
#: What a server saves that loses nothing.
SAVES_ALL = {"appendonly": "yes", "appendfsync": "always"}


def project(entries: int) -> str:
    """An application with so many entries, each of them due once a second."""
    return PROJECT.replace("ENTRIES", str(entries))


@dataclass
class Referee:
    """What came of each entry: its due times (µs) in order of arrival, and the longest it was not heard of."""

    dues: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    read: int = 0
    longest_s: float = 0.0
    _heard_s: dict[str, float] = field(default_factory=dict)

    def look(self, client: redis.Redis) -> int:
        """Reads on; how many messages there were."""
        new = client.lrange("celery", -(self.read + AT_ONCE), -(self.read + 1))
        now_s = time.monotonic()
        for raw in reversed(new):
            headers = json.loads(raw)["headers"]
            self._note(headers["periodic_task_name"] or headers["kwargsrepr"], headers["periodic_due_at"], now_s)
        self.read += len(new)
        return len(new)

    def _note(self, entry: str, due_s: float, now_s: float) -> None:
        self.dues[entry].append(round(due_s * 1e6))
        self.longest_s = max(self.longest_s, now_s - self._heard_s.get(entry, now_s))
        self._heard_s[entry] = now_s

    def twice(self) -> list[tuple[str, int]]:
        """The due times that were sent more than once."""
        seen = Counter((entry, due) for entry, dues in self.dues.items() for due in dues)
        return [one for one, many in seen.items() if many > 1]


class Fire:
    """Two beats on a server of their own."""

    def __init__(self, broker: PrivateBroker, beats: list[Guarded]) -> None:
        self.broker, self.beats = broker, beats
        self.client = redis.Redis.from_url(broker.url, socket_timeout=5)
        self.referee = Referee()
        self.acts: list[str] = []

    def leader(self) -> Guarded | None:
        """The beat that the lease names."""
        with suppress(redis.RedisError, TypeError, ValueError):
            pid = json.loads(self.client.get(SPACE + "lease"))["pid"]
            return next((beat for beat in self.beats if beat.pid == pid), None)
        return None

    def watch(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Reads what comes for so long, or until then."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s and not until():
            try:
                some = self.referee.look(self.client)
            except redis.RedisError:
                some = 0
            if not some:
                time.sleep(0.01)

    def kill(self) -> None:
        """SIGKILL for the leader, which is started again when another one leads."""
        self.watch(10, lambda: self.leader() is not None)
        beat = self.leader()
        assert beat is not None, "nobody led for ten seconds"
        dead = beat.pid
        beat.signal(signal.SIGKILL)
        assert beat.wait(5) is not None
        self.acts.append("kill")
        self.watch(10, lambda: self.leader() not in (None, beat))
        assert self.leader() is not None, f"nobody took over from {dead}"
        beat.start()

    def stop(self, seconds: float) -> None:
        """SIGSTOP for the leader, which goes on after so many seconds as if nothing had happened."""
        self.watch(10, lambda: self.leader() is not None)
        beat = self.leader()
        assert beat is not None, "nobody led for ten seconds"
        beat.signal(signal.SIGSTOP)
        try:
            self.acts.append(f"stop for {seconds:.1f} s")
            self.watch(seconds)
        finally:
            beat.signal(signal.SIGCONT)

    def restart(self) -> None:
        """The server goes, and comes again with all that it had."""
        self.acts.append("server")
        self.broker.restart()

    def end(self) -> None:
        """Both beats end, and the rest is read."""
        for beat in self.beats:
            beat.stop()
        while self.referee.look(self.client):
            pass

    def counts(self) -> Counter[str]:
        """What became of due times, by outcome, as Redis counts it."""
        return self._counted(0)

    def counts_by_entry(self) -> Counter[str]:
        """How many due times were decided on, by entry."""
        return self._counted(1)

    def _counted(self, part: int) -> Counter[str]:
        found: Counter[str] = Counter()
        for name, many in self.client.hgetall(SPACE + "counts").items():
            found[name.decode().split("|", 1)[part]] += int(many)
        return found

    def judge(self, longest_s: float) -> None:
        """Every due time once and decided on exactly once, none of them late, and the counts are what was published."""
        said = f"{self.acts}, {self.counts()}, {self.referee.read} messages, longest gap {self.referee.longest_s:.2f} s"
        print(said)  # noqa: T201  what a proof shows
        assert self.referee.twice() == [], said
        assert self.referee.longest_s <= EVERY_S + longest_s, said
        assert self.counts()["sent"] == self.referee.read == self.client.llen("celery"), said
        cursors = {name.decode(): int(at) for name, at in self.client.hgetall(SPACE + "cursors").items()}
        decided = self.counts_by_entry()
        for entry, dues in self.referee.dues.items():
            assert dues == sorted(dues), (entry, said)
            # From its first due time to its cursor: each of them has exactly one outcome.
            assert decided[entry] == (cursors[entry] - dues[0]) // int(EVERY_S * 1e6) + 1, (entry, said)
