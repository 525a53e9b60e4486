"""Numbers as people read them, and durations as they write them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.units import count, duration, number, parse_duration, percent, plural, rate, significant, size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10", 10.0), ("1.5", 1.5), ("0", 0.0), ("90s", 90.0), ("1m30s", 90.0), ("1m 30s", 90.0), ("250ms", 0.25), ("2h", 7200.0),
        ("7d", 604800.0), ("1w", 604800.0), (" 5 s ", 5.0), ("1.5h", 5400.0),
    ],
)  # fmt: skip
def test_a_duration_is_read_in_every_common_form(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "ten", "-1", "-1s", "1x", "1m30", "nan", "inf", "1s!", "5 minutes"])
def test_anything_else_is_refused_with_an_example_and_what_came(text):
    with pytest.raises(ValueError, match="such as 10, 90s or 1m30s") as raised:
        parse_duration(text)
    assert repr(text) in str(raised.value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (0.0004, "0.0004 s"), (0.12, "0.12 s"), (1.2345, "1.23 s"), (59.96, "60 s"), (119, "119 s"),
        (120, "2 minutes"), (252, "4.2 minutes"), (7200, "2 hours"), (86400 * 11, "11 days"), (86400 * 730, "2 years"),
        (math.inf, "never"),
    ],
)  # fmt: skip
def test_a_duration_is_shown_in_the_unit_people_would_use(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("per_s", "text"),
    [
        (0, "0/s"), (12.345, "12.3/s"), (0.1, "0.1/s"), (0.025, "1.5/min"), (0.0005, "1.8/h"), (-2, "-2/s"), (-0.025, "-1.5/min"),
        (12345, "12,345/s"),
    ],
)  # fmt: skip
def test_a_rate_is_shown_per_second_minute_or_hour(per_s, text):
    assert rate(per_s) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0 B"), (1023, "1,023 B"), (1024, "1 KB"), (1024**2 - 1, "1 MB"), (1024**2 * 1023.4, "1,023 MB"),
        (int(1.9 * 1024**3), "1.9 GB"), (1024**6, "1,024 PB"), (-2048, "-2 KB"),
    ],
)  # fmt: skip
def test_a_size_is_shown_in_binary_units_and_never_as_1024_of_them(amount, text):
    assert size(amount) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.0001, "<1 %"), (0.01, "1 %"), (0.5, "50 %"), (0.99, "99 %"), (0.999, ">99 %"), (1, "100 %")],
)
def test_a_share_that_is_neither_none_nor_all_never_reads_as_either(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(("amount", "text"), [(2_017_633, "2,017,633"), (0, "0"), (1.6, "2")])
def test_counts_have_their_thousands_apart(amount, text):
    assert count(amount) == text


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "0 messages"), (1, "1 message"), (1.2, "1 message"), (2, "2 messages")]
)
def test_one_is_singular(amount, text):
    assert plural(amount, "message") == text


@pytest.mark.parametrize(
    ("value", "digits", "text"), [(0.0999, 2, "0.1"), (9.99, 2, "10"), (1234.5, 3, "1,234"), (-0.5, 3, "-0.5")]
)
def test_digits_are_counted_from_the_first_that_is_not_nought(value, digits, text):
    assert significant(value, digits) == text


@pytest.mark.parametrize(("value", "text"), [(1200.0, "1200"), (0.075, "0.075"), (1.2345, "1.23")])
def test_numbers_for_code_have_no_thousands_apart(value, text):
    assert number(value) == text


@given(st.floats(min_value=1e-6, max_value=1e12))
def test_what_is_shown_is_within_half_a_percent_of_what_is(value):
    assert float(number(value)) == pytest.approx(value, rel=0.0051)


@given(st.floats(min_value=0, max_value=1e9))
def test_every_number_of_seconds_reads_back_as_itself(value):
    assert parse_duration(repr(value)) == value
