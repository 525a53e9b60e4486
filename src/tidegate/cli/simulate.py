"""`tidegate simulate`: what would happen, in hosts and queues that need not exist."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tidegate.cli.options import Duration, Target, shared_options, target_of
from tidegate.cli.render import console
from tidegate.cli.text import printable, to_json
from tidegate.errors import EXIT_INTERRUPTED, UsageError

if TYPE_CHECKING:
    from tidegate.facts.scenario import Scenario
    from tidegate.facts.simulated import Simulated


@click.command()
@click.argument("scenario", required=False, metavar="[SCENARIO]")
@shared_options
@click.option(
    "--from-probe",
    "probed_url",
    is_flag=False,
    flag_value="",
    metavar="[BROKER_URL]",
    help="Simulate the cluster as the probe measured it, in place of a scenario file.",
)
@click.option("--write", "target_file", metavar="FILE", help="Write the scenario to a new file, and end.")
@click.option("--seed", type=click.IntRange(0), help="The seed of chance; the same seed gives the same result.")
@click.option("--duration", "duration_s", type=Duration(), help="Simulate so long.")
@click.option("--runs", type=click.IntRange(1, 10_000), help="Independent runs, for errors that rest on them.")
@click.option("--fluid", is_flag=True, help="Follow the means in place of every message: for fleets of any size.")
@click.option("--chart", "picture", metavar="FILE", help="Write the chart as .svg or .png. Needs tidegate[charts].")
def simulate(
    scenario: str | None,
    as_json: bool,
    verbose: bool,
    probed_url: str | None,
    target_file: str | None,
    picture: str | None,
    **options: Any,
) -> None:
    """Play what would happen to the queues of a SCENARIO file: hosts with slots, tasks, periodic entries and arrivals,
    overlap policies, hosts that die and come back. Says what waits, for how long, how old values get, and whether the
    queues ever clear. Touches no broker, but for reading what the probe measured with --from-probe.

    \b
    tidegate simulate story.toml
    tidegate simulate story.toml --runs 10 --chart depth.svg
    tidegate simulate --from-probe redis://localhost:6379/0 --write measured.toml
    """
    from tidegate.cli.chart import check

    target = target_of(probed_url or None, options)
    if (scenario is None) == (probed_url is None):
        raise UsageError("expected a scenario file, or --from-probe in its place: tidegate simulate story.toml")
    if picture is not None:
        check(picture)
    found = _asked_for(_read(scenario) if scenario is not None else _probed(target), **options)
    if target_file is not None:
        _write(found, target_file)
        return
    answer, interrupted = _played(found)
    _show(answer, picture, as_json=as_json, verbose=verbose)
    if interrupted:
        click.echo("tidegate: interrupted; this is what was simulated until then, and nothing was changed", err=True)
        raise SystemExit(EXIT_INTERRUPTED)


def _read(name: str) -> "Scenario":
    from tidegate.model.simulate.reading import read_scenario

    if "://" in name:
        # Taken for a file, the URL would be shown with its password.
        raise UsageError("a broker's URL stands behind --from-probe: tidegate simulate --from-probe redis://…")
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"cannot read the scenario {printable(name)!r}: {reason}") from None
    return read_scenario(text, printable(Path(name).name))


def _probed(target: Target) -> "Scenario":
    from tidegate.broker.client import connect
    from tidegate.model.simulate.checking import check
    from tidegate.model.simulate.measured import scenario_of
    from tidegate.observe.app import see_app
    from tidegate.planning import Options, ask

    app = see_app(target.app) if target.app is not None else None
    with connect(target.address(), target.timeout_s) as broker:
        found = scenario_of(ask(broker, Options(app=app)))
    check(found, "what was measured")
    return found


def _asked_for(
    scenario: "Scenario", *, seed: int | None, duration_s: float | None, runs: int | None, fluid: bool
) -> "Scenario":
    """The scenario with what the options say in place of its own."""
    from tidegate.model.simulate.checking import check
    from tidegate.model.simulate.reading import with_duration

    run = scenario.run if duration_s is None else with_duration(scenario.run, duration_s)
    run = replace(
        run,
        seed=run.seed if seed is None else seed,
        runs=run.runs if runs is None else runs,
        mode="fluid" if fluid else run.mode,
    )
    changed = replace(scenario, run=run)
    check(changed)
    return changed


def _write(scenario: "Scenario", name: str) -> None:
    from tidegate.model.simulate.writing import write_scenario

    try:
        with Path(name).open("x", encoding="utf-8", errors="replace") as file:
            file.write(write_scenario(scenario))
    except OSError as error:
        raise UsageError(f"cannot write the scenario to {printable(name)!r}: {error.strerror}") from None
    click.echo(f"The scenario is in {printable(name)}: tidegate simulate {printable(name)}", err=True)


def streams(seed: int) -> Callable[[int], Callable[[str], Callable[[], float]]]:
    """Chance for every run and purpose, all from one seed."""
    return lambda number: lambda purpose: random.Random(f"{seed}/{number}/{purpose}").random


def _played(scenario: "Scenario") -> tuple["Simulated", bool]:
    """The answer, and whether Ctrl-C cut it short."""
    from tidegate import __version__
    from tidegate.cli.progress import stopping_early, watching
    from tidegate.model.simulate.simulate import simulate as play
    from tidegate.units import duration

    with watching(f"Simulating {duration(scenario.run.duration_s)}") as bar, stopping_early() as stopped:

        def told(done: float, waiting: int) -> bool:
            bar(done, 1.0, waiting)
            return not stopped()

        answer = play(scenario, streams(scenario.run.seed), __version__, told)
        return answer, stopped() and not answer.complete


def _show(answer: "Simulated", picture: str | None, *, as_json: bool, verbose: bool) -> None:
    from tidegate.cli.chart import draw, save
    from tidegate.cli.simulate_tables import chart_of, show_foot, show_simulated

    chart = chart_of(answer)
    if as_json:
        from tidegate.document import document

        click.echo(to_json(document(answer)))
    else:
        out = console()
        show_simulated(answer, out, verbose=verbose)
        out.print()
        draw(chart, out)
        show_foot(answer, out)
    if picture is not None:
        save(chart, picture)
        click.echo(f"The chart is in {printable(picture)}", err=True)
