"""A chart as lines of text: axes, ticks, rules with their labels, a legend."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tidegate.cli.canvas import Canvas
from tidegate.cli.chart import Chart, pattern_of
from tidegate.cli.scale import Tick, rows_above, scale_of, ticks, to_round_ends
from tidegate.cli.text import printable

_COLOURS = ("cyan", "yellow", "magenta", "green", "blue", "red")
_GLYPHS = "*o+x#@%&=~abcdefghijklmnpqrstuvwyz"
#: More lines than there are patterns are drawn with a letter each.
_MOST_PATTERNS = 4
_NARROWEST = 40
_ROWS_A_TICK = 3
_SAMPLE_CELLS = 8


@dataclass(frozen=True, slots=True)
class _Signs:
    """What rules and axes are drawn with."""

    across: str
    down: str
    axis: str
    floor: str
    corner: str
    tick_left: str
    tick_below: str


_DRAWN = _Signs("┈", "┊", "│", "─", "└", "┤", "┬")
_ASCII = _Signs(".", ":", "|", "-", "+", "+", "+")


def print_plot(chart: Chart, out: Console, width: int, height: int) -> None:
    """Prints the chart; see `tidegate.cli.chart.draw`."""
    if chart.is_empty:
        out.print(Text(f"{printable(chart.title)}: nothing to draw"))
        return
    if width < _NARROWEST:
        out.print(Text(f"{printable(chart.title)}: the terminal is too narrow for a chart ({_NARROWEST} columns)"))
        return
    plot = _Plot(chart, out, width, height)
    out.print(Text(plot.written(chart.title), "bold"))
    out.print(Text(plot.written(chart.y_label), "dim"))
    for line in plot.lines():
        line.rstrip()
        out.print(line, no_wrap=True, overflow="ignore", crop=False)
    for line in plot.legend():
        out.print(line)


class _Plot:
    """One chart on a grid of cells, measured for one terminal."""

    def __init__(self, chart: Chart, out: Console, width: int, height: int) -> None:
        self._chart, self._encoding = chart, out.encoding
        drawable = _can_write("⣿┊┈┤└┬─│", out.encoding)
        self._signs = _DRAWN if drawable else _ASCII
        braille = drawable and len(chart.lines) <= _MOST_PATTERNS
        self._y = to_round_ends(scale_of(chart.ys()), max(2, height // _ROWS_A_TICK + 1))
        self._y_ticks = ticks(self._y, max(2, height // _ROWS_A_TICK + 1))
        self._margin = max(len(tick.label) for tick in self._y_ticks) + 2
        self._x = scale_of(chart.xs(), log=chart.log_x)
        self._canvas = Canvas(width - self._margin, height, braille)
        self._rules = [(self._column(x), self._cells(label)) for x, label in chart.rules()]
        self._labels = rows_above([(at, len(cells) + 2) for at, cells in self._rules], self._canvas.width, gap=1)
        self._unlabelled = [
            "".join(cells) for (_, cells), place in zip(self._rules, self._labels, strict=True) if place is None
        ]

    def written(self, text: str) -> str:
        """The text without what could steer a terminal, and without what its encoding lacks."""
        return printable(text).encode(self._encoding, "backslashreplace").decode(self._encoding)

    def _cells(self, text: str) -> list[str]:
        """The text cell by cell: what is two cells wide is followed by an empty one, what has no width joins the last."""
        cells: list[str] = []
        for char in self.written(text):
            width = cell_len(char)
            if width or not cells:
                cells += [char, *[""] * (width - 1)]
            else:
                cells[-1] += char
        return cells

    def _column(self, x: float) -> int:
        return self._canvas.cell_of(self._dot(x, self._y.low))[0]

    def _row(self, y: float) -> int:
        return self._canvas.cell_of(self._dot(self._x.low, y))[1]

    def _dot(self, x: float, y: float) -> tuple[int, int]:
        across, up = self._canvas.dots
        return round(self._x.share(x) * (across - 1)), round(self._y.share(y) * (up - 1))

    def lines(self) -> Iterator[Text]:
        """Everything from the labels of the rules down to that of the x axis."""
        self._draw_lines()
        yield from self._lines_above()
        levels = self._levels()
        labels = {self._row(tick.value): tick.label for tick in self._y_ticks}
        for row in range(self._canvas.height):
            yield self._left_of(row, labels) + self._plot_row(row, levels.get(row))
        yield from self._below()

    def _levels(self) -> dict[int, list[str]]:
        """The labels of the horizontal rules by row, where one has no room for two."""
        levels: dict[int, list[str]] = {}
        for y, label in self._chart.levels():
            if self._row(y) in levels:
                self._unlabelled.append(self.written(label))
            else:
                levels[self._row(y)] = self._cells(f" {label} " if label else "")
        return levels

    def _draw_lines(self) -> None:
        for place, line in enumerate(self._chart.lines):
            for stretch in line.stretches(positive_x=self._x.log):
                corners = [self._dot(x, y) for x, y in stretch]
                self._canvas.line(corners, pattern=pattern_of(line, place), glyph=_glyph(place), colour=_colour(place))

    def _lines_above(self) -> Iterator[Text]:
        """The labels of the vertical rules, and the rules on their way up to them."""
        tops = [label.row if label else -1 for label in self._labels]
        for row in range(max(tops, default=-1), -1, -1):
            cells = [" "] * self._canvas.width
            for (at, text), label, top in zip(self._rules, self._labels, tops, strict=True):
                if label and top == row:
                    room = [" ", " "]
                    cells[int(label.start) : int(label.end)] = [*room, *text] if label.start >= at else [*text, *room]
                if top >= row:
                    cells[at] = self._signs.down
            yield Text(" " * self._margin + "".join(cells))

    def _left_of(self, row: int, labels: dict[int, str]) -> Text:
        room = self._margin - 2
        if row in labels:
            return Text(f"{labels[row]:>{room}} {self._signs.tick_left}")
        return Text(f"{'':>{room}} {self._signs.axis}")

    def _plot_row(self, row: int, level: list[str] | None) -> Text:
        columns = {at for at, _ in self._rules}
        cells = [self._canvas.cell(column, row) for column in range(self._canvas.width)]
        label = self._level_label(level, cells) if level else {}
        drawn: list[tuple[str, str]] = []
        for column, cell in enumerate(cells):
            if cell:
                drawn.append(cell)
            elif column in label:
                drawn.append((label[column], ""))
            elif column in columns:
                drawn.append((self._signs.down, "dim"))
            else:
                drawn.append((" ", "") if level is None else (self._signs.across, "dim"))
        return _joined(drawn)

    def _level_label(self, text: list[str], cells: Sequence[object]) -> dict[int, str]:
        """Where the label of a horizontal rule goes on it: as far right as no line runs through it."""
        for start in range(len(cells) - len(text) - 1, 0, -1):
            if not any(cells[start : start + len(text)]):
                return {start + place: char for place, char in enumerate(text)}
        self._unlabelled.append("".join(text).strip())
        return {}

    def _below(self) -> Iterator[Text]:
        shown = self._x_ticks()
        floor = [self._signs.floor] * self._canvas.width
        numbers = [" "] * (self._margin + self._canvas.width)
        for tick in shown:
            floor[self._column(tick.value)] = self._signs.tick_below
            start = self._start(tick)
            numbers[start : start + len(tick.label)] = tick.label
        yield Text(" " * (self._margin - 1) + self._signs.corner + "".join(floor))
        yield Text("".join(numbers))
        label = self._cells(self._chart.x_label)
        yield Text(" " * (len(numbers) - len(label)) + "".join(label), "dim")

    def _start(self, tick: Tick) -> int:
        """Where the label of a tick of the x axis begins: centred below it, and within the lines."""
        centred = self._margin + self._column(tick.value) - len(tick.label) // 2
        return max(0, min(centred, self._margin + self._canvas.width - len(tick.label)))

    def _x_ticks(self) -> list[Tick]:
        """As many as stand apart from one another."""
        for at_most in range(12, 1, -1):
            shown = ticks(self._x, at_most)
            ends = [self._start(tick) + len(tick.label) for tick in shown]
            if all(end + 1 < self._start(tick) for end, tick in zip(ends, shown[1:], strict=False)):
                return shown
        return shown[:1]

    def legend(self) -> Iterator[Text]:
        """How every line is drawn and what it is, side by side where there is room; then what found no place above."""
        entries = [self._entry(place, line.label) for place, line in enumerate(self._chart.lines)]
        entries += [Text(f"{self._signs.across * 2} {label}") for label in self._unlabelled if label]
        width = self._margin + self._canvas.width
        line = Text()
        for entry in entries:
            if line and line.cell_len + entry.cell_len + 3 > width:
                yield line
                line = Text()
            line = Text("   ").join([line, entry]) if line else entry
        if line:
            yield line

    def _entry(self, place: int, label: str) -> Text:
        sample = Canvas(_SAMPLE_CELLS, 1, self._canvas.braille)
        across, up = (count - 1 for count in sample.dots)
        pattern = pattern_of(self._chart.lines[place], place)
        sample.line([(0, up // 2), (across, up // 2)], pattern=pattern, glyph=_glyph(place), colour=_colour(place))
        cells = [sample.cell(column, 0) or (" ", "") for column in range(_SAMPLE_CELLS)]
        return _joined(cells).append(f" {self.written(label)}")


def _joined(cells: Sequence[tuple[str, str]]) -> Text:
    """The characters with one change of colour where the colour changes, not one a character."""
    runs = groupby(cells, key=itemgetter(1))
    return Text.assemble(*(("".join(char for char, _ in run), colour) for colour, run in runs))


def _glyph(place: int) -> str:
    return _GLYPHS[place % len(_GLYPHS)]


def _colour(place: int) -> str:
    return _COLOURS[place % len(_COLOURS)]


def _can_write(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True
