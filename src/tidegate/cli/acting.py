"""How an act on a queue is run from the command line: its options, its progress, and how it ends."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tidegate.cli.options import Command, Number, Target, having, named, terminating
from tidegate.cli.text import to_json
from tidegate.errors import EXIT_INTERRUPTED, CannotLook, TidegateError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from tidegate.facts.relief import Relieved
    from tidegate.relieving import How

_YES = click.option("--yes", is_flag=True, help="Do it; without this it is a dry run, which changes nothing.")
_STALL = click.option(
    "--max-stall-ms",
    default=5.0,
    show_default=True,
    type=Number(0.1, 1000),
    help="How long another client may have to wait for the server at once.",
)
_BACKUP = click.option(
    "--backup",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where what goes is written first; else a file in this directory, which is said.",
)
_NO_BACKUP = click.option("--no-backup", is_flag=True, help="Write what goes nowhere; it can't be taken back then.")
_REVOKE = click.option("--revoke", is_flag=True, help="Set the results of what is removed to revoked. Needs -A.")
_ALL = "puts everything back"
_ROLLS_BACK = {"restore": "ends it where it is", "move": "ends it, and leaves what was moved where it is"}


def removes(command: Command) -> Command:
    """Options of a command that takes messages away, from which a backup can bring them back."""
    return having((_BACKUP, _NO_BACKUP, _REVOKE, _STALL, _YES), command)


def moves(command: Command) -> Command:
    """Options of a command that moves messages; a backup is written where one is named."""
    return having((_BACKUP, _STALL, _YES), command)


def puts_back(command: Command) -> Command:
    """Options of a command that puts messages into a queue."""
    return having((_STALL, _YES), command)


def goes_on(command: Command) -> Command:
    """Options of a command that goes on with an act."""
    return having((_REVOKE, _YES), command)


def agreed(command: Command) -> Command:
    """The option of a command that is done only when it is agreed to."""
    return having((_YES,), command)


def backup_for(act: str, queue: str, *, backup: Path | None, no_backup: bool, yes: bool) -> Path | None:
    """Where the backup goes; the name it gets where none was given is said on stderr."""
    if no_backup:
        if backup is not None:
            raise UsageError("--backup and --no-backup exclude each other")
        if not yes:
            raise UsageError("--no-backup stands only together with --yes: a dry run writes nothing anyway")
        return None
    if backup is not None or not yes:
        return backup
    return Path(f"{re.sub('[^A-Za-z0-9._-]+', '_', queue)[:60]}-{act}-{time.strftime('%y%m%d-%H%M%S')}.tidegate")


def run_act(
    label: str,
    target: Target,
    as_json: bool,
    act: "Callable[[Any, How], Relieved]",
    *,
    queue: str = "",
    revoke: bool = False,
    show: "Callable[[Relieved, Console], None] | None" = None,
    **how: Any,
) -> None:
    """Runs an act with a progress bar, and shows what it came to. Ctrl-C and errors leave a word on what to do next."""
    from tidegate.cli.modest import giving_way
    from tidegate.cli.progress import counting
    from tidegate.cli.relief_tables import show_relieved
    from tidegate.cli.render import console
    from tidegate.document import document
    from tidegate.relieving import How

    _must_fit(target, revoke=revoke, **how)
    address = target.address()
    try:
        with giving_way(), terminating(), counting(label) as progress:
            given = How(timeout_s=target.timeout_s, app=target.app, revoke=revoke, progress=progress, **how)
            done = act(address, given)
    except KeyboardInterrupt:
        click.echo(f"tidegate: interrupted; {_left(target, address, queue) or 'nothing was changed'}", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from None
    except CannotLook:
        raise
    except TidegateError as error:
        error.args = (f"{error}{_also(target, address, queue, yes=given.yes)}",)
        raise
    if as_json:
        click.echo(to_json(document(done)))
    else:
        (show or show_relieved)(done, console())


def _must_fit(target: Target, *, revoke: bool, yes: bool = False, backup: Path | None = None, **_: Any) -> None:
    if revoke and target.app is None:
        raise UsageError("--revoke sets results in the application's result backend: name the application with -A")


def _also(target: Target, address: Any, queue: str, *, yes: bool) -> str:
    left = _left(target, address, queue) if yes else ""
    return f"; {left}" if left else ""


def _left(target: Target, address: Any, queue: str) -> str:
    """What an act that was stopped left, and how it is ended; empty where there is none, or nobody can say."""
    from tidegate.facts.relief import State
    from tidegate.relieving import acts

    try:
        rows = acts(address, 20, timeout_s=target.timeout_s)
    except TidegateError:
        return ""
    ours = [row for row in rows if row.state is State.INTERRUPTED and row.queue == queue]
    if not ours:
        return ""
    there = named(target)
    return (
        f"{ours[0].id} is half done: tidegate relief resume {ours[0].id} --yes{there} goes on, "
        f"rollback instead {_ROLLS_BACK.get(ours[0].act, _ALL)}"
    )
