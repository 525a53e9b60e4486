"""Progress on stderr, only where somebody watches."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from tidegate.cli.text import printable
from tidegate.units import rate


class _Rate(ProgressColumn):
    """How fast it goes."""

    def render(self, task: Task) -> Text:
        """So many a second, nothing before that is known."""
        return Text(rate(task.speed) if task.speed else "")


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
    """A bar for a count, with its rate and the time left."""
    screen = Console(stderr=True)
    counted = (BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    columns = (TextColumn("{task.description}", markup=False), *counted)
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bars:
        bar = bars.add_task(printable(label), total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)


@contextmanager
def stopping_early(*others: signal.Signals) -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C was pressed: the first one only asks, so that what is there so far can be shown; the second ends it.

    `others` are signals that ask as well.
    """
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, *others)}
    try:
        yield lambda: asked
    finally:
        restore()
