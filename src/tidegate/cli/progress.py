"""Progress on stderr, only where somebody watches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tidegate.cli.text import printable


@contextmanager
def watching(label: str) -> Iterator[Callable[[float, float, int], None]]:
    """A bar for a window of time, with the present depth beside it."""
    screen = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[depth]:,} waiting"),
    )
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bars:
        bar = bars.add_task(printable(label), total=1.0, depth=0)
        yield lambda done, total, depth: bars.update(bar, completed=done, total=total or 1.0, depth=depth)


@contextmanager
def counting(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for a count, with the time left."""
    screen = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bars:
        bar = bars.add_task(printable(label), total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)
