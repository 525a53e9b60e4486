"""`tidegate dedupe`: leaves one message of each task and arguments."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from tidegate.cli.acting import backup_for, removes, run_act
from tidegate.cli.filters import selects_within
from tidegate.cli.options import Target, reads_queue

if TYPE_CHECKING:
    from tidegate.facts.relief import Filter


@click.command()
@reads_queue
@click.option(
    "--keep", type=click.Choice(["oldest", "newest"]), default="oldest", show_default=True, help="Which one stays."
)
@selects_within
@removes
def dedupe(
    target: Target,
    queue: str,
    keep: Literal["oldest", "newest"],
    wanted: "Filter",
    as_json: bool,
    verbose: bool,
    backup: Path | None,
    no_backup: bool,
    revoke: bool,
    max_stall_ms: float,
    yes: bool,
) -> None:
    """Remove from QUEUE what repeats the task and the arguments of another message; of those that are selected where
    something is given. What goes is written to a backup first. A dry run unless --yes is given.

    \b
    tidegate dedupe celery
    tidegate dedupe celery --keep newest --task 'screen.tasks.*' --yes
    """
    from tidegate import relieving

    where = backup_for("dedupe", queue, backup=backup, no_backup=no_backup, yes=yes)
    run_act(
        f"Removing repeats from {queue}" if yes else f"Looking through {queue}",
        target,
        as_json,
        lambda address, how: relieving.dedupe(address, queue, keep, wanted, how),
        queue=queue,
        revoke=revoke,
        yes=yes,
        backup=where,
        max_stall_ms=max_stall_ms,
    )
