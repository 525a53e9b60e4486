"""`tidegate purge`: removes exactly what a filter selects, and keeps the rest in its order."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tidegate.cli.acting import backup_for, removes, run_act
from tidegate.cli.filters import selects
from tidegate.cli.options import Target, reads_queue

if TYPE_CHECKING:
    from tidegate.facts.relief import Filter


@click.command()
@reads_queue
@selects
@removes
def purge(
    target: Target,
    queue: str,
    wanted: "Filter",
    as_json: bool,
    verbose: bool,
    backup: Path | None,
    no_backup: bool,
    revoke: bool,
    max_stall_ms: float,
    yes: bool,
) -> None:
    """Remove from QUEUE the messages for which everything that is given holds; the rest stays in its order, and is worked
    on meanwhile. What goes is written to a backup first. A dry run unless --yes is given.

    \b
    tidegate purge celery --task screen.tasks.flush_cluster_status --older-than 10s
    tidegate purge celery --expired --yes
    """
    from tidegate import relieving

    where = backup_for("purge", queue, backup=backup, no_backup=no_backup, yes=yes)
    run_act(
        f"Purging {queue}" if yes else f"Looking through {queue}",
        target,
        as_json,
        lambda address, how: relieving.purge(address, queue, wanted, how),
        queue=queue,
        revoke=revoke,
        yes=yes,
        backup=where,
        max_stall_ms=max_stall_ms,
    )
