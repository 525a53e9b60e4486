"""`tidegate move`: what a filter selects goes to another queue, in its order."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tidegate.cli.acting import moves, run_act
from tidegate.cli.filters import selects
from tidegate.cli.options import Target, reads_queue

if TYPE_CHECKING:
    from tidegate.facts.relief import Filter


@click.command()
@reads_queue
@click.option("--to", metavar="OTHER", required=True, help="The queue that takes them; it needs workers of its own.")
@selects
@moves
def move(
    target: Target,
    queue: str,
    to: str,
    wanted: "Filter",
    as_json: bool,
    verbose: bool,
    backup: Path | None,
    max_stall_ms: float,
    yes: bool,
) -> None:
    """Move from QUEUE to another queue the messages for which everything that is given holds, in their order and with their
    priorities, so that the others don't wait behind them. A dry run unless --yes is given.

    \b
    tidegate move celery --to backlog --older-than 10m
    celery -A proj worker -Q backlog
    """
    from tidegate import relieving

    run_act(
        f"Moving from {queue} to {to}" if yes else f"Looking through {queue}",
        target,
        as_json,
        lambda address, how: relieving.move(address, queue, wanted, to, how),
        queue=queue,
        yes=yes,
        backup=backup,
        max_stall_ms=max_stall_ms,
    )
