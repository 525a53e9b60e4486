"""`tidegate doctor`: one look, explained."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tidegate.cli.options import Duration, Target, finds_queues, reads_broker
from tidegate.cli.render import console, show_diagnosis
from tidegate.cli.text import to_json
from tidegate.errors import EXIT_FINDING

if TYPE_CHECKING:
    from tidegate.facts.diagnosis import Finding
    from tidegate.facts.gated import GateSettings
    from tidegate.observe.look import Options

Seen = TypeVar("Seen")
LEVELS = ("info", "warning", "critical", "never")


@click.command()
@reads_broker
@click.option(
    "--window",
    "window_s",
    type=Duration(),
    default="10",
    envvar="TIDEGATE_WINDOW",
    show_envvar=True,
    show_default=True,
    help="Seconds to watch the flow for; longer sees slower trends.",
)
@finds_queues
@click.option(
    "--ask-workers", is_flag=True, help="Ask the workers for slots and queues; they answer into Redis. Needs -A."
)
@click.option(
    "--fail-on", type=click.Choice(LEVELS), default="critical", show_default=True, help="Exit 1 from this level on."
)
def doctor(target: Target, as_json: bool, verbose: bool, fail_on: str, **options: Any) -> None:
    """Look at the broker for a few seconds and say what is in its queues, how fast it comes and goes, whether it will
    clear, what interval the workers could sustain, and where the memory goes. Writes nothing.

    \b
    tidegate doctor redis://localhost:6379/0
    tidegate doctor -A proj --window 30
    """
    diagnosis = run(target, **options)
    if as_json:
        from tidegate.document import document

        click.echo(to_json(document(diagnosis)))
    else:
        show_diagnosis(diagnosis, console(), verbose=verbose)
    end_by(diagnosis.findings, fail_on)


def end_by(findings: "Iterable[Finding]", fail_on: str) -> None:
    """Ends the command with 1 where a finding is of that level or above."""
    from tidegate.facts.diagnosis import Level

    if fail_on != "never" and any(finding.level >= Level[fail_on.upper()] for finding in findings):
        raise SystemExit(EXIT_FINDING)


def options_of(
    target: Target, *, window_s: float, queues: tuple[str, ...], max_keys: int, ask_workers: bool
) -> "Options":
    """What to look at, from the options of the command and what the application says of itself."""
    from tidegate.act.beat.rules import rules_of
    from tidegate.errors import UsageError
    from tidegate.observe.app import see_app
    from tidegate.observe.look import Options
    from tidegate.observe.workers import ask_workers as ask
    from tidegate.scheduling import every_entry

    if ask_workers and target.app is None:
        raise UsageError("--ask-workers asks through the application: name it with -A")
    options = Options(
        window_s=window_s,
        queues=queues,
        at_most_keys=max_keys,
        app=see_app(target.app, target.timeout_s) if target.app is not None else None,
        ask=(lambda: ask(target.app, min(target.timeout_s, 2.0))) if ask_workers else None,
    )
    if target.app is None or options.app is None:
        return options
    return replace(options, gate=gate_settings(target.app), rules=rules_of(target.app, every_entry(options.app)))


def gate_settings(app: Any) -> "GateSettings":
    """What the application's settings say to the gate; raises UsageError where they are wrong."""
    from tidegate.act.gate.install import is_installed
    from tidegate.act.gate.settings import policies
    from tidegate.facts.gated import GateSettings

    said = policies(app)
    return GateSettings(on=said.on and is_installed(app), bound_of=said.bound_of, ceiling=said.ceiling)


def run(target: Target, **options: Any) -> Any:
    """The diagnosis."""
    from tidegate.diagnose import diagnose_at

    return watched(diagnose_at, target, options_of(target, **options))


def watched(look: "Callable[..., Seen]", target: Target, wanted: "Options") -> "Seen":
    """What a look that lasts a window comes to, with a progress bar on stderr meanwhile."""
    from tidegate.cli.progress import watching

    with watching(f"Watching for {wanted.window_s:g} s") as progress:
        return look(target.address(), wanted, timeout_s=target.timeout_s, progress=progress)
