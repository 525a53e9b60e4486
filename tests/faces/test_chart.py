"""Charts in the terminal: every number whole at any width, lines told apart without colours."""

import io
import math
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from faces.charts import GROWTH, SIMPLE, named
from faces.shell import steering
from tidegate.cli.chart import Line, Mark, draw
from tidegate.cli.scale import rows_above, scale_of, ticks

WIDTHS = [40, 80, 120, 200]


def shown(chart, width=80, encoding="utf-8", **options):
    file = io.TextIOWrapper(io.BytesIO(), encoding)
    draw(chart, Console(file=file, width=width, highlight=False), **options)
    file.seek(0)
    return file.read()


def lines_of(chart, **options):
    return shown(chart, **options).splitlines()


def test_a_line_as_it_is_drawn():
    assert lines_of(SIMPLE, width=40, height=6) == [
        "refresh",
        "growth, messages/s",
        "            ┊ now 1 s",
        "4 ┤⠉⠒⠢⠤⣀⡀   ┊",
        "  │     ⠈⠉⠒⠢⠤⣀⣀",
        "2 ┤         ┊  ⠉⠉⠒⠢⠤⢄⣀",
        "  │         ┊         ⠉⠑⠒⠤⠤⣀⡀",
        "  │         ┊               ⠈⠉⠒⠢⠤⣀⡀",
        "0 ┤         ┊                     ⠈⠉⠒⠢⠤⣀",
        "  └┬───┬────┬───┬────┬────┬───┬────┬───┬",
        "   0  0.5   1  1.5   2   2.5  3   3.5  4",
        "                             interval, s",
        "⠤⠤⠤⠤⠤⠤⠤⠤ today",
    ]


def test_the_same_where_the_terminal_knows_ascii_alone():
    assert lines_of(SIMPLE, width=40, height=6, encoding="ascii") == [
        "refresh",
        "growth, messages/s",
        "            : now 1 s",
        "4 +*****    :",
        "  |     *******",
        "  |         :  ****",
        "2 +         :      *******",
        "  |         :             *********",
        "0 +         :                      *****",
        "  ++---+----+----+---+---+----+----+---+",
        "   0  0.5   1   1.5  2  2.5   3   3.5  4",
        "                             interval, s",
        "******** today",
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize("width", WIDTHS)
def test_a_chart_is_no_wider_than_the_terminal_and_its_marks_are_labelled(width, encoding):
    text = shown(GROWTH, width=width, encoding=encoding)

    assert max(map(len, text.splitlines())) <= min(width, 120)
    assert all(mark.label in text for mark in GROWTH.marks)
    assert "today" in text
    assert "1 of 2 hosts lost" in text


@pytest.mark.parametrize(("terminal", "asked", "drawn"), [(200, None, 120), (200, 150, 150), (60, 150, 60)])
def test_it_is_as_wide_as_asked_for_and_no_wider_than_the_terminal(terminal, asked, drawn):
    assert max(map(len, drawn_at(terminal, asked))) == drawn


def drawn_at(terminal, asked):
    out = io.StringIO()
    draw(SIMPLE, Console(file=out, width=terminal), asked)
    return out.getvalue().splitlines()


def test_lines_are_told_apart_without_colours():
    text = shown(GROWTH)
    today, lost = re.findall(r"([⠀-⣿][⠀-⣿ ]*) (?:today|1 of 2)", text.splitlines()[-1])

    assert "\x1b" not in text
    assert set(today) == {"⠤"}
    assert set(lost) == {"⠤", "⠄", " "}


def test_more_lines_than_patterns_have_a_letter_each():
    many = replace(SIMPLE, lines=[Line(f"line {place}", [0, 1], [place, place]) for place in range(6)], marks=())
    text = shown(many)

    assert "******** line 0   oooooooo line 1   ++++++++ line 2   xxxxxxxx line 3" in text
    assert "⠤" not in text


def test_a_gap_is_left_where_a_value_is_missing_or_is_no_number():
    broken = replace(SIMPLE, lines=[Line("a", range(5), [1.0, 1.0, None, math.nan, 1.0])], marks=())
    row = next(line for line in lines_of(broken, width=40, height=6, encoding="ascii") if "***" in line)

    assert row.lstrip(" 01.5|+") == "*" * 9 + " " * 25 + "*"


@pytest.mark.parametrize(
    "lines", [[], [Line("a", [], [])], [Line("a", [1.0], [None])], [Line("a", [math.inf], [1.0])]], ids=str
)
def test_a_chart_without_a_point_says_so(lines):
    assert shown(replace(SIMPLE, lines=lines)) == "refresh: nothing to draw\n"


def test_a_terminal_too_narrow_for_a_chart_gets_a_sentence():
    assert shown(SIMPLE, width=39) == "refresh: the terminal is too narrow for\na chart (40 columns)\n"


@pytest.mark.parametrize("xs", [[5.0], [5.0, 5.0], [0.0, 1.0], [-1.0, 1e12]])
def test_a_single_point_and_a_level_line_are_drawn(xs):
    chart = replace(SIMPLE, lines=[Line("a", xs, [7.0] * len(xs))], marks=())

    assert any("*" in line for line in lines_of(chart, encoding="ascii")[:-1])


@pytest.mark.parametrize("hostile", ["\x1b[31mred", "a\nb", "\u202eabc", "[bold]x[/bold]", "[/]", "\x00", "\ud800"])
def test_names_of_others_do_not_steer_the_terminal(hostile):
    assert not steering(shown(named(hostile)))
    assert not steering(shown(named(hostile), encoding="ascii"))


def test_letters_that_are_two_cells_wide_move_no_rule():
    wide = replace(SIMPLE, marks=[Mark(x=1.0, label="漢字"), Mark(x=2.0, label="b"), Mark(y=2.0, label="漢")])
    lines = lines_of(wide, width=40, height=6)
    above = next(line for line in lines if "漢字" in line)

    assert cell_len(above[: above.rindex("┊")]) == next(line for line in lines if line.startswith("4")).rindex("┊")
    assert max(map(cell_len, lines)) <= 40


def test_marks_without_a_place_are_left_out_and_two_on_one_row_are_both_named():
    marks = [
        Mark(x=math.inf, label="gone"),
        Mark(y=math.nan, label="gone"),
        Mark(y=2.0, label="low"),
        Mark(y=2.01, label="high"),
    ]
    text = shown(replace(SIMPLE, marks=marks))

    assert "gone" not in text
    assert " low ┈" in text
    assert "today   ┈┈ high" in text


def test_labels_above_a_plot_cross_neither_one_another_nor_a_rule():
    rules = [(10.0, 9.0), (15.0, 12.0), (60.0, 12.0), (79.0, 30.0)]

    assert rows_above(rules, 80, 1) == [(10, 19, 1), (15, 27, 0), (60, 72, 0), (49, 79, 1)]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 79), st.integers(1, 40)), max_size=8))
