"""Means and their 95 % intervals, from batches that are autocorrelated, or from independent runs.

Batch means (Law, *Simulation Modeling and Analysis*, §9.5.3) for a ratio of sums. Where batches still follow one another,
the variance is that of an autoregressive series: times (1 + φ)/(1 − φ), with φ the correlation of neighbours. The waits
of a simulation that is short for its load are skewed as well, and then the interval covers the truth in 85 to 92 of 100
cases only; independent runs do not have that weakness.
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
#: More say hardly more, and follow one another the more.
MOST = 16
#: A correlation above this says that the run was far too short, not by how much.
_MOST_ALIKE = 0.8
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
    while len(fitting.sums) > MOST:
        fitting = _in_pairs(fitting)
    if len(fitting.sums) < FEWEST:
        return None
    width = half_width(fitting, mean)
    alike = _alike(_residuals(fitting, mean))
    return None if width is None else width * sqrt((1 + alike) / (1 - alike))


def half_width(batches: Batches, mean: float) -> float | None:
    """Of the interval around a ratio of sums, from batches taken for independent; None for a single one."""
    count, weight = len(batches.sums), sum(batches.weights)
    if count < 2:
        return None
    squares = sum(residual**2 for residual in _residuals(batches, mean))
    return t_95(count - 1) * sqrt(squares * count / (count - 1)) / weight


def _residuals(batches: Batches, mean: float) -> list[float]:
    return [amount - mean * weight for amount, weight in zip(batches.sums, batches.weights, strict=True)]


def _alike(residuals: Sequence[float]) -> float:
    """The correlation of neighbours, 0 where it is negative."""
    squares = sum(residual**2 for residual in residuals)
    if squares <= 0:
        return 0.0
    return min(_MOST_ALIKE, max(0.0, sum(one * other for one, other in pairwise(residuals)) / squares))


def _in_pairs(batches: Batches) -> Batches:
    sums, weights = batches.sums, batches.weights
    even = len(sums) - len(sums) % 2
    halves = [sums[place] + sums[place + 1] for place in range(0, even, 2)]
    heavier = [weights[place] + weights[place + 1] for place in range(0, even, 2)]
    if even < len(sums):
        halves[-1], heavier[-1] = halves[-1] + sums[-1], heavier[-1] + weights[-1]
    return Batches(halves, heavier)
