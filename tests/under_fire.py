"""Producers and workers on one bounded broker, all of them killed at random, and a referee who keeps the account.

Every message has an id. Producers note it before they publish, and again when they know what became of it; workers note
it when they execute it, and acknowledge afterwards. The notes are in a server of their own, which is never touched.
"""

import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from tidegate.demo.broker import PrivateBroker
from tidegate.demo.processes import WORKER_READY, Guarded, python_environment

BOUND = 200
QUEUES = ("strict", "fresh")
STARTS_S = 60.0
PRODUCING = "^producing$"
#: Elements of a queue that did not come back from a dead worker: those that the bound is for.
_FIRST_TIME = """
local lists, found = {KEYS[1]}, 0
for _, step in ipairs({3, 6, 9}) do lists[#lists + 1] = KEYS[1] .. '\\006\\022' .. step end
local depth = 0
for _, list in ipairs(lists) do depth = depth + redis.call('LLEN', list) end
if depth <= tonumber(ARGV[1]) then return depth end
for _, list in ipairs(lists) do
  for _, element in ipairs(redis.call('LRANGE', list, 0, -1)) do
    if not string.find(element, '"redelivered": true', 1, true) then found = found + 1 end
  end
end
return found
"""
PROJECT = f"""
import os, random, sys, time
import redis
from celery import Celery
import tidegate

app = Celery("proj")
app.conf.task_ignore_result = True
app.conf.task_acks_late = True
app.conf.task_reject_on_worker_lost = True
app.conf.task_publish_retry = False
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_cancel_long_running_tasks_on_connection_loss = False
app.conf.broker_transport_options = {{
    "visibility_timeout": 4, "unacked_restore_interval": 1, "unacked_restore_throttle": 1,
}}
app.conf.tidegate_queues = {{
    "strict": {{"max_length": {BOUND}}},
    "fresh": {{"max_length": {BOUND}, "x-overflow": "drop-head"}},
}}
tidegate.install(app)
notes = redis.Redis.from_url(os.environ["NOTES"])

@app.task(name="work")
def work(id):
    notes.sadd("executed", id)

def publish(id, queue):
    try:
        work.apply_async((id,), task_id=id, queue=queue)
    except tidegate.QueueFull:
        notes.sadd("refused", id)
    except Exception as error:
        print(type(error).__name__, error, flush=True)
        time.sleep(0.05)
    else:
        notes.sadd("published", id)

if __name__ == "__main__":
    print("producing", flush=True)
    me, number = f"{{os.getpid()}}-{{time.time():.6f}}", 0
    while True:
        number += 1
        id = f"{{me}}-{{number}}"
        notes.sadd("intended", id)
        publish(id, random.choice({QUEUES}))
        time.sleep(random.random() * 0.004)
"""


@dataclass
class Account:
    """What became of the messages, by their ids; `drops` counts every drop that the journal tells of."""

    intended: set[str]
    published: set[str]
    refused: set[str]
    executed: set[str]
    pending: set[str]
    drops: Counter[str]
    counted: dict[str, int]
    deepest: dict[str, int]
    killed: int
    restarts: int
    samples: int

    @property
    def there(self) -> set[str]:
        return self.executed | self.pending | self.drops.keys()

    def lines(self) -> Iterator[str]:
        """What the referee has to say."""
        pending = self.published & self.pending - self.executed
        dropped = (self.published & self.drops.keys()) - self.executed - self.pending
        yield f"{self.killed} processes killed, {self.restarts} times the server; {len(self.intended):,} messages"
        yield f"published {len(self.published):,} = executed {len(self.published & self.executed):,}"
        yield f"  + pending {len(pending):,} + dropped {len(dropped):,} + lost {len(self.published - self.there):,}"
        doubtful = self.intended - self.published - self.refused
        yield f"refused {len(self.refused):,}; {len(doubtful):,} cut short, {len(doubtful & self.there):,} of them arrived"
        yield f"deepest seen in {self.samples:,} looks: {self.deepest}, bound {BOUND}; counts {self.counted}"


def judged(account: Account) -> list[str]:
    """What is not as it has to be."""
    wrong = {
        "lost": account.published - account.there,
        "there though nobody published it": account.there - account.intended,
        "there though it was refused": account.there & account.refused,
    }
    complaints = [f"{len(ids)} {what}: {sorted(ids)[:3]}" for what, ids in wrong.items() if ids]
    if account.counted.get("dropped_head|fresh", 0) != account.drops.total():
        complaints.append(f"{account.drops.total()} drops in the journal, counted {account.counted}")
    if account.counted.get("queue_full|strict", 0) < len(account.refused):
        complaints.append(f"{len(account.refused)} refusals, counted {account.counted}")
    complaints += [f"{queue}: {depth} messages" for queue, depth in account.deepest.items() if depth > BOUND]
    if not (account.executed and account.pending and account.drops and account.refused):
        complaints.append("not everything happened that was to be tried")
    return complaints


