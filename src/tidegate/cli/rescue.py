"""`tidegate rescue`: a Redis at its memory limit, brought back to life."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tidegate.cli.options import Target, reads_broker
from tidegate.cli.text import printable, to_json
from tidegate.errors import EXIT_INTERRUPTED
from tidegate.units import parse_size

if TYPE_CHECKING:
    from tidegate.facts.rescued import Rescued


class Free(click.ParamType):  # type: ignore[type-arg]
    """`10%` of the limit as a share, `64MB` in bytes."""

    name = "share or size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | int:
        """A share below 1, or bytes; the usual usage error where it is neither."""
        if isinstance(value, (int, float)):
            return value
        text = str(value).strip()
        try:
            found = float(text[:-1]) / 100 if text.endswith("%") else parse_size(text)
        except ValueError:
            found = 0
        if not (0 < found <= 0.5 or found >= 1024):
            self.fail(f"expected a share such as 10%, 50% at most, or a size such as 64MB, got {value!r}", param, ctx)
        return found


@click.command()
@reads_broker
@click.option("-Q", "--queue", help="The queue to take from; the one that weighs most where not given.")
@click.option(
    "--dir",
    "directory",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the messages go, on a disk with room for them. The same one goes on after an interruption.",
)
@click.option("--yes", is_flag=True, help="Do it; without it, only say what would be done.")
@click.option(
    "--free",
    type=Free(),
    help="Memory to keep free, as 10% of the limit or as 64MB.  [default: 10% or 32MB, whichever is less]",
)
def rescue(
    target: Target,
    as_json: bool,
    verbose: bool,
    queue: str | None,
    directory: Path,
    yes: bool,
    free: float | int | None,
) -> None:
    """Bring a Redis at its memory limit back to life: the newest messages of a queue go to disk until workers can start, and
    come back in their order as it drains. Workers may crash-loop and producers hammer meanwhile.

    Ctrl-C ends it at any time, and so may kill -9: the same command with the same --dir goes on.

    \b
    tidegate rescue redis://localhost:6379/0 --dir /var/tmp/rescue
    tidegate rescue redis://localhost:6379/0 --dir /var/tmp/rescue --yes
    """
    if yes:
        _do(target, as_json, queue, directory, free)
    else:
        _show(target, as_json, queue, directory, free)


def _show(target: Target, as_json: bool, queue: str | None, directory: Path, free: float | int | None) -> None:
    from tidegate.relieving import plan_rescue

    found = plan_rescue(target.address(), directory, queue, free, target.timeout_s)
    for note in found.notes:
        _say(note)
    _say(f"Nothing was done. To do it: {_command(target, queue, directory)}")
    _print(found, as_json)


def _do(target: Target, as_json: bool, queue: str | None, directory: Path, free: float | int | None) -> None:
    from tidegate.cli.progress import stopping_early
    from tidegate.relieving import rescue as rescued

    go_on = _command(target, queue, directory)
    with stopping_early() as stop:
        found = rescued(
            target.address(),
            directory,
            queue=queue,
            free=free,
            say=_say,
            stop=stop,
            go_on=go_on,
            timeout_s=target.timeout_s,
        )
    _print(found, as_json)
    if not found.done:
        raise SystemExit(EXIT_INTERRUPTED)


def _command(target: Target, queue: str | None, directory: Path) -> str:
    """The command to paste; a password stands in it as ***, never written out."""
    words = ["tidegate", "rescue"]
    words += ["-A", target.app_name] if target.app_name else []
    words += [target.address().shown] if target.url else []
    words += ["-Q", queue] if queue else []
    return shlex.join([*words, "--dir", str(directory), "--yes"])


def _say(sentence: str) -> None:
    click.echo(printable(sentence), err=True)


def _print(found: "Rescued", as_json: bool) -> None:
    if as_json:
        from tidegate.document import document

        click.echo(to_json(document(found)))
