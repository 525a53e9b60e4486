"""`tidegate drain-newest`: for a while the newest messages are worked on first."""

import signal

import click

from tidegate.cli.acting import agreed
from tidegate.cli.options import Duration, Target, reads_queue
from tidegate.cli.render import console
from tidegate.cli.text import to_json
from tidegate.errors import UsageError

_LONGEST_S = 7 * 86400.0


@click.command(name="drain-newest")
@reads_queue
@click.option("--for", "for_s", type=Duration(), default="10m", show_default=True, help="For how long.")
@agreed
def drain_newest(target: Target, queue: str, as_json: bool, verbose: bool, for_s: float, yes: bool) -> None:
    """Let workers take the newest messages of QUEUE first for a while: in an overload whoever came last still gets an answer
    in time, where otherwise nobody would. Nothing is removed; at the end, or with Ctrl-C, all wait in their order again.
    A dry run unless --yes is given.

    \b
    tidegate drain-newest celery --for 10m --yes
    """
    from tidegate import relieving
    from tidegate.cli.progress import stopping_early, watching
    from tidegate.cli.relief_tables import show_turned
    from tidegate.document import document

    if not 0 < for_s <= _LONGEST_S:
        raise UsageError(f"--for is how long it lasts: expected more than 0 s and at most 7 days, got {for_s:g} s")
    label = f"Newest first in {queue} (Ctrl-C ends it)"
    with watching(label) as watch, stopping_early(signal.SIGTERM) as stopped:
        how = relieving.How(timeout_s=target.timeout_s, yes=yes)
        done = relieving.drain_newest(target.address(), queue, for_s, how, watch=watch, stopped=stopped)
    if as_json:
        click.echo(to_json(document(done)))
    else:
        show_turned(done, console())
