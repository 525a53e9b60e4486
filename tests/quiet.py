"""Tests that measure time don't run beside what keeps the cores busy, though the suite runs on several of them.

A test marked `quiet` has the machine to itself, and one marked `calm`, which mostly waits, shares it with others like it:
everything else waits outside meanwhile.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ORDINARY, CALM, QUIET = "ordinary", "calm", "quiet"


@contextmanager
def in_the_room(root: Path, kind: str) -> Iterator[None]:
    """Holds the room of this checkout beside others of the kind, across processes; the system lets go where one dies.

    Whoever wants in stands in the door until those whom it can't bear have left: nobody is overtaken for ever.
    """
    with ExitStack() as held:
        with _locked(root, fcntl.LOCK_EX):
            for other in (ORDINARY, CALM):
                if kind == QUIET:
                    held.enter_context(_locked(_place(root, other), fcntl.LOCK_EX))
                elif kind != other:
                    with _locked(_place(root, other), fcntl.LOCK_EX):  # nobody else comes in: the door is taken
                        pass
            if kind != QUIET:
                held.enter_context(_locked(_place(root, kind), fcntl.LOCK_SH))
        yield


def _place(root: Path, kind: str) -> Path:
    """What those of the kind lock."""
    return root / "tests" if kind == ORDINARY else root / "tests" / "workers"


@contextmanager
def _locked(place: Path, how: int) -> Iterator[None]:
    handle = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        # Said, and not left to the closing: a child that a test forked may hold a copy of it.
        fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)
