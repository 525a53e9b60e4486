"""`tidegate unacked`: what workers hold, and what dead ones hold put back into its queues."""

from typing import Any

import click

from tidegate.cli.gate import OrderedGroup
from tidegate.cli.options import Target, reads_broker
from tidegate.cli.render import console
from tidegate.cli.text import printable, to_json
from tidegate.units import count, plural


@click.group(cls=OrderedGroup)
def unacked() -> None:
    """What workers have taken and not acknowledged; and what dead workers hold, put back at once."""


@click.command(name="list")
@reads_broker
@click.option("-Q", "--queue", help="Of this queue only.")
@click.option(
    "-n",
    "--number",
    default=100,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="How many, the oldest first.",
)
def list_(target: Target, as_json: bool, verbose: bool, queue: str | None, number: int) -> None:
    """List what workers hold: task, id, queue, since when, until when deferred, and by whom where that is recorded (for
    workers with the gate). Writes nothing.

    \b
    tidegate unacked list redis://localhost:6379/0 -Q celery
    """
    from tidegate.cli.unacked_tables import show_held
    from tidegate.returning import held_at

    found = held_at(target.address(), queue, number, timeout_s=target.timeout_s)
    if as_json:
        from tidegate.document import document

        click.echo(to_json(document(found.messages)))
    else:
        show_held(found, console())


@click.command(name="put-back")
@reads_broker
@click.option("--worker", metavar="NODE", help="What this worker holds, by its node name, as in celery@host.")
@click.option("--all-dead", is_flag=True, help="What all workers hold that are proved dead.")
@click.option("--yes", is_flag=True, help="Do it; without this, only say what would be done.")
def put_back(target: Target, as_json: bool, verbose: bool, worker: str | None, all_dead: bool, yes: bool) -> None:
    """Put back what dead workers hold, now and not after the visibility timeout: to the front of its queues, in its order.

    Only with proof that the worker is dead: its process is gone on this machine, or it was silent for 15 s on another one;
    what workers without the gate took, only where no other client is connected. Refused otherwise (exit 4).

    \b
    tidegate unacked put-back --worker celery@web1 --yes
    """
    from tidegate.cli.progress import counting
    from tidegate.cli.unacked_tables import show_put_back
    from tidegate.errors import EXIT_INTERRUPTED, UsageError
    from tidegate.returning import put_back_at

    if (worker is None) is not all_dead:
        raise UsageError("name one worker with --worker NODE, or all dead ones with --all-dead")
    given = {"yes": yes, "app": target.app, "timeout_s": target.timeout_s, "listening": _Listening()}
    try:
        with counting("Putting back") as progress:
            done = put_back_at(target.address(), worker, progress=progress, **given)
    except KeyboardInterrupt:
        if not yes:
            raise
        click.echo("tidegate: interrupted; what is not back yet is held as before: the same command goes on", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from None
    if as_json:
        from tidegate.document import document

        click.echo(to_json(document(done)))
    else:
        show_put_back(done, console())
    _narrate(done)


def _narrate(done: Any) -> None:
    for note in done.notes:
        click.echo(f"tidegate: {printable(note)}", err=True)
    if done.dry_run and done.found:
        click.echo(f"{plural(done.found, 'message')} would go back; nothing was changed: --yes does it", err=True)
    elif not done.found:
        click.echo("nothing is held that could go back", err=True)
    else:
        click.echo(f"{count(done.put_back)} of {plural(done.found, 'message')} put back", err=True)


class _Listening:
    """Says once that it listens for workers of other machines."""

    def __init__(self) -> None:
        self._said = False

    def __call__(self, left_s: float) -> None:
        if not self._said and left_s > 0:
            click.echo(f"listening for {left_s:.0f} s, for whoever may be alive …", err=True)
        self._said = True


unacked.add_command(list_)
unacked.add_command(put_back)
