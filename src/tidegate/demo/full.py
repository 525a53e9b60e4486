"""The last act: a server that is full, its workers that die at their start, and the rescue that loses nothing."""

import re
import threading
import time
from collections import deque
from pathlib import Path

from tidegate.broker.address import parse_address
from tidegate.demo.broker import PrivateBroker
from tidegate.demo.narrator import Narrator, sparkline
from tidegate.demo.processes import WORKER_READY, Guarded
from tidegate.demo.stage import QUEUE, Stage
from tidegate.errors import TidegateError
from tidegate.facts.rescued import Rescued
from tidegate.relieving import rescue
from tidegate.units import size

#: A server has about 1 MB before the first message, and a message takes 1 KB.
LIMIT_BYTES, FREE_BYTES = 3_000_000, 400_000
STARTS_S, DIES_S, FILLS_S, DRAINS_S = 60.0, 20.0, 30.0, 12.0
LOOKS_PER_S = 4
_FILLED = r"^refused after (\d+)$"
_EXECUTED = re.compile(r"Task screen\.tasks\.flush_cluster_status\[\S+\] succeeded")
_PUBLISH = """
import os, django
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "screen.settings")
django.setup()
from screen.models import Cluster
from screen.tasks import flush_cluster_status
clusters = list(Cluster.objects.values_list("pk", flat=True))
published = 0
try:
    while True:
        flush_cluster_status.apply_async((clusters[published % len(clusters)],), retry=False)
        published += 1
except Exception as error:
    print(type(error).__name__, error)
    print("refused after", published)
"""


class FullServer:
    """A small server of its own, with the same project on it."""

    def __init__(self, stage: Stage, broker: PrivateBroker) -> None:
        self.stage, self.broker = stage, broker
        # The statuses stay on the first server: this one has no room for them.
        self._more = {"SCREEN_BROKER_URL": broker.url, "SCREEN_CACHE_URL": stage.broker.url.removesuffix("/0") + "/1"}
        self._workers: list[Guarded] = []

    @property
    def directory(self) -> Path:
        """Where the rescue has its file; it goes with the server."""
        return self.broker.directory / "rescue"

    @property
    def waiting(self) -> int:
        """Messages in the queue."""
        depth = self.broker.ask("LLEN", QUEUE)
        return depth if isinstance(depth, int) else 0

    def fill(self) -> int:
        """Publishes until it is refused: how many messages there are."""
        publisher = self.stage.python("publisher", "-c", _PUBLISH, **self._more)
        return int(publisher.wait_for_line(_FILLED, FILLS_S)[1])

    def start_worker(self) -> Guarded:
        """A worker that takes what it gets."""
        name = f"full-{len(self._workers) + 1}"
        arguments = (
            "worker",
            "--pool",
            "solo",
            "--without-mingle",
            "--without-gossip",
            "--loglevel",
            "INFO",
            "-n",
            f"{name}@%h",
            "-Q",
            QUEUE,
        )
        worker = self.stage.celery(name, *arguments, **self._more, SCREEN_TASK_S="0")
        self._workers.append(worker)
        return worker

    def executed(self) -> int:
        """How many messages the workers have executed."""
        return sum(len(_EXECUTED.findall(worker.log.read_text())) for worker in self._workers)

    def stop(self) -> None:
        """The workers end before their server does."""
        for worker in self._workers:
            worker.stop()


class Rescuing:
    """The rescue in a thread of its own; what it says is kept until it is told."""

    def __init__(self, full: FullServer) -> None:
        self._said: deque[str] = deque()
        self.room = threading.Event()
        self.result: Rescued | None = None
        self._full = full
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rescue", daemon=True)
        self._thread.start()

    def tell(self, teller: Narrator) -> None:
        """What it has said since the last time."""
        while self._said:
            teller.say(f"    {self._said.popleft()}")

    def end(self) -> None:
        """Comes back when the thread is gone."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        address = parse_address(self._full.broker.url)
        try:
            self.result = rescue(
                address, self._full.directory, queue=QUEUE, free=FREE_BYTES, say=self._say, stop=self._stop.is_set
            )
        except TidegateError as error:
            self._say(str(error))
        finally:
            self.room.set()

    def _say(self, sentence: str) -> None:
        self._said.append(sentence)
        if sentence.startswith("Room made"):
            self.room.set()


def let_it_be_full(teller: Narrator, stage: Stage) -> None:
    """A server is filled to its limit, a worker dies on it, and the rescue brings it back; what it took is told."""
    teller.say(
        "The last act is the end of the story, when nobody looked in time. Another private server, with "
        f"{size(LIMIT_BYTES)} of memory, gets refreshes until it refuses them."
    )
    with PrivateBroker(config={"maxmemory": str(LIMIT_BYTES), "maxmemory-policy": "noeviction"}) as broker:
        full = FullServer(stage, broker)
        published = full.fill()
        _die(teller, full, published)
        began = time.monotonic()
        rescuing = Rescuing(full)
        try:
            rescuing.room.wait(STARTS_S)
            rescuing.tell(teller)
            full.start_worker().wait_for_line(WORKER_READY, STARTS_S)
            _watch(teller, full, rescuing, published)
        finally:
            rescuing.end()
            full.stop()
        rescuing.tell(teller)
        _tell(teller, full, rescuing, published, time.monotonic() - began)


def _die(teller: Narrator, full: FullServer, published: int) -> None:
    worker = full.start_worker()
    code = worker.wait(DIES_S)
    died = (
        f"A worker that is started exits with code {code}"
        if code is not None
        else "A worker that is started is of no use"
    )
    teller.say(
        f"{published:,} messages fill it. {died}, for what it has to write first is refused as well; the queue can't drain, "
        "and nobody can publish. So:"
    )
    teller.say(
        f"    tidegate rescue {full.broker.url} --dir {full.directory} --free {size(FREE_BYTES).replace(' ', '')} --yes"
    )


def _watch(teller: Narrator, full: FullServer, rescuing: Rescuing, published: int) -> None:
    """Until everything was executed."""
    depths: list[int] = []
    began = time.monotonic()
    while (passed := time.monotonic() - began) < DRAINS_S and full.executed() < published:
        depths.append(full.waiting)
        rescuing.tell(teller)
        teller.progress(f"{passed:4.0f} s  {depths[-1]:5d} messages wait  {sparkline(depths)}  full server")
        time.sleep(1 / LOOKS_PER_S)


def _tell(teller: Narrator, full: FullServer, rescuing: Rescuing, published: int, seconds: float) -> None:
    executed, result = full.executed(), rescuing.result
    if result is None or not result.done or executed != published:
        teller.say(f"{executed:,} of {published:,} are executed so far: this machine is busy with other things.")
        return
    teller.say(
        f"There was room after {result.room_s or 0:.2f} s, and {seconds:.0f} s after the rescue began the {published:,} messages "
        f"are executed, {executed:,} in all: none lost, none twice. {result.most_on_disk:,} of them had waited on disk."
    )
