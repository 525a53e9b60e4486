"""`tidegate restore`: a backup, put back into a queue."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from tidegate.cli.acting import puts_back
from tidegate.cli.options import Number, Target, reads_broker, terminating
from tidegate.cli.render import console, safe
from tidegate.cli.table import Column, print_table
from tidegate.cli.text import to_json
from tidegate.errors import EXIT_INTERRUPTED, UsageError
from tidegate.facts.backups import Restored
from tidegate.facts.relief import State
from tidegate.units import count, duration, plural, size


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@reads_broker
@click.option("-Q", "--queue", "to", help="Put them into this queue, instead of where they came from.")
@click.option("--only", "source", default="", metavar="QUEUE", help="Of a file with several queues, this one's.")
@click.option("--rate", "rate_per_s", type=Number(0, min_open=True), help="So many messages a second at most.")
@click.option("--max-depth", type=click.IntRange(1), help="Wait while so many messages or more are in the queue.")
@click.option("--skip-expired", is_flag=True, help="Leave out messages whose expiry has passed.")
@click.option("--salvage", is_flag=True, help="Read what is whole in a damaged file.")
@puts_back
def restore(target: Target, file: Path, yes: bool, as_json: bool, verbose: bool, **wish: Any) -> None:
    """Put the messages of the backup FILE behind what waits in their queue, oldest first, priorities and ETA kept.

    A dry run unless --yes is given. What is in the queue or with a worker already is not put in twice. Interrupted at
    any moment, `tidegate relief resume` goes on without losing or doubling one.

    \b
    tidegate restore celery.tidegate redis://localhost:6379/0
    tidegate restore celery.tidegate --rate 200 --max-depth 10000 --yes
    """
    if wish["to"] == "":
        raise UsageError("--queue '' names no queue: leave it out, or name one (is a variable unset?)")
    found = _run(target, file, yes, {**wish, "to": wish["to"] or ""})
    if as_json:
        from tidegate.document import document

        click.echo(to_json(document(found)))
    else:
        _show(found)
    if found.state is State.INTERRUPTED:
        raise SystemExit(EXIT_INTERRUPTED)


def _run(target: Target, file: Path, yes: bool, wish: dict[str, Any]) -> Restored:
    from tidegate import relieving
    from tidegate.cli.modest import giving_way
    from tidegate.cli.progress import counting, stopping_early

    # A dry run has nothing to bring to an end: there Ctrl-C simply stops it.
    stopping = stopping_early() if yes else nullcontext(lambda: False)
    label = f"{'Restoring' if yes else 'Reading'} {file.name}"
    try:
        with giving_way(), terminating(), counting(label) as progress, stopping as stop:
            how = relieving.How(yes=yes, timeout_s=target.timeout_s, progress=progress)
            return relieving.restore(target.address(), file, relieving.Wish(**wish), how, stop=stop)
    except KeyboardInterrupt:
        if not yes:
            raise
        click.echo("tidegate: interrupted; tidegate relief list says how to go on", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from None


def _show(found: Restored) -> None:
    out = console()
    for note in found.notes:
        out.print(safe(note, "yellow"))
    if found.dry_run:
        out.print(safe(f"{plural(found.restored, 'message')} would go back to {found.queue}{_rest(found)}", "bold"))
        if found.by_task:
            print_table(out, _COLUMNS, found.by_task)
        out.print(safe("A dry run: nothing was changed. --yes does it.", "dim"))
        return
    out.print(
        safe(
            f"{plural(found.restored, 'message')} of {count(found.messages)} put back to {found.queue}"
            f"{_rest(found)} in {duration(found.elapsed_s)} ({found.id})",
            "bold",
        )
    )
    if found.state is State.INTERRUPTED:
        click.echo(
            f"tidegate: interrupted; {plural(found.left, 'message')} left: tidegate relief resume {found.id} --yes",
            err=True,
        )


def _rest(found: Restored) -> str:
    parts = [
        f"{count(found.there)} there already" if found.there else "",
        f"{count(found.expired)} expired and left out" if found.expired else "",
    ]
    return "".join(f", {part}" for part in parts if part)


_COLUMNS = (
    Column("task", lambda row: safe(row.name), justify="left"),
    Column("messages", lambda row: safe(count(row.count))),
    Column("size", lambda row: safe(size(row.bytes))),
)
