"""Options that commands share, what they mean together, and how a command ends."""

import functools
import io
import json
import math
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any, NoReturn

import click

from tidegate.errors import EXIT_CANNOT_LOOK, EXIT_INTERRUPTED, TidegateError, UsageError
from tidegate.units import parse_duration

Command = Callable[..., Any]
_LONGEST_TIMEOUT_S = 3600.0
#: Where a group of commands that takes -A itself leaves it.
APP = "tidegate.app"


class Duration(click.ParamType):  # type: ignore[type-arg]
    """`10`, `90s`, `1m30s`, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds; the usual usage error where it is none."""
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Number(click.FloatRange):
    """A number within a range; click lets `nan` through, which is in none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; the usual usage error where it is none."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"expected a number, got {value!r}", param, ctx)
        return number


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where to look and how: what the shared options say."""

    url: str | None
    app_name: str | None
    transport_options: Mapping[str, Any]
    timeout_s: float
    app: Any = None

    def address(self) -> Any:
        """The broker: the URL, else the application's, else TIDEGATE_BROKER_URL, else a local Redis."""
        from tidegate.broker.address import DEFAULT_URL, parse_address, with_options
        from tidegate.observe.app import address_of

        if self.url is None and self.app is not None:
            return with_options(address_of(self.app), self.transport_options)
        address = parse_address(self.url or os.environ.get("TIDEGATE_BROKER_URL") or DEFAULT_URL)
        return with_options(address, {**_app_options(self.app), **self.transport_options})


def named(target: Target) -> str:
    """The broker as the next command has to name it, behind a space; empty where it stands in the environment.

    A password is not repeated.
    """
    if target.url is None:
        return f" -A {target.app_name}" if target.app_name else ""
    shown = target.address().shown
    return f" {shown}" if shown == target.url else " BROKER_URL"


@contextmanager
def terminating() -> Iterator[None]:
    """SIGTERM ends what runs as Ctrl-C does: tidily, and with a word."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _app_options(app: Any) -> Mapping[str, Any]:
    return (app.conf.broker_transport_options or {}) if app is not None else {}


def _parse_json(ctx: click.Context, param: click.Parameter, value: str) -> Mapping[str, Any]:
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise click.BadParameter(
            f'expected a JSON object such as {{"global_keyprefix": "x"}}, got {value[:200]!r}', ctx, param
        )
    return parsed


def _timeout(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if not 0 < value <= _LONGEST_TIMEOUT_S:
        raise click.BadParameter(f"expected more than 0 s and at most {_LONGEST_TIMEOUT_S:g} s", ctx, param)
    return value


def reads_broker(command: Command) -> Command:
    """A command on a broker: gives it `target` and the option --json, and turns our errors into one line and an exit code."""

    @click.argument("broker_url", required=False)
    @shared_options
    @functools.wraps(command)
    def wrapped(*args: Any, broker_url: str | None, **kwargs: Any) -> Any:
        return command(*args, target=target_of(broker_url, kwargs), **kwargs)

    return wrapped


def reads_queue(command: Command) -> Command:
    """A command on one queue: QUEUE, then the broker as in `reads_broker`."""

    @click.argument("queue")
    @click.argument("broker_url", required=False)
    @shared_options
    @functools.wraps(command)
    def wrapped(*args: Any, queue: str, broker_url: str | None, **kwargs: Any) -> Any:
        if "://" in queue and (broker_url is None or "://" not in broker_url):
            # Taken for a name, the URL would be shown with its password.
            raise UsageError("QUEUE stands before the broker URL, as in: tidegate peek celery redis://localhost:6379/0")
        return command(*args, target=target_of(broker_url, kwargs), queue=queue, **kwargs)

    return wrapped


def finds_queues(command: Command) -> Command:
    """A command on the queues that are found there: which of them, and how many keys the search may take."""
    options = (
        click.option("-Q", "--queue", "queues", multiple=True, help="Look at this queue only (may be repeated)."),
        click.option(
            "--max-keys", default=50_000, show_default=True, help="Keys to look at when searching for queues."
        ),
    )
    return having(options, command)


def shared_options(command: Command) -> Command:
    """The options of every command that looks at a broker."""
    options = (
        click.option("-A", "--app", "app_name", metavar="APP", help="The Celery application, as for `celery -A`."),
        click.option(
            "--transport-options",
            metavar="JSON",
            default="{}",
            envvar="TIDEGATE_TRANSPORT_OPTIONS",
            show_envvar=True,
            callback=_parse_json,
            help="Kombu's transport options: global_keyprefix, sep, visibility_timeout, master_name, …",
        ),
        click.option(
            "--timeout",
            "timeout_s",
            type=Duration(),
            default="5",
            envvar="TIDEGATE_TIMEOUT",
            show_envvar=True,
            show_default=True,
            callback=_timeout,
            help="Seconds any single answer of the server may take.",
        ),
        click.option("--json", "as_json", is_flag=True, help="The machine output, on stdout."),
        click.option("-v", "--verbose", is_flag=True, help="Healthy checks too; a traceback where something fails."),
    )
    return having(options, ends_well(command))


def having(options: Sequence[Callable[[Command], Command]], command: Command) -> Command:
    """The command with these options, shown in their order."""
    return functools.reduce(lambda decorated, option: option(decorated), reversed(options), command)


def ends_well(command: Command) -> Command:
    """Ends the command with one line and the error's exit code where anything fails; -v puts the traceback before it."""

    @functools.wraps(command)
    def wrapped(*args: Any, verbose: bool = False, **kwargs: Any) -> Any:
        _write_what_can_be_written()
        try:
            return command(*args, verbose=verbose, **kwargs)
        except TidegateError as error:
            give_up(error, verbose=verbose)
        except KeyboardInterrupt:
            click.echo("tidegate: interrupted; nothing was changed", err=True)
            raise SystemExit(EXIT_INTERRUPTED) from None
        except BrokenPipeError:
            # The reader of our output (`head`) has seen enough.
            os._exit(0)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:  # noqa: BLE001  the last line of defence: a traceback helps nobody at a terminal
            give_up(_mistake(error), verbose=verbose)

    return wrapped


