"""Line charts: in the terminal, and as an SVG or PNG file with the extra `charts`.

    Chart("refresh", "interval, s", "growth, messages/s", [Line("today", xs, ys)], [Mark(x=1.2, label="edge 1.2 s")])

Lines are told apart by how they are drawn (solid, dashed, dotted, dash-dot), so colours are not needed.
"""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidegate.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

PATTERNS = ("solid", "dashed", "dotted", "dashdot")
SUFFIXES = (".svg", ".png")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: as many `ys` as `xs`; None or what is not finite leaves a gap.

    `style` is one of `PATTERNS`; where empty, each line takes the next of them.
    """

    label: str
    xs: Sequence[float]
    ys: Sequence[float | None]
    style: str = ""

    def stretches(self, *, positive_x: bool = False) -> Iterator[list[tuple[float, float]]]:
        """The points without the gaps; with `positive_x` what is not above 0, and has no place on a log axis, is one."""
        stretch: list[tuple[float, float]] = []
        for x, y in zip(self.xs, self.ys, strict=True):
            if y is not None and math.isfinite(x) and math.isfinite(y) and (x > 0 or not positive_x):
                stretch.append((x, y))
            elif stretch:
                yield stretch
                stretch = []
        if stretch:
            yield stretch


@dataclass(frozen=True, slots=True)
class Mark:
    """A vertical rule at `x` or a horizontal one at `y`, with a label such as `edge 1.2 s`."""

    x: float | None = None
    y: float | None = None
    label: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over one pair of axes; the labels of the axes name their units."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    marks: Sequence[Mark] = ()
    log_x: bool = False

    @property
    def is_empty(self) -> bool:
        """True where no line has a point that could be drawn."""
        return not any(True for line in self.lines for _ in line.stretches(positive_x=self.log_x))

    def rules(self) -> list[tuple[float, str]]:
        """Place and label of the vertical rules that have a place on the x axis."""
        placed = [(mark.x, mark.label) for mark in self.marks if mark.x is not None and math.isfinite(mark.x)]
        return [(x, label) for x, label in placed if x > 0 or not self.log_x]

    def levels(self) -> list[tuple[float, str]]:
        """Place and label of the horizontal rules."""
        return [(mark.y, mark.label) for mark in self.marks if mark.y is not None and math.isfinite(mark.y)]

    def xs(self) -> list[float]:
        """Every place that the x axis has to show."""
        points = [x for line in self.lines for part in line.stretches(positive_x=self.log_x) for x, _ in part]
        return points + [x for x, _ in self.rules()]

    def ys(self) -> list[float]:
        """The same for the y axis."""
        points = [y for line in self.lines for part in line.stretches(positive_x=self.log_x) for _, y in part]
        return points + [y for y, _ in self.levels()]


def pattern_of(line: Line, place: int) -> str:
    """How the line is drawn that is the chart's number `place`, counted from 0."""
    return line.style or PATTERNS[place % len(PATTERNS)]


def draw(chart: Chart, out: "Console", width: int | None = None, height: int = 12) -> None:
    """Prints the chart in that many columns (default: the terminal's, at most 120), its plot `height` rows high.

    In Braille characters, or plain ASCII where the output's encoding has none. No number is cut; what foreign names
    hold cannot steer the terminal. A chart without a point, or a terminal narrower than 40 columns, gets a sentence.
    """
    from tidegate.cli.plot import print_plot

    print_plot(chart, out, min(width or 120, out.width), height)


def check(path: str | Path) -> None:
    """Raises UsageError where `save` could not write that file: its suffix, its folder, the extra. Writes nothing."""
    try:
        problem = _problem(Path(path))
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        raise UsageError(f"cannot write the chart to {str(path)!r}: {problem}")
    _picture()


def _problem(target: Path) -> str | None:
    if target.suffix.lower() not in SUFFIXES:
        return "expected a file name that ends in .svg or .png"
    if target.is_dir():
        return "it is a directory"
    if not target.parent.is_dir():
        return f"there is no directory {str(target.parent)!r}"
    if not os.access(target if target.exists() else target.parent, os.W_OK):
        return "permission denied"
    return None


def save(chart: Chart, path: str | Path) -> None:
    """Writes the chart as SVG or PNG, by the suffix; the same chart gives the same bytes with the same matplotlib.

    Raises UsageError as `check` does, which is to be called before any work is done.
    """
    check(path)
    picture = _picture()(chart, Path(path).suffix.lower().removeprefix("."))
    try:
        Path(path).write_bytes(picture)
    except OSError as error:
        raise UsageError(f"cannot write the chart to {str(path)!r}: {error.strerror or error}") from error


def _picture() -> Callable[[Chart, str], bytes]:
    try:
        from tidegate.cli.picture import picture_of
    except ImportError as error:
        raise UsageError(f"a chart as a file needs the extra: pip install 'tidegate[charts]' ({error})") from error
    return picture_of
