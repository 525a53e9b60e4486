"""How long things take: the distributions that a scenario may name for run times and for gaps between arrivals.

Frozen data without behaviour: `tidegate.model.simulate.drawing` draws from them. Every duration is in seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same."""

    s: float


@dataclass(frozen=True, slots=True)
class Exponential:
    """Without memory: the gaps of independent visitors."""

    mean_s: float


@dataclass(frozen=True, slots=True)
class Uniform:
    """Anything between the two, equally often."""

    low_s: float
    high_s: float


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Its logarithm is normal: most are short, some much longer. `cv` is standard deviation divided by mean."""

    mean_s: float
    cv: float


@dataclass(frozen=True, slots=True)
class Pareto:
    """Heavy-tailed: P(more than t) falls with t^−shape. `shape` is above 1, or there is no mean."""

    mean_s: float
    shape: float


@dataclass(frozen=True, slots=True)
class Bimodal:
    """One of two durations; `long_share` of them are the long one."""

    short_s: float
    long_s: float
    long_share: float


@dataclass(frozen=True, slots=True)
class Samples:
    """Durations as they were seen: drawn at random, or with `replay` in their order, again and again."""

    values_s: tuple[float, ...]
    replay: bool = False


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts between ascending edges, one edge more than counts; inside a bucket so drawn that the mean is `mean_s`."""

    edges_s: tuple[float, ...]
    counts: tuple[int, ...]
    mean_s: float


Law: TypeAlias = Constant | Exponential | Uniform | Lognormal | Pareto | Bimodal | Samples | Histogram

#: As scenarios name them.
LAWS: Mapping[str, type[Law]] = {
    "constant": Constant,
    "exponential": Exponential,
    "uniform": Uniform,
    "lognormal": Lognormal,
    "pareto": Pareto,
    "bimodal": Bimodal,
    "samples": Samples,
    "histogram": Histogram,
}
