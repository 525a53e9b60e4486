"""Child processes that can't outlive their owner: a guard (`guard.py`) ends each when the owner dies."""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import tidegate
from tidegate.errors import CannotLook

GUARD = Path(__file__).with_name("guard.py")
LINES_KEPT = 20
GUARD_ANSWERS_S = 10.0
FOREIGN = ("CELERY_", "DJANGO_", "SCREEN_")
#: Log lines, at level INFO, after which a worker takes tasks and beat sends them.
WORKER_READY = r"\S+@\S+ ready\.$"
BEAT_READY = r"beat: Starting\.\.\.$"


class ProcessFailed(CannotLook):
    """A child process ended or stayed silent before it was ready; the message carries its last log lines."""


class Guarded:
    """One child process in its own session, gone with its owner however the owner dies.

    Output goes to the file `log`. `stop()` sends `end_signal` to the process, after `grace_s` SIGKILL to its
    group, and removes the directory `scratch` where one is given. Signals go through the guard, which knows
    whether the process still lives, so never to a stranger that got its number. Not for several threads.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        scratch: Path | None = None,
        end_signal: int = signal.SIGTERM,
        grace_s: float = 10.0,
    ) -> None:
        self.command = [str(part) for part in command]
        self.log = log
        self.pid = 0
        self.code: int | None = None
        self._owner = os.getpid()
        self._grace_s = grace_s
        self._scratch = scratch
        self._unread = b""
        options = [str(self._owner), str(int(end_signal)), str(grace_s), str(log), str(scratch or "")]
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(GUARD), *options, *self.command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=environment,
            cwd=directory,
            start_new_session=True,
        )
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def start(self) -> None:
        """Run the command, again where it has ended."""
        self.code = None
        self.pid = int(self._order("start", "started"))

    def signal(self, number: int) -> None:
        """Send a signal to the process itself; nothing happens once it has ended."""
        self._order(f"signal {int(number)}", "sent")

    def poll(self) -> int | None:
        """The exit code, or None while the process runs; never waits."""
        return self.wait(0.0)

    def wait(self, timeout_s: float) -> int | None:
        """The exit code, or None where the process still runs after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while self.code is None:
            line = self._report(max(0.0, deadline - time.monotonic()))
            if line is None:
                break
            self._note(line)
        return self.code

    def stop(self) -> None:
        """End the process and its guard; a second call, or one from a forked child, does nothing."""
        if os.getpid() != self._owner or self._guard.stdin is None or self._guard.stdin.closed:
            return
        self._guard.stdin.close()
        try:
            self._guard.wait(self._grace_s + GUARD_ANSWERS_S)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()
        self.wait(GUARD_ANSWERS_S)
        if self._guard.stdout is not None:
            self._guard.stdout.close()
        if self._scratch is not None:  # gone already, unless the guard was killed
            shutil.rmtree(self._scratch, ignore_errors=True)

    def last_lines(self, count: int = LINES_KEPT) -> list[str]:
        """The last lines of the log, oldest first; empty where there is none."""
        return self._text().splitlines()[-count:]

    def wait_for_line(self, pattern: str, timeout_s: float) -> re.Match[str]:
        """The first match of `pattern` in the log; `ProcessFailed` on an early end or after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while True:
            ended = self.wait(0.02) is not None
            if found := re.search(pattern, self._text(), re.MULTILINE):
                return found
            if ended or time.monotonic() > deadline:
                raise ProcessFailed(self._failure(pattern, timeout_s))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.stop()

    def last_words(self) -> str:
        """The last line of the log that says anything: of a traceback, what was wrong."""
        return next((line.strip() for line in reversed(self.last_lines()) if line.strip()), "nothing")

    def _text(self) -> str:
        try:
            return self.log.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def _failure(self, pattern: str, timeout_s: float) -> str:
        what = f"ended with code {self.code}" if self.code is not None else f"was silent for {timeout_s:g} s"
        name = Path(self.command[0]).name
        return f"{name} {what} before it was ready (expected {pattern!r}); it said: {self.last_words()}"

    def _order(self, order: str, answer: str) -> str:
        if self._guard.stdin is None or self._guard.stdin.closed:
            return "0"
        with suppress(BrokenPipeError):  # then no answer will come, and that is said below
            self._guard.stdin.write(order.encode() + b"\n")
        while (line := self._report(GUARD_ANSWERS_S)) is not None:
            if line.startswith(answer):
                return line.partition(" ")[2]
            self._note(line)
        message = f"the guard of {self.command[0]} did not answer"
        raise ProcessFailed(message)

    def _note(self, line: str) -> None:
        if line.startswith("ended"):
            self.code = int(line.partition(" ")[2])

    def _report(self, timeout_s: float) -> str | None:
        """The guard's next line; None where none came in time, or ever will."""
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._unread:
            if self._guard.stdout is None or self._guard.stdout.closed:
                return None
            pipe = self._guard.stdout.fileno()
            if not select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            got = os.read(pipe, 4096)
            if not got:
                self.code = -signal.SIGKILL if self.code is None else self.code
                return None
            self._unread += got
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()


def celery(
    application: str,
    *arguments: str,
    project: Path,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Guarded:
    """`python -m celery -A application …` in the directory `project`; stopped warm, killed after 10 s."""
    command = [sys.executable, "-m", "celery", "-A", application, *arguments]
    return Guarded(command, log, environment=python_environment(project, environment), directory=project)


def python_environment(project: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment for a child that has to import `project` and this very Tidegate.

    Settings of Celery, Django and the screen project stay behind: they would be taken for those of `project`.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    ours = Path(tidegate.__file__).parent.parent
    paths = [str(project), str(ours), *filter(None, [os.environ.get("PYTHONPATH")])]
    # Unbuffered, or a log line that somebody waits for would sit in the child's buffer.
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", **(more or {})}
