"""`tidegate lint`: what is wrong with an application's schedule, for CI."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tidegate.cli.doctor import LEVELS, end_by
from tidegate.cli.lint_view import show_lint
from tidegate.cli.options import Duration, Target, reads_broker
from tidegate.cli.render import console
from tidegate.cli.text import to_json
from tidegate.errors import EXIT_CANNOT_LOOK, UsageError

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@reads_broker
@click.option(
    "--fail-on", type=click.Choice(LEVELS), default="warning", show_default=True, help="Exit 1 from this level on."
)
@click.option("--strict", is_flag=True, help="Exit 3 where a check could not look and none failed.")
@click.option(
    "--ignore",
    "ignored",
    metavar="RULE[:ENTRY]",
    multiple=True,
    help="Leave out a rule, everywhere or for one entry (may be repeated).",
)
@click.option(
    "--run-times",
    metavar="FILE",
    type=_FILE,
    help="How long tasks run, in JSON or TOML, instead of what the probe measured.",
)
@click.option(
    "--slots",
    type=click.IntRange(1, 1_000_000),
    help="Slots (processes or threads) of the workers on each host, which consume every queue or those of --consumed.",
)
@click.option(
    "--hosts",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="How many hosts have so many slots; goes with --slots.",
)
@click.option(
    "--pools",
    metavar="FILE",
    type=_FILE,
    help="Workers that consume different queues, in JSON or TOML, instead of --slots.",
)
@click.option(
    "--consumed",
    metavar="QUEUES",
    multiple=True,
    help="Queues that workers consume, as for `celery worker -Q` (may be repeated).",
)
@click.option("--ask-workers", is_flag=True, help="Ask the workers which queues they consume; they answer into Redis.")
@click.option(
    "--since", "since_s", type=Duration(), default="3h", show_default=True, help="How far back measured runs count."
)
@click.option(
    "--utilisation",
    "target_utilisation",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.8,
    show_default=True,
    help="The busy share of the slots up to which an interval is safe.",
)
@click.option(
    "--hosts-lost",
    type=click.IntRange(0, 1000),
    default=0,
    show_default=True,
    help="Hosts that may fail without an interval becoming unsafe; of one lost host it is said anyway.",
)
def lint(target: Target, as_json: bool, verbose: bool, fail_on: str, strict: bool, **options: Any) -> None:
    """Judge the schedule of an application: intervals that the workers can't sustain, messages that never expire, herds
    in one minute, queues nobody consumes, tasks that do not exist. Made for CI: needs no broker, and writes nothing.

    \b
    tidegate lint -A proj
    tidegate lint -A proj --run-times run-times.toml --slots 8 --hosts 2 --consumed celery,mail
    """
    report = run(target, **options)
    if as_json:
        from tidegate.document import document

        click.echo(to_json(document(report)))
    else:
        show_lint(report, console(), verbose=verbose)
    end_by(report.findings, fail_on)
    if strict and any(finding.unknown for finding in report.findings):
        raise SystemExit(EXIT_CANNOT_LOOK)


def run(
    target: Target,
    ignored: Sequence[str],
    run_times: Path | None,
    pools: Path | None,
    consumed: Sequence[str],
    ask_workers: bool,
    **numbers: Any,
) -> Any:
    """The answer; UsageError where an option says nothing that can be used."""
    from functools import partial

    from tidegate.lint import Options, lint_app
    from tidegate.observe.app import see_app, task_queues
    from tidegate.observe.given import read_pools, read_run_times
    from tidegate.observe.workers import ask_workers as ask

    if target.app is None:
        raise UsageError("lint judges an application's schedule: name it with -A, as in: tidegate lint -A proj")
    _check(pools, numbers)
    options = Options(
        run_times=read_run_times(run_times) if run_times is not None else None,
        pools=read_pools(pools) if pools is not None else (),
        consumed=[name for names in consumed for name in names.split(",") if name],
        ask=partial(ask, target.app, min(target.timeout_s, 2.0)) if ask_workers else None,
        ignored=tuple(map(_ignored, ignored)),
        required=target.url is not None,
        **numbers,
    )
    seen = see_app(target.app, target.timeout_s)
    return lint_app(seen, target.address, partial(task_queues, target.app), options, target.timeout_s)


def _check(pools: Path | None, numbers: dict[str, Any]) -> None:
    if pools is not None and numbers["slots"] is not None:
        raise UsageError("--slots and --pools both say what workers there are: give one of them")
    if math.isnan(numbers["target_utilisation"]):
        raise UsageError("--utilisation: expected a number above 0 and at most 1, got nan")
    if numbers["slots"] is None and numbers["hosts"] != 1:
        raise UsageError("--hosts says how many hosts have the slots of --slots: give both")


def _ignored(text: str) -> Any:
    from tidegate.facts.lint import Ignored
    from tidegate.model.lint.table import LINT_RULES

    rule, colon, entry = text.partition(":")
    known = [each.id for each in LINT_RULES]
    if rule not in known or (colon and not entry):
        raise UsageError(f"--ignore {text}: expected a rule from {known[0]} to {known[-1]}, or as in {known[3]}:ENTRY")
    return Ignored(rule=rule, entry=entry or None)