def test_no_label_is_in_the_way_of_another_or_of_its_rule(rules):
    placed = rows_above(rules, 80, 0)

    for place, (at, _) in zip(placed, rules, strict=True):
        assert place is None or at in (place.start, place.end)
        for other, (other_at, _) in zip(placed, rules, strict=True):
            if place is None or other is None or place is other:
                continue
            if place.row == other.row:
                assert place.end <= other.start or other.end <= place.start
            elif other.row > place.row:
                assert not place.start < other_at < place.end


@settings(max_examples=300, deadline=None)
@given(st.floats(-1e12, 1e12), st.floats(1e-6, 1e12), st.integers(2, 12), st.booleans())
def test_ticks_are_few_lie_within_the_axis_and_say_where_they_stand(low, span, at_most, log):
    low = abs(low) + 1e-6 if log else low
    scale = scale_of([low, low + span], log=log)
    found = ticks(scale, at_most)
    slack = 1e-6 * (scale.high - scale.low)

    assert len(found) <= max(at_most, 12 if log else 2)
    assert all(scale.low - slack <= tick.value <= scale.high + slack for tick in found)
    assert all(float(tick.label.replace(",", "")) == pytest.approx(tick.value, rel=5e-3, abs=slack) for tick in found)


@pytest.mark.parametrize(
    ("low", "high", "at_most", "labels"),
    [
        (0, 4, 5, "0 1 2 3 4"), (0.5, 3.4, 7, "0.5 1 1.5 2 2.5 3"), (-30, 20, 6, "-30 -20 -10 0 10 20"),
        (0, 2_017_633, 5, "0 1,000,000 2,000,000"), (0, 0.003, 4, "0 0.001 0.002 0.003"), (0, 5e18, 3, "0 2.5e18 5e18"),
    ],
)  # fmt: skip
def test_ticks_stand_at_round_numbers(low, high, at_most, labels):
    assert [tick.label for tick in ticks(scale_of([low, high]), at_most)] == labels.split()


@pytest.mark.parametrize(
    ("high", "at_most", "labels"),
    [
        (1e3, 10, "1 2 5 10 20 50 100 200 500 1,000"), (1e6, 8, "1 10 100 1,000 10,000 100,000 1,000,000"),
        (2, 6, "1 1.5 2"), (1.2, 6, "1 1.05 1.1 1.15 1.2"),
    ],
)  # fmt: skip
def test_a_log_axis_has_ticks_at_powers_of_ten_and_as_many_between_them_as_fit(high, at_most, labels):
    assert [tick.label for tick in ticks(scale_of([1, high], log=True), at_most)] == labels.split()
