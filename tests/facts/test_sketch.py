"""The sketch of durations: within one per cent of the truth, the same in whatever order it was merged."""

import math
import random

import pytest
from ddsketch import DDSketch
from hypothesis import given
from hypothesis import strategies as st

from tidegate.facts.sketch import ACCURACY, LEAST_S, MOST_S, NS, Sketch

durations = st.lists(st.floats(0, 1e6), max_size=60)
LAWS = {
    "constant": lambda chance: 0.12,
    "uniform": lambda chance: chance.uniform(0.001, 5),
    "exponential": lambda chance: chance.expovariate(10),
    "lognormal": lambda chance: chance.lognormvariate(-3, 1.5),
    "pareto": lambda chance: 0.01 * chance.paretovariate(1.5),
    "bimodal": lambda chance: chance.choice((0.01, 12.0)) * chance.uniform(0.9, 1.1),
}
SHARES = (0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("count", [3, 100, 5000])
def test_every_quantile_is_within_one_per_cent_of_the_exact_one(law, count):
    chance = random.Random(7)
    values = sorted(LAWS[law](chance) for _ in range(count))
    sketch = Sketch.of(values)
    for share in SHARES:
        exact = values[int(share * (count - 1))]
        assert sketch.quantile(share) == pytest.approx(exact, rel=ACCURACY * (1 + 1e-9))


@pytest.mark.parametrize("law", LAWS)
def test_it_answers_as_the_reference_implementation_does(law):
    chance = random.Random(11)
    values = [LAWS[law](chance) for _ in range(3000)]
    sketch, reference = Sketch.of(values), DDSketch(ACCURACY)
    for value in values:
        reference.add(value)
    for share in SHARES:
        assert sketch.quantile(share) == pytest.approx(reference.get_quantile_value(share), rel=2 * ACCURACY)


def merged(*parts):
    whole = Sketch()
    for part in parts:
        whole.merge(part)
    return whole


@given(durations, durations, durations)
def test_merging_in_any_order_gives_the_identical_sketch_of_all_values(a, b, c):
    one, two, three = Sketch.of(a), Sketch.of(b), Sketch.of(c)
    whole = Sketch.of([*a, *b, *c])
    assert merged(one, two, three) == merged(three, merged(two, one)) == merged(merged(one, three), two) == whole


@given(durations)
def test_count_sum_and_extremes_are_exact(values):
    sketch = Sketch.of(values)
    assert sketch.count == len(values)
    assert sketch.total_ns == sum(round(value * NS) for value in values)
    if values:
        assert (sketch.low_ns, sketch.high_ns) == (round(min(values) * NS), round(max(values) * NS))
        assert sketch.mean_s == pytest.approx(math.fsum(values) / len(values), abs=1e-9 * len(values))


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_no_quantile_lies_outside_of_what_was_seen(values, share):
    # What is shorter than a microsecond counts as zero.
    assert min(values) - LEAST_S <= Sketch.of(values).quantile(share) <= max(values) + 1e-9


@pytest.mark.parametrize("odd", [-0.001, math.nan, -math.inf])
def test_what_is_no_duration_is_refused(odd):
    with pytest.raises(ValueError, match="at least 0 s"):
        Sketch().add(odd)


def test_a_duration_beyond_all_reason_counts_as_a_year_and_one_too_short_to_tell_as_none():
    sketch = Sketch.of([math.inf, LEAST_S / 2])
    assert sketch.quantile(1.0) == MOST_S
    assert sketch.quantile(0.0) == 0.0


def test_nothing_has_no_mean_and_no_quantile():
    for ask in (lambda: Sketch().mean_s, lambda: Sketch().quantile(0.5)):
        with pytest.raises(ValueError, match="nothing was counted"):
            ask()


def test_durations_from_a_microsecond_to_a_year_need_some_fifteen_hundred_buckets_at_most():
    sketch = Sketch.of(LEAST_S * 1.01**step for step in range(4000) if LEAST_S * 1.01**step <= MOST_S)
    assert 1000 < len(sketch.buckets) <= 1555
