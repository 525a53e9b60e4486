"""Which process this is, so that others on the same machine can tell whether it still lives."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """`machine` holds what has to be the same for a process id to mean the same: host, boot, and pid namespace.

    `started` (clock ticks since boot) tells a process from a later one with its id; empty where the system does not say.
    """

    machine: str
    pid: int
    started: str

    def is_here(self) -> bool:
        """Whether it is, or was, a process of this machine."""
        return self.machine == machine()

    def is_gone(self) -> bool:
        """Whether it surely lives no more; only the process's own machine can tell, and on another one it says no."""
        if not self.is_here() or self.pid <= 0:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return bool(self.started) and _started(self.pid) not in ("", self.started)


def this_process() -> Process:
    """The one that asks."""
    return Process(machine(), os.getpid(), _started(os.getpid()))


def machine() -> str:
    """Where a process id means the same."""
    return "|".join((socket.gethostname(), _line(_PROC / "sys/kernel/random/boot_id"), _namespace()))


def _namespace() -> str:
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


def _started(pid: int) -> str:
    # The name of the program stands in parentheses, and may hold anything.
    fields = _line(_PROC / str(pid) / "stat").rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] == "Z":
        return "gone" if fields else ""
    return fields[19]


def _line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
