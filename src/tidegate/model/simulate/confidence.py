"""Means and their 95 % intervals, from batches that are autocorrelated, or from independent runs.

Batch means (Law, *Simulation Modeling and Analysis*, §9.5.3) for a ratio of sums: neighbouring batches are put
together, two and two, until their residuals no longer follow one another (lag-1 correlation, von Neumann).
"""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

from tidegate.facts.simulated import Mean
from tidegate.facts.unknown import Unknown
from tidegate.model.plan.confidence import t_95
from tidegate.model.simulate.tally import Batches

#: With fewer batches than this an error would be a guess.
FEWEST = 8
#: More say hardly more, and are more alike: from 32 on Student's t is within 4 % of the normal.
MOST = 32
NOTHING = Unknown("nothing of the kind happened in the measured time")
TOO_SHORT = Unknown("too little was simulated to tell: a longer duration, or more runs")


def mean_of(runs: Sequence[Batches]) -> Mean:
    """The mean over all runs; its error from the runs where there are several, else from the batches of the one."""
    weight = sum(sum(run.weights) for run in runs)
    if weight <= 0:
        return Mean(mean=NOTHING, error=NOTHING)
    mean = sum(sum(run.sums) for run in runs) / weight
    error = _between(runs, mean) if len(runs) > 1 else _within(runs[0], mean)
    return Mean(mean=mean, error=TOO_SHORT if error is None else error)


def _between(runs: Sequence[Batches], mean: float) -> float | None:
    whole = Batches([sum(run.sums) for run in runs], [float(sum(run.weights)) for run in runs])
    return half_width(whole, mean)


def _within(batches: Batches, mean: float) -> float | None:
    fitting = batches
    while len(fitting.sums) > MOST or (len(fitting.sums) >= 2 * FEWEST and _follow_one_another(fitting, mean)):
        fitting = _in_pairs(fitting)
    return half_width(fitting, mean) if len(fitting.sums) >= FEWEST else None


def half_width(batches: Batches, mean: float) -> float | None:
    """Of the interval around a ratio of sums, from batches taken for independent; None for a single one."""
    count, weight = len(batches.sums), sum(batches.weights)
    if count < 2:
        return None
    squares = sum(residual**2 for residual in _residuals(batches, mean))
    return t_95(count - 1) * sqrt(squares * count / (count - 1)) / weight


def _residuals(batches: Batches, mean: float) -> list[float]:
    return [amount - mean * weight for amount, weight in zip(batches.sums, batches.weights, strict=True)]


def _follow_one_another(batches: Batches, mean: float) -> bool:
    """True where the lag-1 correlation is above what independent batches show in one case of six."""
    residuals = _residuals(batches, mean)
    squares = sum(residual**2 for residual in residuals)
    products = sum(one * other for one, other in pairwise(residuals))
    return squares > 0 and products / squares > 1 / sqrt(len(residuals))


def _in_pairs(batches: Batches) -> Batches:
    sums, weights = batches.sums, batches.weights
    even = len(sums) - len(sums) % 2
    halves = [sums[place] + sums[place + 1] for place in range(0, even, 2)]
    heavier = [weights[place] + weights[place + 1] for place in range(0, even, 2)]
    if even < len(sums):
        halves[-1], heavier[-1] = halves[-1] + sums[-1], heavier[-1] + weights[-1]
    return Batches(halves, heavier)
