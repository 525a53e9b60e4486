"""`tidegate gate`: what the gate bounds, holds back and counts, and what it decided."""

from dataclasses import replace
from typing import Any

import click
from click_didyoumean import DYMGroup

from tidegate.cli.doctor import LEVELS, end_by, options_of, watched
from tidegate.cli.options import Duration, Target, finds_queues, reads_broker
from tidegate.cli.render import console
from tidegate.cli.text import to_json


class OrderedGroup(DYMGroup):  # type: ignore[misc]
    """A group that names the nearest command for a misspelt one, with its commands in the order of their use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands as they were added."""
        return list(self.commands)


@click.group(cls=OrderedGroup)
def gate() -> None:
    """What the gate bounds, holds back and counts, and what it decided. Writes nothing."""


@click.command()
@reads_broker
@click.option(
    "--window",
    "window_s",
    type=Duration(),
    default="3",
    show_default=True,
    help="Seconds to listen for workers, and to see what is counted meanwhile.",
)
@finds_queues
@click.option(
    "--fail-on", type=click.Choice(LEVELS), default="never", show_default=True, help="Exit 1 from this level on."
)
def status(target: Target, as_json: bool, verbose: bool, fail_on: str, **options: Any) -> None:
    """Show every bound with what waits, the marks and firings that hold runs back, what was refused, dropped and skipped,
    whether the gate opened and why, and which workers have it. Writes nothing.

    The bounds stand in the application's settings: name it with -A.

    \b
    tidegate gate status -A proj
    """
    from tidegate.cli.gate_tables import show_status

    found = _looked(target, **options)
    if as_json:
        from tidegate.document import document

        click.echo(to_json(document(found)))
    else:
        show_status(found, console(), verbose=verbose)
    end_by(found.findings, fail_on)


def _looked(target: Target, **options: Any) -> Any:
    from tidegate.gating import status_at

    return watched(status_at, target, replace(options_of(target, ask_workers=False, **options), censuses=False))


@click.command()
@reads_broker
@click.option(
    "-n", "--number", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many decisions."
)
def journal(target: Target, as_json: bool, verbose: bool, number: int) -> None:
    """Show what the gate decided last and what operators ordered of the schedule, newest first: which message or entry, which
    queue, and why. Writes nothing.

    \b
    tidegate gate journal redis://localhost:6379/0 -n 3
    """
    from tidegate.cli.gate_tables import show_journal
    from tidegate.errors import CannotLook
    from tidegate.facts.unknown import known
    from tidegate.gating import journal_at

    entries = journal_at(target.address(), number, timeout_s=target.timeout_s)
    if not known(entries):
        raise CannotLook(f"the journal can't be read: {entries.why}")
    if as_json:
        from tidegate.document import document

        click.echo(to_json(document(entries)))
    else:
        show_journal(entries, console())


gate.add_command(status)
gate.add_command(journal)
