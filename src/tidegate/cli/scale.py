"""Axes: the stretch of numbers they show, ticks at round numbers, and labels that do not run into one another."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)
_LOG_ROUND = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
#: Ticks written longer than this are written with an exponent.
_LONGEST_TICK = 12


@dataclass(frozen=True, slots=True)
class Scale:
    """A stretch of an axis, `low` < `high`; with `log` equal ratios take equal room, and both are above 0."""

    low: float
    high: float
    log: bool = False

    def share(self, value: float) -> float:
        """Where the value stands: 0 at `low`, 1 at `high`."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


class Tick(NamedTuple):
    """A value of an axis and how it is written; a number is never cut."""

    value: float
    label: str


def scale_of(values: Iterable[float], *, log: bool = False) -> Scale:
    """From the smallest to the largest of the finite values; 0 to 1 where there is none, a wider stretch around one.

    With `log`, what is not above 0 has no place and does not count.
    """
    kept = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
    low, high = (min(kept), max(kept)) if kept else (1.0, 10.0) if log else (0.0, 1.0)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        around = abs(low) / 2 or 1.0
        low, high = (low / 2, high * 2) if log else (low - around, high + around)
    return Scale(low, high, log)


def to_round_ends(scale: Scale, at_most: int) -> Scale:
    """The stretch widened so that a tick stands at either end."""
    step = _step(scale.high - scale.low, at_most)
    return Scale(math.floor(scale.low / step + 1e-9) * step, math.ceil(scale.high / step - 1e-9) * step)


def ticks(scale: Scale, at_most: int) -> list[Tick]:
    """At most about so many ticks within the stretch, at round numbers."""
    if scale.log:
        return _log_ticks(scale, at_most)
    step = _step(scale.high - scale.low, at_most)
    first, last = math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9)
    decimals = _decimals(step)
    return [Tick(place * step, _written(place * step, decimals)) for place in range(first, last + 1)]


def _step(span: float, at_most: int) -> float:
    raw = span / max(1, at_most - 1)
    size = 10.0 ** math.floor(math.log10(raw))
    return next(size * nice for nice in _ROUND if size * nice >= raw * (1 - 1e-9))


def _log_ticks(scale: Scale, at_most: int) -> list[Tick]:
    """Powers of ten, with as many multiples between them as there is room for; evenly spaced ones within a small span."""
    first, last = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
    powers = range(first, last + 1, math.ceil((last - first + 1) / at_most))
    kept: list[Tick] = []
    for multiples in _LOG_ROUND:
        values = [10.0**power * multiple for power in powers for multiple in multiples]
        within = [value for value in values if scale.low * (1 - 1e-9) <= value <= scale.high * (1 + 1e-9)]
        if kept and len(within) > at_most:
            break
        kept = [Tick(value, _written(value, _decimals(value / 2))) for value in within]
    return kept if len(kept) >= 3 else ticks(Scale(scale.low, scale.high), at_most)


def _decimals(step: float) -> int:
    """How many decimals tell multiples of the step apart."""
    decimals = max(0, -math.floor(math.log10(step)))
    return decimals + (1 if abs(step * 10**decimals - round(step * 10**decimals)) > 1e-6 else 0)


def _written(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}" if abs(value) < 1e15 and decimals < _LONGEST_TICK else ""
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if text and len(text) <= _LONGEST_TICK:
        return "0" if text == "-0" else text
    return f"{value:.3g}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")


class Placed(NamedTuple):
    """A label of a vertical rule: from where to where it reaches, and in which row above the plot (0 is the lowest)."""

    start: float
    end: float
    row: int


def rows_above(rules: Sequence[tuple[float, float]], width: float, gap: float) -> list[Placed | None]:
    """Where the labels of vertical rules go above a plot `width` wide; a rule is (its place, the length of its label).

    A label begins at its rule, or ends there where there is no room, and every rule reaches up to its own label without
    crossing another. None for a label that is longer than either side has room for.
    """
    from_left = sorted(range(len(rules)), key=lambda index: rules[index][0])
    rightward: list[int] = []
    leftward: list[int] = []
    limit = width
    for index in reversed(from_left):
        at, length = rules[index]
        if at + length <= limit:
            rightward.append(index)
        else:
            leftward.insert(0, index)
            limit = at - gap
    placed: dict[int, Placed] = {}
    # In this order a label that is put above all that stand already is never in the way of one of their rules.
    for index in rightward:
        at, length = rules[index]
        placed[index] = _lowest(at, at + length, rules, index, placed, gap)
    for index in leftward:
        at, length = rules[index]
        if at >= length:
            placed[index] = _lowest(at - length, at, rules, index, placed, gap)
    return [placed.get(index) for index in range(len(rules))]


def _lowest(
    start: float,
    end: float,
    rules: Sequence[tuple[float, float]],
    index: int,
    placed: dict[int, Placed],
    gap: float,
) -> Placed:
    """The label in the lowest row where it crosses nothing."""
    row = 0
    while not all(
        _pass(Placed(start, end, row), rules[index][0], other, rules[place][0], gap) for place, other in placed.items()
    ):
        row += 1
    return Placed(start, end, row)


def _pass(one: Placed, at: float, other: Placed, other_at: float, gap: float) -> bool:
    """True where neither label lies on the other or on the other's rule."""
    if one.row == other.row:
        return one.end + gap <= other.start or other.end + gap <= one.start
    low, high_at = (one, other_at) if one.row < other.row else (other, at)
    return not low.start - gap < high_at < low.end + gap
