"""Which process this is, so that others on the same machine can tell whether it still lives."""

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PROC = Path("/proc")
_ZOMBIE = "Z"


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
        return not is_alive(self.pid) or (bool(self.started) and _started(self.pid) not in ("", self.started))


def is_alive(pid: int) -> bool:
    """Whether there is such a process here, and it is no zombie; what can be none, as the number of a greenlet, is alive."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return _started(pid) != _ZOMBIE


def this_process() -> Process:
    """The one that asks."""
    return Process(machine(), os.getpid(), _started(os.getpid()))


def process_in(said: Any) -> Process | None:
    """The process that a JSON with `machine`, `pid` and `started` speaks of; None for anything else."""
    try:
        value = json.loads(said)
        return Process(str(value["machine"]), int(value["pid"]), str(value["started"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def node_in(said: Any) -> str:
    """The node that a JSON with `node` names; empty for anything else."""
    try:
        return str(json.loads(said)["node"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""


def spoke_at(said: Any) -> float:
    """When a JSON with `at` was written, in seconds; 0 for anything else."""
    try:
        at = json.loads(said)["at"]
        return float(at) if isinstance(at, (int, float)) else 0.0
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0.0


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
    if fields and fields[0] == _ZOMBIE:
        return _ZOMBIE
    return fields[19] if len(fields) > 19 else ""


def _line(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