def _write_what_can_be_written() -> None:
    """A terminal that knows ASCII alone gets the rest written out, not an exception."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _mistake(error: Exception) -> TidegateError:
    mistake = TidegateError(
        f"a mistake in Tidegate itself ({type(error).__name__}: {error}): please report it with what -v prints"
    )
    mistake.__cause__ = error
    return mistake


def give_up(error: TidegateError, *, verbose: bool) -> NoReturn:
    """One line on stderr and the exit code of the error; the traceback before it where it is wanted."""
    from tidegate.cli.text import printable

    if verbose:
        for line in "".join(traceback.format_exception(error)).splitlines():
            click.echo(printable(line), err=True)
    click.echo(f"tidegate: {_kind(error)}: {printable(str(error))}", err=True)
    raise SystemExit(error.exit_code)


def _kind(error: TidegateError) -> str:
    if isinstance(error, UsageError):
        return "wrong usage"
    return "could not look" if error.exit_code == EXIT_CANNOT_LOOK else "refused"


def target_of(url: str | None, kwargs: dict[str, Any]) -> Target:
    """Where to look, from a URL and the shared options, which are taken out of `kwargs`."""
    target = Target(
        url=url,
        app_name=kwargs.pop("app_name") or click.get_current_context().meta.get(APP),
        transport_options=kwargs.pop("transport_options"),
        timeout_s=kwargs.pop("timeout_s"),
    )
    return replace(target, app=_app(target.app_name))


def _app(name: str | None) -> Any:
    """The application of -A, or the one that `celery -A proj tidegate` was given."""
    if name is not None:
        from tidegate.observe.app import load_app

        return load_app(name)
    given = click.get_current_context().find_root().obj
    app = getattr(given, "app", None)
    # Without -A, `celery` hands over its default application, which is configured for nothing.
    if app is None or getattr(app, "main", None) in (None, "default"):
        return None
    from tidegate.observe.app import configured_app

    return configured_app(app, f"celery -A {app.main}")
