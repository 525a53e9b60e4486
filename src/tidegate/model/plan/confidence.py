"""How sure a mean is, where what was measured is not independent: batch means over stretches of time."""

import itertools
import math
from collections.abc import Sequence

from tidegate.model.rates import T_95, Z_95

#: Fewer batches say too little of their own scatter.
LEAST_BATCHES = 6
#: Batches that still resemble their neighbours are too short.
_ALIKE = 0.2
_FREE_OF_DOUBT = 16


def t_95(freedom: int) -> float:
    """Student's t for a 95 % interval; beyond the table the first terms of its expansion in 1/freedom.

    Abramowitz and Stegun, *Handbook of Mathematical Functions*, 26.7.5; within 0.2 % from ten degrees on.
    """
    if freedom < 1:
        return math.inf
    if freedom <= len(T_95):
        return T_95[freedom - 1]
    z = Z_95
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def half_width(residuals: Sequence[float]) -> float:
    """The half-width of the 95 % interval of a sum whose parts, in order of time, deviate from their mean by these.

    Neighbours are put together in batches, twice as long each time, until the batches no longer resemble one another or
    only few are left (Law, *Simulation Modeling and Analysis*, §9.5.3). Infinite where there are fewer than two parts.
    """
    batches = list(residuals)
    while len(batches) >= 2 * _FREE_OF_DOUBT and _alike(batches) > _ALIKE:
        batches = [sum(batches[place : place + 2]) for place in range(0, len(batches) - 1, 2)]
    count = len(batches)
    if count < 2:
        return math.inf
    spread = sum(value * value for value in batches) * count / (count - 1)
    return t_95(count - 1) * math.sqrt(spread)


def _alike(batches: Sequence[float]) -> float:
    """The correlation of neighbours."""
    square = sum(value * value for value in batches)
    if square <= 0:
        return 0.0
    return sum(one * other for one, other in itertools.pairwise(batches)) / square
