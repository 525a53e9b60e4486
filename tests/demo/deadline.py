"""Waiting for an event with a deadline, and looking whether a process still lives."""

import os
import time
from collections.abc import Callable
from pathlib import Path


def eventually(what: Callable[[], object], within_s: float = 15.0) -> bool:
    """True as soon as `what()` holds, False where it does not within the deadline."""
    deadline = time.monotonic() + within_s
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def lives(pid: int) -> bool:
    """True while the process runs; a zombie, which only waits to be reaped by somebody else, does not."""
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]
    except (ProcessLookupError, FileNotFoundError):
        return False
