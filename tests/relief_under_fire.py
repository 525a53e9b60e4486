"""Relief under fire: a queue with producers and consumers at work, acts that are killed, and the books of all messages.

Every message has a number, and the books say where each of them is: taken by a consumer, in the queue, moved, or in a
backup of what was removed. Nothing that happens to an act may lose one or double one.
"""

import multiprocessing
import os
import random
import resource
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection
from redis.retry import Retry

from relief_books import (
    ASIDE_QUEUE,
    OVER,
    QUEUE,
    TAKEN,
    TASKS,
    Books,
    message,
    out_of_order,
)
from tidegate import relieving
from tidegate.act.relief import filtering, pace
from tidegate.broker.address import parse_address
from tidegate.demo.broker import PrivateBroker
from tidegate.errors import TidegateError
from tidegate.facts.relief import Act, Filter, Relief, State

#: From a process that has imported everything: an act begins within a few milliseconds.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["pytest", "tidegate.relieving", "tidegate.demo.broker"])


def fill(client: redis.Redis, first: int, count: int) -> None:
    """So many messages more, in the order of their numbers."""
    for start in range(first, first + count, 1000):
        client.lpush(QUEUE, *map(message, range(start, min(start + 1000, first + count))))


def carry_out(kind: str, url: str, file: Path) -> None:
    """One of the acts that are tried."""
    address, how = parse_address(url), relieving.How(yes=True, backup=file)
    if kind == "purge":
        relieving.purge(address, QUEUE, Filter(tasks=(TASKS[0],)), how)
    elif kind == "move":
        relieving.move(address, QUEUE, Filter(tasks=(TASKS[0],)), ASIDE_QUEUE, relieving.How(yes=True))
    elif kind == "dedupe":
        relieving.dedupe(address, QUEUE, "oldest", Filter(tasks=TASKS[:2]), how)
    elif kind == "dedupe newest":
        relieving.dedupe(address, QUEUE, "newest", None, how)


