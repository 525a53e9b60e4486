"""Runs one command in a process group of its own and lets nothing of it outlive the owner.

A script of its own, started by `processes.Guarded` as `python -I -S guard.py …`: it imports nothing of ours
and as little else as it can, so it is up within 20 ms. The owner's death is noticed in three ways:

    end of file on stdin      at once; but a forked child of the owner may hold the pipe open
    another parent process    within LOOK_S; unlike PR_SET_PDEATHSIG not tied to the *thread* that started us
    SIGTERM                   when the whole machine goes down

Orders come in on stdin, one per line, and each is answered by a line on stdout:

    start          run the command (again); answer `started PID`
    signal N       send signal N to the command, and to nobody once it has ended; answer `sent N`

Unasked, `ended CODE` is written when the command ends (negative: the signal that ended it).
"""

import ctypes
import os
import select
import signal
import sys
from collections.abc import Sequence

LOOK_S = 0.5
PR_SET_PDEATHSIG = 1
NOT_FOUND = 127


def run(owner: int, end_signal: int, grace_s: float, log: str, scratch: str, command: Sequence[str]) -> None:
    """Obey the owner's orders until it is gone, then end the command and remove `scratch` (may be empty)."""
    wake = _wake_on_signals()
    child = Child(command, log)
    try:
        _obey(owner, wake, child)
    finally:
        child.end(end_signal, grace_s, wake)
        if scratch:
            import shutil  # late: it costs 10 ms, which the start would pay

            shutil.rmtree(scratch, ignore_errors=True)


def _obey(owner: int, wake: int, child: "Child") -> None:
    pending = b""
    while os.getppid() == owner:
        ready, _, _ = select.select([0, wake], [], [], LOOK_S)
        if wake in ready and _woken_to_end(wake):
            return
        child.look()
        if 0 in ready:
            got = os.read(0, 4096)
            if not got:
                return
            *orders, pending = (pending + got).split(b"\n")
            for order in orders:
                child.obey(order.decode())


def _wake_on_signals() -> int:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return reading


def _woken_to_end(wake: int) -> bool:
    return signal.SIGTERM in os.read(wake, 4096)


class Child:
    """The command while it runs: its pid, or None before the start and after the end."""

    def __init__(self, command: Sequence[str], log: str) -> None:
        self.command = list(command)
        self.log = log
        self.pid: int | None = None
        self.code = 0

    def obey(self, order: str) -> None:
        verb, _, number = order.partition(" ")
        if verb == "start":
            self.start()
            _say(f"started {self.pid}")
        else:
            self.send(int(number))
            _say(f"sent {number}")

    def start(self) -> None:
        guard = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_command(guard)
        self.pid = pid
        try:
            os.setpgid(pid, pid)  # the child does it as well: whoever comes first
        except (PermissionError, ProcessLookupError):  # the child came first, and is exec'ed or gone by now
            return

    def _become_command(self, guard: int) -> None:
        try:
            os.setpgid(0, 0)
            _die_with(guard)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            nothing = os.open(os.devnull, os.O_RDONLY)
            log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            for target, source in ((0, nothing), (1, log), (2, log)):
                os.dup2(source, target)
            os.execvp(self.command[0], self.command)
        except OSError as trouble:
            os.write(2, f"{self.command[0]}: {trouble.strerror}\n".encode())
        finally:
            os._exit(NOT_FOUND)

    def send(self, number: int) -> None:
        if self.pid is not None:
            os.kill(self.pid, number)

    def look(self) -> None:
        """Notice the end; what it left in its group is killed first, while the zombie holds the number."""
        if self.pid is None or not _has_ended(self.pid):
            return
        _kill_group(self.pid)
        _, status = os.waitpid(self.pid, 0)
        self.pid, self.code = None, os.waitstatus_to_exitcode(status)
        _say(f"ended {self.code}")

    def end(self, number: int, grace_s: float, wake: int) -> None:
        """Ask with signal `number`, insist with SIGKILL after `grace_s`, and come back when it is gone."""
        import time

        self.send(number)
        self.send(signal.SIGCONT)  # a paused process would take the question only when it goes on
        deadline = time.monotonic() + grace_s
        self.look()
        while self.pid is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                _kill_group(self.pid)
            if select.select([wake], [], [], max(0.05, min(left, LOOK_S)))[0]:
                os.read(wake, 4096)
            self.look()


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # macOS refuses to signal a group of zombies
        return


def _die_with(guard: int) -> None:
    """On Linux the kernel ends the command where even the guard is killed; elsewhere nobody would."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(NOT_FOUND)


def _say(line: str) -> None:
    try:
        os.write(1, line.encode() + b"\n")
    except BrokenPipeError:  # the owner is gone: nobody to tell
        return


def main(arguments: Sequence[str]) -> None:
    """`guard.py OWNER_PID END_SIGNAL GRACE_S LOG SCRATCH COMMAND…`."""
    owner, end_signal, grace_s, log, scratch, *command = arguments
    run(int(owner), int(end_signal), float(grace_s), log, scratch, command)


if __name__ == "__main__":
    main(sys.argv[1:])
