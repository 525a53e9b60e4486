"""`tidegate backup`: a queue, copied to a file while it is in use."""

from pathlib import Path

import click

from tidegate.cli.options import Target, reads_broker
from tidegate.cli.render import console, safe
from tidegate.cli.text import to_json
from tidegate.errors import UsageError
from tidegate.facts.backups import BackedUp
from tidegate.units import duration, plural, significant, size


@click.command()
@click.argument("queue")
@click.argument("file", type=click.Path(path_type=Path))
@reads_broker
@click.option("--zstd", is_flag=True, help="Compress with zstd: smaller, and eight times as fast (needs zstandard).")
def backup(target: Target, queue: str, file: Path, zstd: bool, as_json: bool, verbose: bool) -> None:
    """Copy what waits in QUEUE, of all priorities, to the new FILE. Writes nothing to the broker.

    The queue stays in use: the file holds what was there at the start and still was when its turn came. What workers
    hold at the moment is not in it.

    \b
    tidegate backup celery celery.tidegate redis://localhost:6379/0
    """
    from tidegate import relieving
    from tidegate.cli.modest import giving_way
    from tidegate.cli.progress import counting

    must_be_queue_and_file(queue, file)
    with giving_way(), counting(f"Copying {queue}") as progress:
        done = relieving.backup(target.address(), queue, file, zstd=zstd, timeout_s=target.timeout_s, progress=progress)
    if as_json:
        from tidegate.document import document

        click.echo(to_json(document(done)))
    else:
        _show(done)


def must_be_queue_and_file(queue: str, file: Path) -> None:
    """Raises UsageError where a broker URL stands in their place, before it is shown with its password."""
    if "://" in queue or ":/" in str(file):
        raise UsageError(
            "the broker URL stands last, as in: tidegate backup celery celery.tidegate redis://localhost:6379/0"
        )


def _show(done: BackedUp) -> None:
    out = console()
    smaller = f", {significant(done.bytes / done.file_bytes, 3)} times smaller" if done.messages else ""
    out.print(
        safe(
            f"{done.queue}: {plural(done.messages, 'message')} ({size(done.bytes)}) copied to {done.file} "
            f"({size(done.file_bytes)}{smaller}) in {duration(done.elapsed_s)}",
            "bold",
        )
    )
    out.print(safe(f"Look into it: tidegate inspect {done.file}. Put it back: tidegate restore {done.file}", "dim"))
