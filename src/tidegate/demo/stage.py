"""The stage of the demo: a private broker, the Django project, a worker, beat and the page, all real."""

import importlib.util
import os
import re
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.request import urlopen

from tidegate.demo.broker import PrivateBroker
from tidegate.demo.processes import (
    BEAT_READY,
    WORKER_READY,
    Guarded,
    ProcessFailed,
    celery,
    python_environment,
)
from tidegate.errors import UsageError

APPLICATION = "screen"
QUEUE = "celery"
ENTRY = "refresh"
PAGE_READY = r"^the page is at (http://\S+)$"
OLDEST = re.compile(r"Oldest status</dt><dd>([\d.]+) s<")
STARTS_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """How much is asked of one worker process: `clusters` × `task_s` of work every `interval_s`, in seconds.

    Around each measurement Celery, Django and the cache take some 3 to 8 ms more, so 20 × 0.056 s is a fifth
    more than one worker process has.
    """

    clusters: int = 20
    task_s: float = 0.056
    interval_s: float = 1.0


def find_project() -> Path:
    """The Django project: inside the installed package, else in the source checkout."""
    here = Path(__file__).resolve()
    for place in (here.parent / "screen", here.parents[3] / "examples" / "screen"):
        if (place / "manage.py").is_file():
            return place
    message = "the demo's Django project is missing: install tidegate from a wheel, or run a source checkout"
    raise UsageError(message)


class Stage:
    """Everything the story needs, started in order and gone at the end, also where this process is killed."""

    def __init__(self, scene: Scene, port: int | None = None) -> None:
        if importlib.util.find_spec("django") is None:
            message = "the demo plays a Django project, and Django is missing: pip install 'tidegate[demo]'"
            raise UsageError(message)
        self.scene = scene
        self.project = find_project()
        self.broker = PrivateBroker()
        self.page_url = ""
        self._port = port or 0
        self._running = ExitStack()
        self._beat: Guarded | None = None
        self._beats = 0
        self._second: Guarded | None = None
        self._hosts = 0

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._running.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._running.close()

    @property
    def depth(self) -> int:
        """Messages that wait in the queue; what the worker already holds is not counted."""
        depth = self.broker.ask("LLEN", QUEUE)
        return depth if isinstance(depth, int) else 0

    def discard_backlog(self) -> int:
        """Delete what waits, as the team of the story did: a stale refresh is worthless. Returns how many."""
        waiting = self.depth
        self.broker.ask("DEL", QUEUE)
        return waiting

    def oldest_status_s(self) -> float | None:
        """The age of the oldest status on the page; None while there is none, or the page does not answer."""
        try:
            with urlopen(self.page_url, timeout=1.0) as page:
                found = OLDEST.search(page.read().decode())
        except OSError:
            return None
        return float(found[1]) if found else None

    def start_second_host(self) -> None:
        """One more worker process, with a name as if it were on another host."""
        self._hosts += 1
        name = f"host-{self._hosts}"
        self._second = self.celery(name, "worker", "-c", "1", "--loglevel", "INFO", "-n", "celery@second")
        self._second.wait_for_line(WORKER_READY, STARTS_S)

    def kill_second_host(self) -> None:
        """It is gone at once, and says nothing."""
        if self._second is not None:
            os.kill(self._second.pid, signal.SIGKILL)

    def start_beat(self, interval_s: float, overlap: str = "allow_all", *, follows: bool = False) -> None:
        """Let beat send the refresh every `interval_s` seconds, or as the workers can, instead of what it did before."""
        if self._beat is not None:
            self._beat.stop()
        self._beats += 1
        schedule = self._data / f"schedule-{self._beats}"
        arguments = ["beat", "--loglevel", "INFO", "--pidfile=", "-s", str(schedule)]
        arguments += ["-S", "tidegate"] if follows else []
        self._beat = self.celery(
            f"beat-{self._beats}",
            *arguments,
            SCREEN_INTERVAL_S=str(interval_s),
            SCREEN_OVERLAP=overlap,
            SCREEN_FOLLOWS="1" if follows else "",
        )
        self._beat.wait_for_line(BEAT_READY, STARTS_S)

    def _open(self) -> None:
        self._running.enter_context(self.broker)
        # Inside the broker's directory, which the broker's guard removes whatever ends this process.
        self._data = self.broker.directory / "screen"
        self._data.mkdir()
        # Nobody asks the database before beat sends something, so the slow starters start first.
        worker = self.celery("worker", "worker", "--concurrency", "1", "--loglevel", "INFO")
        page = self.python("page", "-m", "tidegate.demo.page", str(self._port))
        self._manage("migrate", "--verbosity", "0")
        self._manage("add_clusters", str(self.scene.clusters))
        self.page_url = page.wait_for_line(PAGE_READY, STARTS_S)[1]
        worker.wait_for_line(WORKER_READY, STARTS_S)
        self.start_beat(self.scene.interval_s)

    def _manage(self, command: str, *arguments: str) -> None:
        process = self.python(command, "manage.py", command, *arguments)
        if process.wait(STARTS_S) != 0:
            message = f"manage.py {command} failed; it said: {process.last_words()}"
            raise ProcessFailed(message)

    def python(self, name: str, *arguments: str, **more: str) -> Guarded:
        """A Python of the project, `more` in its environment; it ends with the stage."""
        process = Guarded(
            [sys.executable, *arguments],
            self._data / f"{name}.log",
            environment=python_environment(self.project, {**self._environment(), **more}),
            directory=self.project,
        )
        self._running.callback(process.stop)
        return process

    def celery(self, name: str, *arguments: str, **more: str) -> Guarded:
        """A process of the project's Celery, the same way."""
        log = self._data / f"{name}.log"
        process = celery(
            APPLICATION,
            *arguments,
            project=self.project,
            log=log,
            environment={**self._environment(), **more},
        )
        self._running.callback(process.stop)
        return process

    def _environment(self) -> Mapping[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": f"{APPLICATION}.settings",
            "SCREEN_BROKER_URL": self.broker.url,
            "SCREEN_DATA": str(self._data),
            "SCREEN_INTERVAL_S": str(self.scene.interval_s),
            "SCREEN_TASK_S": str(self.scene.task_s),
            "SCREEN_CLUSTERS": str(self.scene.clusters),
        }
