"""A grid of character cells to draw lines on: eight dots a cell in Braille, or one character a cell."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

#: The bit of every dot of a Braille cell, by column and row.
_BRAILLE = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
#: How many dots of a line are drawn and how many left out, in turn: lines are told apart without colours.
_PATTERNS = {"solid": (1, 0), "dashed": (5, 3), "dotted": (1, 3), "dashdot": (5, 2, 1, 2)}

Dot = tuple[int, int]


@dataclass(slots=True)
class Canvas:
    """`width` × `height` cells; a line is drawn in dots, of which a cell has 2 × 4 in Braille and else 1 × 1."""

    width: int
    height: int
    braille: bool
    _bits: dict[Dot, int] = field(default_factory=dict)
    _drawn: dict[Dot, tuple[str, str]] = field(default_factory=dict)

    @property
    def dots(self) -> Dot:
        """How many dots it is wide and high."""
        return (self.width * 2, self.height * 4) if self.braille else (self.width, self.height)

    def line(self, corners: Sequence[Dot], *, pattern: str, glyph: str, colour: str) -> None:
        """Joins the dots given, (0, 0) being the lower left one: with the pattern in Braille, else with the glyph."""
        rhythm = _PATTERNS[pattern] if self.braille else _PATTERNS["solid"]
        for place, dot in enumerate(_without_repeats(_joined(corners))):
            if _is_on(rhythm, place):
                self._set(dot, glyph, colour)

    def cell(self, column: int, row: int) -> tuple[str, str] | None:
        """The character and colour there, counted from the upper left; None where nothing was drawn."""
        return self._drawn.get((column, row))

    def cell_of(self, dot: Dot) -> Dot:
        """The cell that holds the dot, counted from the upper left."""
        wide, high = (2, 4) if self.braille else (1, 1)
        return dot[0] // wide, (self.dots[1] - 1 - dot[1]) // high

    def _set(self, dot: Dot, glyph: str, colour: str) -> None:
        cell = self.cell_of(dot)
        if self.braille:
            self._bits[cell] = self._bits.get(cell, 0) | _BRAILLE[dot[0] % 2][(self.dots[1] - 1 - dot[1]) % 4]
            glyph = chr(0x2800 + self._bits[cell])
        self._drawn[cell] = (glyph, colour)


def _is_on(rhythm: Sequence[int], place: int) -> bool:
    place %= sum(rhythm)
    for turn, length in enumerate(rhythm):
        if place < length:
            return turn % 2 == 0
        place -= length
    return True


def _without_repeats(dots: Iterable[Dot]) -> Iterable[Dot]:
    last = None
    for dot in dots:
        if dot != last:
            yield dot
        last = dot


def _joined(corners: Sequence[Dot]) -> Iterable[Dot]:
    """Every dot on the way from corner to corner, in steps of one dot along the longer side."""
    yield from corners[:1]
    for (from_x, from_y), (to_x, to_y) in pairwise(corners):
        steps = max(abs(to_x - from_x), abs(to_y - from_y), 1)
        for step in range(1, steps + 1):
            yield from_x + round((to_x - from_x) * step / steps), from_y + round((to_y - from_y) * step / steps)
