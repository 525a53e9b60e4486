"""The chart of a plan: how fast one entry's queue would grow at every interval, today and with hosts lost."""

from collections.abc import Iterator

from tidegate.cli.chart import Chart, Line, Mark
from tidegate.cli.plan_words import hosts, worst_first
from tidegate.facts.planned import Curve, EntryPlan, Plan
from tidegate.facts.unknown import known
from tidegate.units import duration

#: Where the intervals shown differ by more than this factor, equal ratios take equal room.
_WIDE = 12.0


def chart_of(plan: Plan) -> Chart | None:
    """The chart of the first entry, worst first, that has a curve; None where none has."""
    for entry in worst_first(plan.entries):
        curves = [curve for curve in plan.curves if curve.entry == entry.entry and curve.points]
        if curves:
            return _chart(entry, curves, plan)
    return None


def _chart(entry: EntryPlan, curves: list[Curve], plan: Plan) -> Chart:
    intervals = [point.interval_s for curve in curves for point in curve.points]
    return Chart(
        title=f"{entry.entry}: how fast its queue grows at every interval",
        x_label="interval, s",
        y_label="growth, messages/s",
        lines=[_line(curve, plan) for curve in sorted(curves, key=lambda curve: curve.lost)],
        marks=list(_marks(entry)),
        log_x=max(intervals) > _WIDE * min(intervals) > 0,
    )


def _line(curve: Curve, plan: Plan) -> Line:
    label = f"{hosts(curve.lost, plan)} lost" if curve.lost else "all hosts"
    return Line(label, [point.interval_s for point in curve.points], [point.growth_per_s for point in curve.points])


def _marks(entry: EntryPlan) -> Iterator[Mark]:
    if known(entry.interval_s):
        yield Mark(x=entry.interval_s, label=f"now {duration(entry.interval_s)}")
    if known(entry.edge_interval_s):
        yield Mark(x=entry.edge_interval_s, label=f"edge {duration(entry.edge_interval_s)}")
    if known(entry.min_safe_interval_s):
        safe_s = entry.min_safe_interval_s.estimate
        yield Mark(x=safe_s, label=f"safe {duration(safe_s)}")
