"""Tables that fit the terminal: where there is no room for every column, the least important ones stay away."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

#: What a name may be folded to, in characters, before another column has to go.
_LEAST_NAME = 36
#: And where no further column can go.
_NARROWEST_NAME = 12
_GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """A title, the cell of a row, and how soon the column goes where room is short (0: never)."""

    title: str
    cell: Callable[[Any], Text]
    expendable: int = 0
    justify: Literal["left", "right"] = "right"


Cells = Sequence[Text]


def print_table(out: Console, columns: Sequence[Column], rows: Iterable[Any]) -> None:
    """Prints the rows with as many of the columns as fit; numbers are never folded or cut, names only folded.

    Where not even the columns that must stay fit beside one another, every row becomes a few lines.
    """
    listed = list(rows)
    kept = _fitting([(column, [column.cell(row) for row in listed]) for column in columns], out.width)
    widths = _narrowed(kept, out.width)
    if _room(widths) > out.width:
        _print_lines(out, kept)
    else:
        out.print(_table(kept, widths))


def _room(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _fitting(kept: list[tuple[Column, Cells]], width: int) -> list[tuple[Column, Cells]]:
    """The columns without those that have to go, the most expendable first."""
    while _room([_least(*pair) for pair in kept]) > width:
        first = max(kept, key=lambda pair: pair[0].expendable)
        if not first[0].expendable:
            break
        kept.remove(first)
    return kept


def _narrowed(kept: Sequence[tuple[Column, Cells]], width: int) -> list[int]:
    """The least widths, of which the widest name gives up what is missing, as far as it can still be read."""
    widths = [_least(*pair) for pair in kept]
    names = [place for place, (column, _) in enumerate(kept) if column.justify == "left"]
    widest = max(names, key=widths.__getitem__, default=None)
    if widest is not None:
        missing = max(0, _room(widths) - width)
        widths[widest] = max(min(widths[widest], _NARROWEST_NAME), widths[widest] - missing)
    return widths


def _table(kept: Sequence[tuple[Column, Cells]], widths: Sequence[int]) -> Table:
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold dim")
    for (column, _), width in zip(kept, widths, strict=True):
        fixed = column.justify == "right"
        table.add_column(column.title, justify=column.justify, overflow="fold", no_wrap=fixed, min_width=width)
    for row in zip(*(cells for _, cells in kept), strict=True):
        table.add_row(*row)
    return table


def _print_lines(out: Console, kept: Sequence[tuple[Column, Cells]]) -> None:
    for row in zip(*(cells for _, cells in kept), strict=True):
        for (column, _), cell in zip(kept, row, strict=True):
            out.print(Text(f"{column.title}  ", "bold dim") + cell, soft_wrap=True)


def _least(column: Column, cells: Cells) -> int:
    """The characters a column needs: all of a number (a folded one is another number), of a name enough to know it."""
    longest = max((cell.cell_len for cell in cells), default=0)
    return max(min(longest, _LEAST_NAME) if column.justify == "left" else longest, len(column.title))
