"""`tidegate plan`: the interval that every periodic entry can have."""

import difflib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from tidegate.cli.options import Duration, Target, reads_broker
from tidegate.cli.render import console
from tidegate.cli.text import printable, to_json
from tidegate.errors import EXIT_FINDING, UsageError

if TYPE_CHECKING:
    from tidegate.facts.planned import Plan


class Weight(click.ParamType):  # type: ignore[type-arg]
    """`ENTRY=2.5`: a name, which may hold `=` itself, and a number above 0."""

    name = "entry=w"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """The name and the number; the usual usage error where it is something else."""
        if isinstance(value, tuple):
            return value
        entry, _, number = str(value).rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not entry or not 0 < weight < math.inf:
            self.fail(f"expected an entry and a number above 0 such as refresh=2, got {value!r}", param, ctx)
        return entry, weight


def _number(ctx: click.Context, param: click.Parameter, value: float) -> float:
    # "nan" is a float to Python, and within every range.
    if math.isnan(value):
        raise click.BadParameter("expected a number above 0 and at most 1, got nan", ctx, param)
    return value


@click.command()
@reads_broker
@click.option(
    "--hosts-lost", default=1, show_default=True, type=click.IntRange(0, 100), help="Plan for up to so many lost hosts."
)
@click.option(
    "--utilisation",
    default=0.8,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True),
    callback=_number,
    help="The busy share of the slots up to which an interval is safe.",
)
@click.option(
    "--wait-target", "wait_target_s", type=Duration(), help="Count the slots for a mean wait of at most this."
)
@click.option(
    "--weight",
    "weights",
    type=Weight(),
    multiple=True,
    metavar="ENTRY=W",
    help="How much an entry's timeliness counts in the best split, 1 where not named (may be repeated).",
)
@click.option(
    "--since",
    "since_s",
    type=Duration(),
    default="3h",
    show_default=True,
    help="Rest on what was measured in this time until now.",
)
@click.option("--entry", "names", metavar="NAME", multiple=True, help="This entry only (may be repeated).")
@click.option("--chart", "picture", metavar="FILE", help="Write the chart as .svg or .png. Needs tidegate[charts].")
@click.option(
    "--fail-on",
    type=click.Choice(("unsafe", "never")),
    default="never",
    show_default=True,
    help="Exit 1 where an interval is not safe.",
)
def plan(
    target: Target,
    as_json: bool,
    verbose: bool,
    names: Sequence[str],
    picture: str | None,
    fail_on: str,
    **options: Any,
) -> None:
    """Say which interval every periodic entry can have, from what the probe measured in the workers: the edge, the
    shortest safe one with its uncertainty, with hosts lost, and what is the limit. Writes nothing to the broker.

    Needs the probe: `tidegate.install(app)` in the application. With -A the present intervals are known too.

    \b
    tidegate plan -A proj
    tidegate plan -A proj --hosts-lost 2 --entry refresh --chart refresh.svg
    """
    from tidegate.cli.chart import check
    from tidegate.cli.plan_chart import chart_of

    if picture is not None:
        check(picture)
    answer = only(_planned(target, **options), names)
    chart = chart_of(answer)
    if as_json:
        from tidegate.document import document

        click.echo(to_json(document(answer)))
    else:
        show_answer(answer, chart, verbose=verbose)
    if picture is not None:
        _save(chart, picture)
    if fail_on == "unsafe" and any(entry.safe is False for entry in answer.entries):
        raise SystemExit(EXIT_FINDING)


def _planned(target: Target, utilisation: float, weights: Sequence[tuple[str, float]], **rest: Any) -> "Plan":
    from tidegate.act.beat.rules import rules_of
    from tidegate.facts.unknown import Unknown
    from tidegate.observe.app import see_app
    from tidegate.planning import Options, plan_at
    from tidegate.scheduling import every_entry

    app = see_app(target.app) if target.app is not None else None
    options = Options(
        app=app,
        rules=Unknown("no application was named") if app is None else rules_of(target.app, every_entry(app)),
        target_utilisation=utilisation,
        weights=dict(weights),
        **rest,
    )
    return plan_at(target.address(), options, timeout_s=target.timeout_s)


def only(plan: "Plan", names: Sequence[str]) -> "Plan":
    """The plan with the entries of these names and their curves; the whole of it where none is named.

    Raises UsageError for a name that no entry has.
    """
    there = [entry.entry for entry in plan.entries]
    for name in names:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(there[:5]) or 'none'}"
            raise UsageError(f"no periodic entry {name!r} to show: {hint}")
    if not names:
        return plan
    return replace(
        plan,
        entries=tuple(entry for entry in plan.entries if entry.entry in names),
        curves=tuple(curve for curve in plan.curves if curve.entry in names),
    )


def show_answer(answer: "Plan", chart: Any, *, verbose: bool = False) -> None:
    """The plan, its chart where there is one, and what it rests on, on stdout."""
    from tidegate.cli.chart import draw
    from tidegate.cli.plan_tables import show_foot, show_plan

    out = console()
    show_plan(answer, out, verbose=verbose)
    if chart is not None:
        out.print()
        draw(chart, out)
    show_foot(answer, out, verbose=verbose)


def _save(chart: Any, picture: str) -> None:
    from tidegate.cli.chart import save

    if chart is None:
        click.echo("tidegate: no chart was written: no interval of an entry can be planned yet", err=True)
        return
    save(chart, picture)
    click.echo(f"The chart is in {printable(picture)}", err=True)