def on_a_full_disk(most_bytes: int, kind: str, url: str, file: Path) -> None:
    """The same where no file can be longer."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    carry_out(kind, url, file)


ACTS = ("purge", "move", "dedupe", "dedupe newest")


def end_it(way: str, url: str, id_: str) -> None:
    """Goes on with an interrupted act, or back."""
    {"resume": relieving.resume, "rollback": relieving.rollback}[way](parse_address(url), id_, relieving.How(yes=True))


def acts(url: str) -> list[Relief]:
    """The acts there were."""
    return relieving.acts(parse_address(url), 1000)


# -- An act in a process of its own, and what happens in it at each of its steps


class Steps:
    """Every command that goes to the server and every write of a file in this process, before it and after it."""

    def __init__(self, at: Callable[[int], None]) -> None:
        self.count, self._at, self._inside = 0, at, threading.local()
        self._one = threading.RLock()

    def __call__(self) -> None:
        if getattr(self._inside, "yes", False):
            return
        self._inside.yes = True
        try:
            with self._one:
                self.count += 1
                self._at(self.count)
        finally:
            self._inside.yes = False

    def around(self, place: Any, name: str, *, torn: bool = False) -> None:
        """Counts calls of that function; of a write `torn` half is done when the step between is reached."""
        real = getattr(place, name)

        def called(*arguments: Any, **options: Any) -> Any:
            self()
            if torn:
                descriptor, data, offset = arguments
                real(descriptor, data[: len(data) // 2], offset)
                self()
            answer = real(*arguments, **options)
            self()
            return answer

        setattr(place, name, called)

    def listen(self) -> None:
        """From now on, in this process."""
        self.around(AbstractConnection, "send_packed_command")
        self.around(os, "pwrite", torn=True)
        self.around(os, "fsync")
        self.around(os, "ftruncate")


def small_portions() -> None:
    """Few messages at once, so that few messages take many steps."""
    pace._MOST, pace._FEWEST, filtering._FIRST, filtering._CHUNKS = 16, 4, 20, 3


@dataclass(frozen=True)
class Happening:
    """What happens at a step: `signal` to the process itself, or a command to the server; meanwhile there is traffic."""

    step: int
    number: int = 0
    command: tuple[str, ...] = ()


def _bystander(path: str) -> Callable[..., None]:
    """Commands past everything that counts them."""
    line = socket.socket(socket.AF_UNIX)
    line.connect(path)

    def ask(*words: str | bytes) -> None:
        packed = [word.encode() if isinstance(word, str) else word for word in words]
        line.sendall(b"*%d\r\n" % len(packed) + b"".join(b"$%d\r\n%s\r\n" % (len(one), one) for one in packed))
        line.recv(1 << 16)

    return ask


def _in_steps(work: Callable[..., None], arguments: tuple[Any, ...], path: str, what: Happening, report: Any) -> None:
    small_portions()
    ask, first = _bystander(path), int(time.time() * 1000) * 1000  # later ones have larger numbers

    def at(step: int) -> None:
        if step % 3 == 0:
            ask("LPUSH", QUEUE, message(first + step))
            ask("LPUSH", "published", str(first + step))
        if step % 10 == 0:
            ask("LMOVE", QUEUE, TAKEN, "RIGHT", "LEFT")
        if step == what.step:
            if what.command:
                ask(*what.command)
            if what.number:
                os.kill(os.getpid(), what.number)

    steps = Steps(at)
    steps.listen()
    _say(work, arguments, report)
    report.send(steps.count)


def _say(work: Callable[..., None], arguments: tuple[Any, ...], report: Any) -> None:
    try:
        work(*arguments)
        report.send("")
    except (TidegateError, KeyboardInterrupt) as error:
        report.send(f"{type(error).__name__}: {error}")


def _plainly(work: Callable[..., None], arguments: tuple[Any, ...], report: Any) -> None:
    _say(work, arguments, report)


@dataclass
class Child:
    """A process at work on an act; `said` is how that ended, or None where it did not say."""

    process: Any
    _report: Any
    said: str | None = None
    steps: int | None = None

    @classmethod
    def plainly(cls, work: Callable[..., None], *arguments: Any) -> "Child":
        """As it is."""
        return cls._started(_plainly, work, arguments)

    @classmethod
    def in_steps(cls, path: Path | str, what: Happening, work: Callable[..., None], *arguments: Any) -> "Child":
        """Step by step, with something that happens at one of them."""
        return cls._started(_in_steps, work, arguments, str(path), what)

    @classmethod
    def _started(cls, target: Callable[..., None], *arguments: Any) -> "Child":
        ours, theirs = _processes.Pipe(duplex=False)
        process = _processes.Process(target=target, args=(*arguments, theirs), daemon=True)
        process.start()
        theirs.close()
        return cls(process, ours)

    def wait(self, timeout_s: float = 60.0) -> "Child":
        """Until it has ended."""
        self.process.join(timeout_s)
        assert self.process.exitcode is not None, "the act came to no end"
        with suppress(EOFError):
            self.said = self._report.recv()
            self.steps = self._report.recv()
        self._report.close()
        return self

    def killed_after(self, seconds: float) -> bool:
        """Whether it was still at work then."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
        self.wait()
        return bool(self.process.exitcode == -signal.SIGKILL)


