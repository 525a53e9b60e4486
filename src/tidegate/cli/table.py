"""Tables that fit the terminal: where there is no room for every column, the least important ones stay away."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

#: What a name may be folded to, in characters, before another column has to go.
_LEAST_NAME = 36
_GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """A title, the cell of a row, and how soon the column goes where room is short (0: never)."""

    title: str
    cell: Callable[[Any], Text]
    expendable: int = 0
    justify: Literal["left", "right"] = "right"


def print_table(out: Console, columns: Sequence[Column], rows: Iterable[Any]) -> None:
    """Prints the rows with as many of the columns as fit; numbers are never folded, names only where they are long."""
    listed = list(rows)
    kept = [(column, [column.cell(row) for row in listed]) for column in columns]
    while sum(_least(column, cells) + _GAP for column, cells in kept) > out.width + _GAP:
        first = max(kept, key=lambda pair: pair[0].expendable)
        if not first[0].expendable:
            break
        kept.remove(first)
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold dim")
    for column, cells in kept:
        _add(table, column, cells)
    for row in zip(*(cells for _, cells in kept), strict=True):
        table.add_row(*row)
    out.print(table)


def _least(column: Column, cells: Sequence[Text]) -> int:
    """The characters a column needs: all of a number (a folded one is another number), of a name enough to know it."""
    longest = max((cell.cell_len for cell in cells), default=0)
    return max(min(longest, _LEAST_NAME) if column.justify == "left" else longest, len(column.title))


def _add(table: Table, column: Column, cells: Sequence[Text]) -> None:
    fixed = column.justify == "right"
    table.add_column(
        column.title, justify=column.justify, overflow="fold", no_wrap=fixed, min_width=_least(column, cells)
    )
