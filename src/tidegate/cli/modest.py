"""Work that may take its time gives way to the server and the workers where it shares a machine with them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: As `nice` without a number.
_NICENESS = 19


@contextmanager
def giving_way() -> Iterator[None]:
    """With a lower priority of the whole process; where the system lets nobody raise it again, it stays so."""
    if not hasattr(os, "setpriority"):
        yield
        return
    before = os.getpriority(os.PRIO_PROCESS, 0)
    os.setpriority(os.PRIO_PROCESS, 0, max(before, _NICENESS))
    try:
        yield
    finally:
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, before)
