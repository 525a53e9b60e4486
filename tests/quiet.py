"""Tests that measure time run alone, though the suite runs on several cores: everything else waits outside meanwhile."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def in_the_room(root: Path, *, alone: bool) -> Iterator[None]:
    """Holds the room of this checkout, with others or alone, across processes; the system lets go where one dies.

    Whoever wants in takes the door first, so that one who waits for the room to empty is not overtaken for ever.
    """
    with _locked(root / "tests", fcntl.LOCK_EX if alone else fcntl.LOCK_SH, door=root):
        yield


@contextmanager
def _locked(place: Path, how: int, *, door: Path) -> Iterator[None]:
    entrance, room = (os.open(path, os.O_RDONLY) for path in (door, place))
    try:
        fcntl.flock(entrance, fcntl.LOCK_EX)
        fcntl.flock(room, how)
        fcntl.flock(entrance, fcntl.LOCK_UN)
        yield
    finally:
        # Said, and not left to the closing: a child that a test forked may hold a copy of it.
        fcntl.flock(room, fcntl.LOCK_UN)
        os.close(room)
        os.close(entrance)
