"""`tidegate relief`: the acts on queues, and how each is gone on with or taken back."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from tidegate.cli.acting import agreed, goes_on, run_act
from tidegate.cli.gate import OrderedGroup
from tidegate.cli.options import Target, reads_broker
from tidegate.cli.render import console
from tidegate.cli.text import to_json

if TYPE_CHECKING:
    from tidegate.facts.relief import Relief, Relieved
    from tidegate.relieving import How


@click.group(cls=OrderedGroup)
def relief() -> None:
    """The acts on queues (purge, move, dedupe, …): what was done, what is under way, and how it is ended or taken back."""


@click.command(name="list")
@reads_broker
@click.option("-n", "--number", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many acts.")
def list_(target: Target, as_json: bool, verbose: bool, number: int) -> None:
    """Show the acts, the latest first, and how those are ended that were interrupted. Writes nothing.

    \b
    tidegate relief list
    """
    from tidegate.cli.relief_tables import show_acts
    from tidegate.relieving import acts

    rows = acts(target.address(), number, timeout_s=target.timeout_s)
    if as_json:
        click.echo(to_json([_row(row) for row in rows]))
    else:
        show_acts(rows, console())


@click.command()
@click.argument("act_id", metavar="ID")
@reads_broker
def show(target: Target, as_json: bool, verbose: bool, act_id: str) -> None:
    """Show everything of one act: what was wanted, by whom, how far it is, and where its backup is. Writes nothing.

    \b
    tidegate relief show purge-260923-115342-1f0c
    """
    from tidegate.cli.relief_tables import show_act
    from tidegate.relieving import show as look_up

    row = look_up(target.address(), act_id, timeout_s=target.timeout_s)
    if as_json:
        click.echo(to_json(_row(row)))
    else:
        show_act(row, console())


@click.command()
@click.argument("act_id", metavar="ID")
@reads_broker
@goes_on
def resume(target: Target, as_json: bool, verbose: bool, act_id: str, revoke: bool, yes: bool) -> None:
    """Go on with an act that was interrupted, from where it was left. Shows the act unless --yes is given.

    \b
    tidegate relief resume purge-260923-115342-1f0c --yes
    """
    from tidegate import relieving

    _go_on("Going on with", target, as_json, act_id, relieving.resume, yes=yes, revoke=revoke, back=False)


@click.command()
@click.argument("act_id", metavar="ID")
@reads_broker
@agreed
def rollback(target: Target, as_json: bool, verbose: bool, act_id: str, yes: bool) -> None:
    """Put back, in front of its queue, what an interrupted act took away. Shows the act unless --yes is given.

    \b
    tidegate relief rollback purge-260923-115342-1f0c --yes
    """
    from tidegate import relieving

    _go_on("Taking back", target, as_json, act_id, relieving.rollback, yes=yes)


@click.command()
@click.argument("act_id", metavar="ID")
@reads_broker
@agreed
def undo(target: Target, as_json: bool, verbose: bool, act_id: str, yes: bool) -> None:
    """Put what a finished act removed in front of its queue again, from its backup. Shows the act unless --yes is given.

    \b
    tidegate relief undo purge-260923-115342-1f0c --yes
    """
    from tidegate import relieving

    _go_on("Undoing", target, as_json, act_id, relieving.undo, yes=yes)


def _go_on(
    label: str,
    target: Target,
    as_json: bool,
    act_id: str,
    act: "Callable[[Any, str, How], Relieved]",
    *,
    yes: bool,
    revoke: bool = False,
    back: bool = True,
) -> None:
    from tidegate.cli.relief_tables import DRY, show_act, show_back
    from tidegate.relieving import show as look_up

    row = look_up(target.address(), act_id, timeout_s=target.timeout_s)
    if not yes and not as_json:
        show_act(row, console())
        click.echo(DRY)
        return
    run_act(
        f"{label} {act_id}",
        target,
        as_json,
        lambda address, how: act(address, act_id, how),
        queue=row.queue,
        revoke=revoke,
        show=show_back if back or row.act == "undo" else None,
        yes=yes,
    )


def _row(row: "Relief") -> dict[str, Any]:
    from tidegate.document import document, iso

    shown = dict(document(row))
    return {**shown, **{name: iso(at) for name in ("started_at", "ended_at") if (at := getattr(row, name)) is not None}}


for _command in (list_, show, resume, rollback, undo):
    relief.add_command(_command)
