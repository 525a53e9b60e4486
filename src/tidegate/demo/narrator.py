"""How the demo speaks: sentences, and one progress line that is written over on a terminal."""

import sys
import textwrap
import time
from collections.abc import Sequence
from typing import Protocol, TextIO

WIDTH = 96
#: Where the progress can't be written over (a pipe, a log), one line in so many seconds is enough.
PLAIN_EVERY_S = 5.0
STEPS = "▁▂▃▄▅▆▇█"
ERASE_LINE = "\r\x1b[2K"


class Narrator(Protocol):
    """Who tells the story; `tidegate demo` may pass one of its own."""

    def say(self, text: str) -> None:
        """Tell a sentence or a paragraph."""

    def progress(self, line: str) -> None:
        """Show how far things are; the next line takes its place."""


class PlainNarrator:
    """Tells everything on one stream, standard error unless another is given."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self._terminal = self.stream.isatty()
        self._open = False
        self._spoke_at = float("-inf")

    def say(self, text: str) -> None:
        """Write a paragraph, wrapped, with an empty line before it; indented text is taken as it is."""
        self.stream.write("\n\n" if self._open else "\n")
        self._open = False
        told = text if text.startswith(" ") else textwrap.fill(text, WIDTH, break_on_hyphens=False)
        self.stream.write(told + "\n")
        self.stream.flush()

    def progress(self, line: str) -> None:
        """Write over the last progress line on a terminal; elsewhere add a line now and then."""
        if self._terminal:
            self.stream.write(ERASE_LINE + line[:WIDTH])
            self._open = True
        elif time.monotonic() - self._spoke_at >= PLAIN_EVERY_S:
            self._spoke_at = time.monotonic()
            self.stream.write(line + "\n")
        self.stream.flush()


def sparkline(depths: Sequence[int], width: int = 40) -> str:
    """The last `width` depths as blocks; the highest block is the deepest of them."""
    shown = depths[-width:]
    top = max([*shown, 1])
    return "".join(STEPS[depth * (len(STEPS) - 1) // top] for depth in shown)
