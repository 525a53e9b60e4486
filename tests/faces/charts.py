"""Charts to be drawn in tests."""

from tidegate.cli.chart import Chart, Line, Mark

SIMPLE = Chart(
    "refresh", "interval, s", "growth, messages/s",
    [Line("today", [0.0, 1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0, 0.0])], [Mark(x=1.0, label="now 1 s")],
)  # fmt: skip
INTERVALS = [0.5 + step / 20 for step in range(60)]
GROWTH = Chart(
    "refresh: growth of its queue", "interval, s", "growth, messages/s",
    [
        Line("today", INTERVALS, [20 / interval - 20 / 1.2 for interval in INTERVALS]),
        Line("1 of 2 hosts lost", INTERVALS, [20 / interval - 10 / 1.2 for interval in INTERVALS]),
    ],
    [
        Mark(x=1.0, label="now 1 s"), Mark(x=1.2, label="edge 1.2 s"), Mark(x=1.5, label="safe 1.5 s"),
        Mark(y=0.0, label="neither grows nor shrinks"),
    ],
)  # fmt: skip


def named(name):
    """A chart in which everything has that name."""
    return Chart(
        name, name, name, [Line(name, [0.0, 1.0], [0.0, 1.0])], [Mark(x=0.5, label=name), Mark(y=0.5, label=name)]
    )


#: Makes an interpreter one in which the extra is not installed.
WITHOUT_MATPLOTLIB = """
import sys
class Away:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "matplotlib":
            raise ImportError("No module named matplotlib")
sys.meta_path.insert(0, Away())
"""