@dataclass
class Traffic:
    """A producer and a consumer in a thread; a server that is away is waited for."""

    broker: PrivateBroker
    books: Books
    next: int
    per_s: float = 400.0
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Both at work meanwhile."""
        self._over.clear()
        thread = threading.Thread(target=self._work)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _work(self) -> None:
        # One that tries again by itself would publish twice what the server had when it was killed.
        client = redis.Redis(unix_socket_path=str(self.broker.socket_path), retry=Retry(NoBackoff(), 0))
        while not self._over.wait(1 / self.per_s):
            number, self.next = self.next, self.next + 1
            try:
                client.lpush(QUEUE, message(number))
                self.books.published.add(number)
                if number % 2:
                    client.lmove(QUEUE, TAKEN, "RIGHT", "LEFT")
            except (redis.ConnectionError, redis.TimeoutError):
                if number not in self.books.published:
                    self.books.doubtful.add(number)
                time.sleep(0.02)
        client.close()


class Fire:
    """Acts in turn on one queue, each killed again and again until it has ended one way or the other."""

    def __init__(self, place: Path, broker: PrivateBroker, depth: int, seed: int = 20266) -> None:
        self.place, self.broker, self.depth = place, broker, depth
        self.chance = random.Random(seed)
        self.client = redis.Redis(unix_socket_path=str(broker.socket_path))
        self.books = Books(self.client)
        self.traffic = Traffic(broker, self.books, 1)
        self.kills = self.rounds = self.restarts = 0
        self.ended: Counter[str] = Counter()
        self.killed_at: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._takes_s = 0.3

    def round(self, *, kill_the_server: bool = False) -> None:
        """One act, from a full queue to settled books."""
        self.rounds += 1
        self._fill()
        kind, file = self.chance.choice(ACTS), self.place / f"{self.rounds}.backup"
        before = self.books.waiting()
        with self.traffic.flowing():
            row, ways = self._until_it_is_over(kind, file, kill_the_server)
        after, taken = self.books.waiting(), self.books.settle()
        if row is not None and row.state is State.DONE and kind != "move":
            self.books.file(file)
        how = row.state.value if row is not None else "never begun"
        self.ended[how] += 1
        self._judge(f"round {self.rounds}: {kind}, {how} after {ways}", before, taken, after, row, len(ways))
        file.unlink(missing_ok=True)
        self.books.forget()

    def _judge(
        self, name: str, before: list[int], taken: list[int], after: list[int], row: Relief | None, ways: int
    ) -> None:
        said = self.books.wrong()
        # What went back to the front on a way back is older than what workers took meanwhile; and where a repeat was to go
        # and the act was interrupted, it may stay, for the first of its kind was taken since: then it stands further back.
        ended_at_once = row is None or (row.state is State.DONE and ways == 1)
        if ended_at_once or (row is not None and row.state is State.DONE and row.act is not Act.DEDUPE):
            said += [f"{one}; {len(taken)} taken, {len(after)} wait" for one in out_of_order(taken, after, before)]
        self.wrong += [f"{name}: {one}" for one in said]

    def _fill(self) -> None:
        missing = self.depth - self.client.llen(QUEUE)
        if missing > 0:
            fill(self.client, self.traffic.next, missing)
            self.books.published |= set(range(self.traffic.next, self.traffic.next + missing))
            self.traffic.next += missing

    def _until_it_is_over(self, kind: str, file: Path, kill_the_server: bool) -> tuple[Relief | None, list[str]]:
        """The act, and what was done to it."""
        before = {row.id for row in acts(self.broker.url)}
        ways = [self._tried(Child.plainly(carry_out, kind, self.broker.url, file), kill_the_server)]
        while True:
            row = next((row for row in acts(self.broker.url) if row.id not in before), None)
            if row is None or row.state in OVER:
                return row, ways
            if len(ways) > 40:
                self.wrong.append(f"round {self.rounds}: {kind} comes to no end: {ways}")
                return row, ways
            self.killed_at[f"{kind}, {row.aside} aside" if not row.aside else f"{kind}, some aside"] += 1
            back = "rollback" in " ".join(ways) and self._goes_back(row)
            way = "rollback" if back else self.chance.choice(("resume", "rollback"))
            ways.append(f"{way} {self._tried(Child.plainly(end_it, way, self.broker.url, row.id), kill_the_server)}")

    def _goes_back(self, row: Relief) -> bool:
        return self.client.hget(f"tidegate:relief:1:act:{row.id}", "stage") == b"rollback"

    def _tried(self, child: Child, kill_the_server: bool) -> str:
        """What became of it: killed at an instant, or not at all."""
        began, seconds = time.monotonic(), self.chance.uniform(0, 1.3 * self._takes_s)
        if kill_the_server and self.chance.random() < 0.5:
            child.process.join(seconds)
            self.broker.kill()
            self.broker.restart()
            self.restarts += 1
            child.wait()
            return f"server killed: {child.said}"
        if child.killed_after(seconds if self.chance.random() < 0.8 else 60.0):
            self.kills += 1
            return f"killed after {seconds * 1000:.0f} ms"
        self._takes_s = 0.8 * self._takes_s + 0.2 * (time.monotonic() - began)
        return f"ended: {child.said}"

    def lines(self) -> Iterator[str]:
        """What was done."""
        yield f"{self.kills} SIGKILLs and {self.restarts} restarts of the server in {self.rounds} acts: {dict(self.ended)}"
        yield f"interrupted with {dict(self.killed_at)}; an act or its end takes {self._takes_s:.2f} s"
