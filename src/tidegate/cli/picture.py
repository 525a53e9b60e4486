"""A chart as an SVG or PNG picture; needs the extra `charts`, and is imported only where a picture is wanted."""

import io
import textwrap
import warnings
from typing import Any

from matplotlib import rc_context, style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from tidegate.cli.chart import Chart, pattern_of
from tidegate.cli.scale import Scale, rows_above, scale_of, ticks, to_round_ends
from tidegate.cli.text import printable

#: Okabe and Ito's colours, which colour-blind people tell apart; without the yellow, which drowns on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: Names may hold $ and \; the ids of an SVG are the same every time, and its text is text: it can be searched.
_SETTINGS = {"text.parse_math": False, "svg.hashsalt": "tidegate", "svg.fonttype": "none", "font.size": 10.0}
_INCHES = (9.0, 5.0)
_DPI = 120
#: Characters of a folded line: the title's, a legend entry's, and what a mark's label is cut to.
_TITLE, _ENTRY, _LABEL = 80, 45, 45
_GREY = "#555555"
_RULE = {"color": _GREY, "linewidth": 0.9, "linestyle": (0, (4, 3))}
_TEXT = {"color": _GREY, "fontsize": "small"}
#: Points: the height of a row of labels above the plot, and the room beside a label.
_ROW, _GAP = 13.0, 3.0


def picture_of(chart: Chart, form: str) -> bytes:
    """The picture as a file's content; `form` is `svg` or `png`. The user's own settings of matplotlib have no say."""
    with style.context("default"), rc_context(_SETTINGS), warnings.catch_warnings():
        # A name in a script that the font lacks is shown as boxes in a PNG; that needs no lines on stderr.
        warnings.filterwarnings("ignore", message="Glyph")
        figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        _axes(axes, chart)
        _lines(axes, chart)
        _legend(figure, axes, [line.label for line in chart.lines])
        figure.suptitle(_folded(chart.title, _TITLE), x=0.01, ha="left", fontweight="bold", fontsize="large")
        _levels(axes, chart.levels())
        # Labels above the plot make it lower and no narrower, so one layout tells where they go.
        figure.draw_without_rendering()
        _rules(axes, chart.rules())
        return _written(figure, form)


def _written(figure: Any, form: str) -> bytes:
    file = io.BytesIO()
    metadata = {"Creator": "Tidegate", "Date": None} if form == "svg" else {"Software": "Tidegate"}
    figure.savefig(file, format=form, dpi=_DPI, metadata=metadata)
    return file.getvalue()


def _axes(axes: Any, chart: Chart) -> None:
    x, y = scale_of(chart.xs(), log=chart.log_x), to_round_ends(scale_of(chart.ys()), 7)
    if x.log:
        axes.set_xscale("log")
    axes.set_xlim(x.low, x.high)
    axes.set_ylim(y.low, y.high)
    _ticks(axes.xaxis, x, 10)
    _ticks(axes.yaxis, y, 7)
    axes.set_xlabel(_folded(chart.x_label, _TITLE), loc="right")
    axes.set_ylabel(_folded(chart.y_label, _ENTRY))
    axes.grid(color="#e5e5e5", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _ticks(axis: Any, scale: Scale, at_most: int) -> None:
    shown = ticks(scale, at_most)
    axis.set_ticks([tick.value for tick in shown], labels=[tick.label for tick in shown])
    axis.set_ticks([], minor=True)


def _lines(axes: Any, chart: Chart) -> None:
    for place, line in enumerate(chart.lines):
        stretches = list(line.stretches(positive_x=chart.log_x))
        points = [point for stretch in stretches for point in [*stretch, (stretch[-1][0], float("nan"))]]
        xs, ys = [x for x, _ in points], [y for _, y in points]
        # A point between two gaps has no line to be seen by.
        marker = "." if any(len(stretch) == 1 for stretch in stretches) else ""
        colour = _COLOURS[place % len(_COLOURS)]
        axes.plot(xs, ys, linestyle=pattern_of(line, place), marker=marker, color=colour, linewidth=1.8)


def _legend(figure: Any, axes: Any, labels: list[str]) -> None:
    # The legend passes over a label that begins with an underscore.
    entries = [_folded(f" {label}" if label.startswith("_") else label, _ENTRY) for label in labels]
    longest = max((len(line) for entry in entries for line in entry.splitlines()), default=1)
    columns = max(1, min(len(entries), 100 // (longest + 8)))
    figure.legend(axes.get_lines(), entries, loc="outside lower left", ncols=columns, frameon=False, handlelength=3.5)


def _levels(axes: Any, marks: list[tuple[float, str]]) -> None:
    """Horizontal rules, each with its label on it at the right."""
    ground = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
    for y, label in marks:
        axes.axhline(y, **_RULE)
        axes.annotate(
            _cut(label), (1, y), (-_GAP, _GAP), axes.get_yaxis_transform(), "offset points",
            ha="right", va="bottom", bbox=ground, **_TEXT,
        )  # fmt: skip


def _rules(axes: Any, marks: list[tuple[float, str]]) -> None:
    """Vertical rules, with their labels in rows above the plot, as many as it takes."""
    pixels = _DPI / 72
    texts = [
        axes.annotate(_cut(label), (x, 1), (0, 0), axes.get_xaxis_transform(), "offset points", **_TEXT)
        for x, label in marks
    ]
    columns = [axes.transData.transform((x, axes.get_ylim()[0]))[0] - axes.bbox.x0 for x, _ in marks]
    lengths = [text.get_window_extent().width + _GAP * pixels for text in texts]
    places = rows_above(list(zip(columns, lengths, strict=True)), axes.bbox.width, _GAP * pixels)
    for (x, _), text, column, place in zip(marks, texts, columns, places, strict=True):
        leftward = place is not None and place.start < column
        height = _ROW * (place.row if place else 0) + _GAP
        text.set_position((-_GAP if leftward else _GAP, height))
        text.set_horizontalalignment("right" if leftward else "left")
        axes.axvline(x, **_RULE)
        arrow = {**_RULE, "arrowstyle": "-", "shrinkA": 0, "shrinkB": 0}
        axes.annotate(
            "", (x, 1), (0, height + _ROW * 0.7), axes.get_xaxis_transform(), "offset points", arrowprops=arrow
        )


def _folded(text: str, width: int) -> str:
    return textwrap.fill(printable(text), width)


def _cut(text: str) -> str:
    return printable(text, _LABEL)
