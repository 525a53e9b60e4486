"""`tidegate census`: what a queue consists of."""

import click
from rich.text import Text

from tidegate.cli.options import Target, reads_queue
from tidegate.cli.render import console, safe
from tidegate.cli.table import Column, print_table
from tidegate.cli.text import to_json
from tidegate.facts.seen import CensusSeen, TaskCount
from tidegate.units import count, percent, plural, significant, size


@click.command()
@reads_queue
@click.option(
    "--sample/--exact", "sampled", default=True, help="Estimate from a sample (default), or count every message."
)
def census(target: Target, queue: str, sampled: bool, as_json: bool, verbose: bool) -> None:
    """Count the messages of QUEUE by task: share, weight, expired ones, repeats of one another. Writes nothing.

    \b
    tidegate census celery redis://localhost:6379/0
    tidegate census celery --exact
    """
    from tidegate.broker.client import connect
    from tidegate.cli.progress import counting
    from tidegate.observe.census import exact_census
    from tidegate.observe.peek import places_of
    from tidegate.observe.sampling import sample_census

    with connect(target.address(), target.timeout_s) as broker:
        keys = places_of(broker, queue)
        if sampled:
            result = sample_census(broker, queue, keys)
        else:
            with counting(f"Counting {queue}") as progress:
                result = exact_census(broker, queue, keys, progress)
    if as_json:
        from tidegate.document import document

        click.echo(to_json(document(result)))
    else:
        show_census(result)


def show_census(result: CensusSeen) -> None:
    """The census as a table, with how it was counted."""
    out = console()
    how = "counted exactly" if result.exact else f"estimated from {count(result.looked_at)} ({result.reach})"
    out.print(safe(f"{result.queue}: {plural(result.messages, 'message')}, {how}", "bold"))
    print_table(out, _columns(result), result.by_task)
    if not result.exact:
        longest = significant(result.longest_command_s * 1000, 2)
        out.print(safe(f"The longest command took {longest} ms. Read only.", "dim"))
    if result.undecodable:
        out.print(safe(f"undecodable: {count(result.undecodable)}", "yellow"))


def _columns(result: CensusSeen) -> tuple[Column, ...]:
    return (
        Column("task", lambda row: safe(row.name), justify="left"),
        Column("messages", lambda row: Text(count(row.count))),
        Column("share", lambda row: Text(percent(row.share) + _error(row, result))),
        Column("memory", lambda row: Text(size(row.bytes)), expendable=1),
        Column("expired", lambda row: Text(count(row.expired)), expendable=2),
        Column("repeats", lambda row: Text(count(row.duplicates)), expendable=3),
    )


def _error(row: TaskCount, result: CensusSeen) -> str:
    return "" if result.exact else f" ± {significant(row.share_error * 100, 2)}"
