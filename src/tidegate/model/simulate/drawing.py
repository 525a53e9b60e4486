"""Drawing durations from laws, and the two numbers of a law that queueing formulas need.

Chance comes in from outside, as streams of uniform numbers in [0, 1): the model has no source of its own, so the same
streams give the same simulation. Every purpose has a stream of its name. Two scenarios that differ in one thing then
meet the same arrivals and the same run times, and what differs in the outcome is that thing (common random numbers).
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate, cycle
from math import cos, exp, inf, log, log1p, pi, sqrt

from tidegate.facts.laws import Bimodal, Constant, Exponential, Histogram, Law, Lognormal, Pareto, Samples, Uniform

#: Uniform numbers in [0, 1), one a call.
Uniforms = Callable[[], float]
#: The stream of that name; two names are independent of one another.
Streams = Callable[[str], Uniforms]
Draw = Callable[[], float]


def draws(law: Law, uniforms: Uniforms) -> Draw:
    """A function that draws from the law, in seconds; 0.1 to 0.4 µs a call."""
    return _DRAWS[type(law)](law, uniforms)


def mean_s(law: Law) -> float:
    """The mean of the law."""
    return _moments(law)[0]


def scatter(law: Law) -> float:
    """The squared coefficient of variation: 0 for a constant, 1 for an exponential, infinite for a Pareto up to 2."""
    mean, square = _moments(law)
    return square / mean**2 - 1 if mean else 0.0


def _constant(law: Constant, uniforms: Uniforms) -> Draw:
    value = law.s
    return lambda: value


def _exponential(law: Exponential, uniforms: Uniforms) -> Draw:
    mean = law.mean_s
    return lambda: -log(1.0 - uniforms()) * mean


def _uniform(law: Uniform, uniforms: Uniforms) -> Draw:
    low, width = law.low_s, law.high_s - law.low_s
    return lambda: low + width * uniforms()


def _lognormal(law: Lognormal, uniforms: Uniforms) -> Draw:
    variance = log1p(law.cv**2)
    middle, spread = log(law.mean_s) - variance / 2, sqrt(variance)
    # Box and Muller; the second of the pair is left unused, which keeps one call one duration.
    return lambda: exp(middle + spread * sqrt(-2 * log(1.0 - uniforms())) * cos(2 * pi * uniforms()))


def _pareto(law: Pareto, uniforms: Uniforms) -> Draw:
    least, power = law.mean_s * (law.shape - 1) / law.shape, -1 / law.shape
    return lambda: least * (1.0 - uniforms()) ** power


def _bimodal(law: Bimodal, uniforms: Uniforms) -> Draw:
    short, long, share = law.short_s, law.long_s, law.long_share
    return lambda: long if uniforms() < share else short


def _samples(law: Samples, uniforms: Uniforms) -> Draw:
    values, count = law.values_s, len(law.values_s)
    if law.replay:
        return cycle(values).__next__
    return lambda: values[int(uniforms() * count)]


def _histogram(law: Histogram, uniforms: Uniforms) -> Draw:
    passed, edges, total = list(accumulate(law.counts)), law.edges_s, sum(law.counts)
    place = place_of_mean(law)
    # Uniform over the part of a bucket around the place of its mean: nothing drawn lies outside its bucket.
    first, width = max(0.0, 2 * place - 1), min(1.0, 2 * place) - max(0.0, 2 * place - 1)

    def draw() -> float:
        bucket = bisect_right(passed, uniforms() * total)
        low = edges[bucket]
        return low + (edges[bucket + 1] - low) * (first + width * uniforms())

    return draw


def place_of_mean(law: Histogram) -> float:
    """Where in its bucket, 0 to 1, the mean of what fell there has to lie for the mean of all to be the law's."""
    low = sum(count * edge for count, edge in zip(law.counts, law.edges_s, strict=False))
    high = sum(count * edge for count, edge in zip(law.counts, law.edges_s[1:], strict=True))
    return min(1.0, max(0.0, (law.mean_s * sum(law.counts) - low) / (high - low))) if high > low else 0.5


_DRAWS: dict[type, Callable[..., Draw]] = {
    Constant: _constant,
    Exponential: _exponential,
    Uniform: _uniform,
    Lognormal: _lognormal,
    Pareto: _pareto,
    Bimodal: _bimodal,
    Samples: _samples,
    Histogram: _histogram,
}


def _moments(law: Law) -> tuple[float, float]:
    """The mean, and the mean of the squares."""
    match law:
        case Constant(s):
            return s, s**2
        case Exponential(mean):
            return mean, 2 * mean**2
        case Uniform(low, high):
            return (low + high) / 2, (low**2 + low * high + high**2) / 3
        case Lognormal(mean, cv):
            return mean, mean**2 * (1 + cv**2)
        case Pareto(mean, shape):
            least = mean * (shape - 1) / shape
            return mean, shape * least**2 / (shape - 2) if shape > 2 else inf
        case Bimodal(short, long, share):
            return short + (long - short) * share, short**2 + (long**2 - short**2) * share
        case Samples(values):
            return sum(values) / len(values), sum(value**2 for value in values) / len(values)
        case Histogram():
            return law.mean_s, _square(law)


def _square(law: Histogram) -> float:
    place, total = place_of_mean(law), sum(law.counts)
    buckets = zip(law.counts, law.edges_s, law.edges_s[1:], strict=False)
    return sum(count * (low + (high - low) * place) ** 2 for count, low, high in buckets) / total


def poisson(per_s: float, uniforms: Uniforms) -> Iterator[float]:
    """Moments of a Poisson stream."""
    at, gap = 0.0, 1 / per_s
    while True:
        at -= log(1.0 - uniforms()) * gap
        yield at


def changing_poisson(rates: tuple[tuple[float, float], ...], uniforms: Uniforms) -> Iterator[float]:
    """Moments of a Poisson stream whose rate changes: (from when, per second), ascending; the last one stays."""
    ends = [since for since, _ in rates[1:]] + [inf]
    for (since, per_s), until in zip(rates, ends, strict=True):
        at = since
        while per_s > 0 and (at := at - log(1.0 - uniforms()) / per_s) < until:
            yield at


def renewal(gap: Draw, first_s: float = 0.0) -> Iterator[float]:
    """Moments whose gaps are drawn, the first one gap after `first_s`."""
    at = first_s
    while True:
        at += gap()
        yield at


def periodic(every_s: float, phase_s: float, jitter_s: float, uniforms: Uniforms) -> Iterator[float]:
    """Beat's moments: `phase_s` and every `every_s` after it, each up to `jitter_s` late."""
    number = 0
    while True:
        at = phase_s + number * every_s
        yield at + uniforms() * jitter_s if jitter_s else at
        number += 1
