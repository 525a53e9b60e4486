"""`tidegate queues`: every queue in a line."""

from typing import Any

import click

from tidegate.cli.doctor import run
from tidegate.cli.options import Duration, Target, finds_queues, reads_broker
from tidegate.cli.render import console, show_queues
from tidegate.cli.text import to_json


@click.command()
@reads_broker
@click.option(
    "--window", "window_s", type=Duration(), default="3", show_default=True, help="Seconds to watch the flow for."
)
@finds_queues
def queues(target: Target, as_json: bool, verbose: bool, **options: Any) -> None:
    """Every queue: state, depth, what workers hold, how fast it comes and goes, its age and weight. Writes nothing.

    \b
    tidegate queues redis://localhost:6379/0
    """
    diagnosis = run(target, ask_workers=False, **options)
    if as_json:
        from tidegate.document import document

        click.echo(to_json(document(diagnosis.queues)))
    else:
        show_queues(diagnosis.queues, console())
