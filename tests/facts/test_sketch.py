"""Quantiles within one per cent of the exact ones and of ddsketch's, and the same sketch in whatever order it is merged."""

import random
from math import inf, nan

import pytest
from ddsketch import DDSketch
from hypothesis import given
from hypothesis import strategies as st

from tidegate.facts.sketch import LEAST_S, MOST_S, Sketch

SHARES = [0.5, 0.75, 0.9, 0.95, 0.99, 0.999]
CHANCE = random.Random(7)
SHAPES = {
    "constant": lambda: 0.12,
    "exponential": lambda: CHANCE.expovariate(20),
    "log-normal": lambda: CHANCE.lognormvariate(-2, 1.5),
    "heavy-tailed": lambda: CHANCE.paretovariate(1.1) / 100,
    "bimodal": lambda: CHANCE.choice([0.002, 3.0]) * CHANCE.uniform(0.9, 1.1),
    "microseconds": lambda: CHANCE.uniform(2e-6, 9e-5),
    "days": lambda: CHANCE.uniform(3600, 400_000),
}
durations_us = st.lists(st.integers(0, 10**12), max_size=60)


def exact(values: list[float], share: float) -> float:
    """The value of that rank, as NumPy's `lower`."""
    return sorted(values)[int(share * (len(values) - 1))]


@pytest.mark.parametrize("count", [1, 7, 100, 10_000])
@pytest.mark.parametrize("shape", SHAPES)
def test_quantiles_are_within_one_per_cent_of_the_exact_ones(shape, count):
    values = [SHAPES[shape]() for _ in range(count)]
    sketch = Sketch.of(values)

    for share in SHARES:
        assert sketch.quantile(share) == pytest.approx(exact(values, share), rel=0.01)


@pytest.mark.parametrize("shape", SHAPES)
def test_quantiles_are_those_of_ddsketch_within_one_per_cent(shape):
    values = [SHAPES[shape]() for _ in range(5_000)]
    other = DDSketch(relative_accuracy=0.01)
    for value in values:
        other.add(value)
    sketch = Sketch.of(values)

    # Each of the two is within one per cent of the truth.
    for share in SHARES:
        assert sketch.quantile(share) == pytest.approx(other.get_quantile_value(share), rel=0.0205)
    assert sketch.count == other.count
    assert sketch.mean_s == pytest.approx(other.avg)


@given(st.lists(durations_us, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_merging_in_any_order_and_grouping_gives_the_identical_sketch(parts, chance):
    whole = Sketch.of(us / 1e6 for part in parts for us in part)
    sketches = [Sketch.of(us / 1e6 for us in part) for part in parts]
    chance.shuffle(sketches)
    while len(sketches) > 1:
        one = sketches.pop(chance.randrange(len(sketches)))
        sketches[chance.randrange(len(sketches))].merge(one)

    assert sketches[0] == whole


@given(durations_us, durations_us)
def test_many_at_once_are_the_same_as_one_by_one(first, second):
    at_once = Sketch()
    at_once.add_us(first)
    at_once.add_us(second)

    assert at_once == Sketch.of(us / 1e6 for us in first + second)


def test_a_sketch_that_was_merged_is_not_changed_and_not_shared():
    one, other = Sketch.of([1.0]), Sketch.of([2.0])
    one.merge(other)
    one.add(2.0)

    assert other == Sketch.of([2.0])


def test_extremes_and_sum_are_exact():
    sketch = Sketch.of([0.003, 1.25, 7.000001])

    assert (sketch.low_ns, sketch.high_ns, sketch.total_ns) == (3_000_000, 7_000_001_000, 8_253_001_000)
    assert sketch.quantile(0) == pytest.approx(0.003)
    assert sketch.quantile(1) == pytest.approx(7.000001, rel=0.01)


def test_what_is_shorter_than_a_microsecond_is_zero_and_beyond_a_year_a_year():
    sketch = Sketch.of([0.0, LEAST_S / 2, 10 * MOST_S])

    assert (sketch.zeros, sketch.quantile(0.5)) == (2, 0.0)
    assert sketch.high_ns == MOST_S * 1e9


@pytest.mark.parametrize("value", [-0.001, -inf, nan])
def test_what_is_no_duration_is_refused(value):
    with pytest.raises(ValueError, match="at least 0 s"):
        Sketch().add(value)
    with pytest.raises(ValueError, match="at least 0 s"):
        Sketch().add_us([1, -1])


@pytest.mark.parametrize("ask", [lambda sketch: sketch.mean_s, lambda sketch: sketch.quantile(0.5)])
def test_an_empty_sketch_has_no_mean_and_no_quantile(ask):
    with pytest.raises(ValueError, match="nothing was counted"):
        ask(Sketch())