@dataclass
class Referee:
    """Looks at the queues and reads the journal all the time, in threads of its own."""

    url: str
    deepest: dict[str, int] = field(default_factory=lambda: dict.fromkeys(QUEUES, 0))
    drops: Counter[str] = field(default_factory=Counter)
    samples: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _read: str = "0"

    @contextmanager
    def watching(self) -> Iterator["Referee"]:
        threads = [threading.Thread(target=self._again, args=(work,)) for work in (self.look, self.read)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _again(self, work: Callable[[redis.Redis], None]) -> None:
        with redis.Redis.from_url(self.url) as client:
            while not self._over.wait(0.003):
                try:
                    work(client)
                except redis.ConnectionError:
                    continue  # it is being started again

    def look(self, client: redis.Redis) -> None:
        for queue in QUEUES:
            self.deepest[queue] = max(self.deepest[queue], client.eval(_FIRST_TIME, 1, queue, BOUND))
        self.samples += 1

    def read(self, client: redis.Redis) -> None:
        for _, lines in client.xread({"tidegate:journal": self._read}, count=1000) or []:
            for at, line in lines:
                self._read = at
                if line[b"what"] == b"dropped_head":
                    self.drops[line[b"id"].decode()] += 1


class Fire:
    """The whole of it: servers, producers, workers, the referee, and who kills them."""

    def __init__(self, place: Path, private_broker: Callable[..., PrivateBroker], producers: int, workers: int) -> None:
        self._running = ExitStack()
        self._chance = random.Random(20261)
        self.broker, self.notes = private_broker(appendonly="yes", appendfsync="always"), private_broker()
        (place / "proj.py").write_text(PROJECT)
        environment = {"CELERY_BROKER_URL": self.broker.url, "NOTES": self.notes.url}
        self._environment, self._place = python_environment(place, environment), place
        self.workers = [self._worker(number) for number in range(workers)]
        self.producers = [self._started([sys.executable, "proj.py"], f"p{number}") for number in range(producers)]
        self.referee = Referee(self.broker.url)
        self.killed = self.restarts = 0

    def _worker(self, number: int) -> Guarded:
        pool = ["-c", "2"] if number % 4 == 0 else ["-P", "threads", "-c", "4"]
        command = ["worker", "-n", f"w{number}@here", "-Q", ",".join(QUEUES), "--loglevel", "INFO", *pool]
        return self._started([sys.executable, "-m", "celery", "-A", "proj", *command], f"w{number}")

    def _started(self, command: list[str], name: str) -> Guarded:
        log = self._place / f"{name}.log"
        return self._running.enter_context(Guarded(command, log, environment=self._environment, directory=self._place))

    def __enter__(self) -> "Fire":
        for process in (*self.workers, *self.producers):
            process.wait_for_line(WORKER_READY if process in self.workers else PRODUCING, STARTS_S)
        self._running.enter_context(self.referee.watching())
        return self

    def __exit__(self, *exc: object) -> None:
        self._running.close()

    def rage(self, seconds: float, restart_every_s: float) -> None:
        """Kills for so long, one of them about every second; the server now and then."""
        until, restart_at = time.monotonic() + seconds, time.monotonic() + restart_every_s
        while time.monotonic() < until:
            time.sleep(self._chance.uniform(0.3, 1.2))
            victim = self._chance.choice([*self.workers, *self.producers])
            _kill(victim)
            victim.start()
            self.killed += 1
            if time.monotonic() > restart_at:
                restart_at += restart_every_s
                self.broker.kill()
                self.broker.restart()
                self.restarts += 1

    def account(self) -> Account:
        """Ends all of it in the middle of what it does, and counts."""
        for process in (*self.producers, *self.workers):
            _kill(process)
        with redis.Redis.from_url(self.broker.url) as client, redis.Redis.from_url(self.notes.url) as notes:
            self.referee.read(client)
            ids = {name: {id_.decode() for id_ in notes.smembers(name)} for name in _NOTED}
            counts = {name.decode(): int(many) for name, many in client.hgetall("tidegate:gate:1:counts").items()}
            return Account(
                **ids,
                pending=set(_pending(client)),
                drops=self.referee.drops,
                counted=counts,
                deepest=self.referee.deepest,
                killed=self.killed,
                restarts=self.restarts,
                samples=self.referee.samples,
            )


_NOTED = ("intended", "published", "refused", "executed")


def _kill(process: Guarded) -> None:
    """The process and, of a pool, its children: a machine that goes dark."""
    for child in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = child.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if int(words[1]) == process.pid:
            os.kill(int(child.parent.name), signal.SIGKILL)
    process.signal(signal.SIGKILL)
    process.wait(STARTS_S)


def _pending(client: redis.Redis) -> Iterator[str]:
    for queue in QUEUES:
        for step in ("", "\x06\x163", "\x06\x166", "\x06\x169"):
            for element in client.lrange(queue + step, 0, -1):
                yield json.loads(element)["headers"]["id"]
    for entry in client.hvals("unacked"):
        yield json.loads(entry)[0]["headers"]["id"]
