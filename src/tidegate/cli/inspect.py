"""`tidegate inspect`: what a backup holds, without any broker."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from tidegate.cli.census import show_census
from tidegate.cli.options import ends_well
from tidegate.cli.peek import message_row, show_messages
from tidegate.cli.render import console, safe
from tidegate.cli.text import to_json
from tidegate.facts.backups import Inspected
from tidegate.units import count, plural, size


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-n", "--number", default=3, show_default=True, type=click.IntRange(0, 10_000), help="How many messages to show."
)
@click.option("--newest", is_flag=True, help="The newest messages, instead of those that leave next.")
@click.option("--salvage", is_flag=True, help="Read what is whole in a damaged file.")
@click.option("--json", "as_json", is_flag=True, help="The machine output, on stdout.")
@click.option("-v", "--verbose", is_flag=True, help="A traceback where something fails.")
@ends_well
def inspect(file: Path, number: int, newest: bool, salvage: bool, as_json: bool, verbose: bool) -> None:
    """Show what the backup FILE holds: where it comes from, a census by task, and some of its messages, decoded.

    Every byte of the file is verified. Bodies are never unpickled.

    \b
    tidegate inspect celery.tidegate
    """
    from tidegate import relieving
    from tidegate.cli.progress import counting

    with counting(f"Reading {file.name}") as progress:
        found = relieving.inspect(file, number, newest=newest, salvage=salvage, progress=progress)
    if as_json:
        click.echo(to_json(_row(found)))
    else:
        _show(found, console())


def _row(found: Inspected) -> dict[str, Any]:
    from tidegate.document import document, iso

    return {
        **document(found),
        "created_at": iso(found.created_at),
        "shown": [message_row(message) for message in found.shown],
    }


def _show(found: Inspected, out: Console) -> None:
    from tidegate.document import iso

    by = f"{found.act} {found.id}".strip() or "an unknown act"
    out.print(safe(f"{found.file}: format {found.version}, {size(found.file_bytes)}, {_end(found)}", "bold"))
    out.print(safe(f"written by {by} at {iso(found.created_at)} from {found.url or 'an unknown server'}"))
    if found.wanted not in ("", "{}"):
        out.print(safe(f"what was selected: {found.wanted}"))
    for damage in found.damage:
        out.print(safe(f"damaged at byte {count(damage.offset)}: {damage.why}", "yellow"))
    if len(found.by_priority) > 1:
        steps = ", ".join(f"{plural(many, 'message')} of step {step}" for step, many in found.by_priority.items())
        out.print(safe(f"by priority: {steps}"))
    out.print()
    show_census(found.census)
    if found.shown:
        out.print()
        show_messages(found.shown)


def _end(found: Inspected) -> str:
    return "whole" if found.sealed and not found.damage else "not whole"
