"""`tidegate keep`: puts what is over the bounds of queues with overflow `spill` on disk, and brings it back in order."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from tidegate.cli.options import Target, reads_broker
from tidegate.cli.text import printable, to_json
from tidegate.errors import UsageError
from tidegate.units import parse_size, plural, size

_TURN_S = 0.2
_LEAST = 1 << 20
_SAYS_EVERY_S = 60.0


class Size(click.ParamType):  # type: ignore[type-arg]
    """`10GB`, in bytes; less than a megabyte would keep nothing."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes; the usual usage error where it is none."""
        try:
            amount = parse_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if amount < _LEAST:
            self.fail(f"expected 1MB at least, got {value!r}", param, ctx)
        return amount


@click.command()
@reads_broker
@click.option(
    "--dir", "directory", required=True, type=click.Path(path_type=Path, file_okay=False),
    help="Where the messages wait; made where it is not there.",
)  # fmt: skip
@click.option("--max-bytes", type=Size(), help="How large the file there may grow; then messages stay in Redis.")
@click.option("-Q", "--queue", "queues", multiple=True, help="Keep this queue only (may be repeated).")
@click.option("--once", is_flag=True, help="One round, and what it came to.")
def keep(
    target: Target,
    as_json: bool,
    verbose: bool,
    directory: Path,
    max_bytes: int | None,
    queues: tuple[str, ...],
    once: bool,
) -> None:
    """Keep on disk what waits beside queues with overflow `spill`, and bring it back in its order as they drain. Runs until
    it is ended (Ctrl-C, SIGTERM); what is on the disk then stays there for the next one. Of several keepers one acts.

    \b
    tidegate keep --dir /var/lib/tidegate redis://localhost:6379/0
    """
    from tidegate.act.spill.keeper import Keeper

    keeper = Keeper(
        target.address(), directory, queues=queues, most_bytes=max_bytes, timeout_s=target.timeout_s, say=_say
    )
    with _until_ended() as ended:
        try:
            if once:
                keeper.turn()
            else:
                _run(keeper, ended)
            if as_json:
                _print(keeper)
            _say(_state(keeper))
        finally:
            keeper.close()


def _run(keeper: Any, ended: threading.Event) -> None:
    _say(f"keeping spilled messages in {keeper.store.path}")
    said, turns = "", 0
    while not ended.wait(_TURN_S):
        keeper.turn()
        turns += 1
        if turns * _TURN_S >= _SAYS_EVERY_S:
            turns, state = 0, _state(keeper)
            if state != said:
                _say(state)
            said = state


def _state(keeper: Any) -> str:
    seen = keeper.seen()
    if not seen.acts:
        return f"not acting; {plural(keeper.store.messages(), 'message')} on this disk"
    parked, fed = sum(row.parked for row in seen.lists), sum(row.fed for row in seen.lists)
    return (
        f"{plural(seen.messages, 'message')} on disk ({size(seen.bytes_on_disk)}); "
        f"since the start {parked:,} were put there and {fed:,} came back"
    )


def _print(keeper: Any) -> None:
    from tidegate.document import document

    click.echo(to_json(document(keeper.seen())))


def _say(text: str) -> None:
    click.echo(printable(text), err=True)


@contextmanager
def _until_ended() -> Iterator[threading.Event]:
    """Set by Ctrl-C and by SIGTERM, so that the round that runs is finished."""
    ended = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        raise UsageError("tidegate keep runs in the main thread of its process")
    before = {number: signal.signal(number, lambda *_: ended.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
