"""Charts as files: every label in them, the same bytes every time, and a file that can't be written refused at once."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

from faces.charts import GROWTH, WITHOUT_MATPLOTLIB, named
from tidegate.cli.chart import check, save
from tidegate.cli.text import printable
from tidegate.errors import UsageError


def python(code, path):
    """What the code prints in an interpreter of its own."""
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def texts_of(path):
    return ["".join(node.itertext()) for node in ElementTree.parse(path).iter() if node.tag.endswith("}text")]


def test_an_svg_holds_every_label_as_text_and_is_the_same_every_time(tmp_path):
    first, second = tmp_path / "first.svg", tmp_path / "second.SVG"
    save(GROWTH, first)
    save(GROWTH, second)
    drawn = texts_of(first)

    assert first.read_bytes() == second.read_bytes()
    assert {GROWTH.title, GROWTH.x_label, GROWTH.y_label, "today", "1 of 2 hosts lost", "0.5", "-20"} <= set(drawn)
    assert all(mark.label in drawn for mark in GROWTH.marks)
    assert b"<dc:date>" not in first.read_bytes()


def test_a_png_is_one_and_of_the_size_said(tmp_path):
    save(GROWTH, tmp_path / "chart.png")
    content = (tmp_path / "chart.png").read_bytes()

    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert (int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")) == (1080, 600)


@pytest.mark.parametrize(
    "hostile", ["\x1b[31mred", "a\nb", "\u202eabc", "\x00", "\ud800", "$x_$", "$\\frac", "_name", '<&>"', "]]>", "漢字", "-->"]
)  # fmt: skip
def test_names_of_others_do_not_break_a_picture(hostile, tmp_path):
    save(named(hostile), tmp_path / "chart.svg")
    save(named(hostile), tmp_path / "chart.png")

    assert sum(printable(hostile) in text for text in texts_of(tmp_path / "chart.svg")) == 6


UNTOUCHED = """
import sys, matplotlib
from tidegate.cli.chart import Chart, Line, save
def settings():
    # Asked for by name, the backend would be chosen now, and pyplot loaded.
    return {name: value for name, value in matplotlib.rcParams.copy().items() if name != "backend"}
before = settings()
save(Chart("", "", "", [Line("a", [0, 1], [0, 1])]), sys.argv[1])
print("matplotlib.pyplot" in sys.modules, settings() == before)
"""


def test_settings_of_matplotlib_are_left_as_they_were_and_pyplot_alone(tmp_path):
    assert python(UNTOUCHED, tmp_path / "chart.svg") == "False True\n"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("chart.pdf", "ends in .svg or .png"), ("chart", "ends in .svg or .png"), ("there.svg", "it is a directory"),
        ("nowhere/chart.svg", "there is no directory"), ("x" * 300 + ".svg", "too long"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_written_is_refused_before_any_work(tmp_path, name, problem):
    (tmp_path / "there.svg").mkdir()

    with pytest.raises(UsageError, match=re.escape(problem)):
        check(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["there.svg"]


def test_a_disk_that_refuses_only_when_it_is_written_to_is_said_in_one_line(tmp_path):
    (tmp_path / "chart.svg").symlink_to("/dev/full")

    with pytest.raises(UsageError, match=r"cannot write the chart to '.*chart\.svg': No space left"):
        save(GROWTH, tmp_path / "chart.svg")


CHECKED = """
from tidegate.cli.chart import check
from tidegate.errors import UsageError
try:
    check(sys.argv[1])
except UsageError as error:
    print(error)
"""


def test_without_matplotlib_the_line_that_installs_it_is_said(tmp_path):
    said = python(WITHOUT_MATPLOTLIB + CHECKED, tmp_path / "chart.svg")

    assert said.startswith("a chart as a file needs the extra: pip install 'tidegate[charts]'")
    assert said.count("\n") == 1
