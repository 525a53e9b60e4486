"""The options that say which messages are meant, alike for every act on a queue."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from tidegate.cli.options import Command, Duration, having
from tidegate.errors import UsageError

if TYPE_CHECKING:
    from tidegate.facts.relief import Filter

_Option = Callable[[Command], Command]


class Json(click.ParamType):  # type: ignore[type-arg]
    """A JSON value of one kind: an array or an object."""

    name = "json"

    def __init__(self, kind: type, example: str) -> None:
        self._kind, self._example = kind, example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The parsed value; the usual usage error where it is another."""
        if isinstance(value, self._kind):
            return value
        try:
            parsed = json.loads(value)
        except (ValueError, TypeError, RecursionError):
            parsed = None
        if not isinstance(parsed, self._kind):
            self.fail(f"expected JSON such as {self._example}, got {str(value)[:200]!r}", param, ctx)
        return parsed


class Header(click.ParamType):  # type: ignore[type-arg]
    """`NAME=VALUE`."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Name and value; the usual usage error where there is no `=`."""
        name, sign, text = str(value).partition("=")
        if not sign or not name:
            self.fail(f"expected a header as NAME=VALUE, such as lang=py, got {value!r}", param, ctx)
        return name, text


_BY_MESSAGE: Sequence[_Option] = (
    click.option("--task", "tasks", metavar="GLOB", multiple=True, help="Of this task; '*' is any (may be repeated)."),
    click.option("--args", metavar="JSON", type=Json(list, "'[1, \"a\"]'"), help="Called with exactly these args."),
    click.option(
        "--kwargs", metavar="JSON", type=Json(dict, "'{\"a\": 1}'"), help="Called with these kwargs among others."
    ),
    click.option("--older-than", "older_than_s", type=Duration(), help="Published longer ago than this: 90s, 10m, 2h."),
    click.option("--expired", is_flag=True, help="Past its `expires`."),
    click.option("--origin", metavar="NAME", help="Published by this process, as in gen123@host."),
    click.option("--root", metavar="ID", help="Of the workflow or firing that began with this task id."),
    click.option("--header", "headers", type=Header(), multiple=True, help="With this header (may be repeated)."),
    click.option("--undecodable", is_flag=True, help="What can't be read; alone, or with --older-than."),
)
_BY_KIND: Sequence[_Option] = (
    click.option("--duplicates", is_flag=True, help="All but the oldest of the same task and arguments."),
    click.option(
        "--keep-newest",
        metavar="N",
        type=click.IntRange(1),
        help="All but the newest N of the same task and arguments.",
    ),
    click.option(
        "--keep-oldest",
        metavar="N",
        type=click.IntRange(1),
        help="All but the oldest N of the same task and arguments.",
    ),
)
_NAMES = ("tasks", "args", "kwargs", "older_than_s", "expired", "origin", "root", "headers", "undecodable")


def selects(command: Command) -> Command:
    """Gives a command the options that select messages, and them together as `wanted`."""
    return _wanting((*_BY_MESSAGE, *_BY_KIND), command)


def selects_within(command: Command) -> Command:
    """The same without those that compare messages with one another."""
    return _wanting(_BY_MESSAGE, command)


def _wanting(options: Sequence[_Option], command: Command) -> Command:
    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        said = {name: kwargs.pop(name) for name in _NAMES}
        keeping = {name: kwargs.pop(name, None) for name in ("duplicates", "keep_newest", "keep_oldest")}
        return command(*args, wanted=_filter(said, keeping), **kwargs)

    return having(options, wrapped)


def _filter(said: Mapping[str, Any], keeping: Mapping[str, Any]) -> "Filter":
    from tidegate.facts.relief import Filter

    if "" in said["tasks"]:
        raise UsageError("--task '' fits no task: expected a name or a glob such as 'screen.*' (is a variable unset?)")
    given = {
        **said,
        "args": None if said["args"] is None else tuple(said["args"]),
        "kwargs": said["kwargs"] or {},
        "headers": dict(said["headers"]),
    }
    return Filter(**given, keep_newest=keeping["keep_newest"], keep_oldest=_oldest(keeping))


def _oldest(keeping: Mapping[str, Any]) -> int | None:
    if not keeping["duplicates"]:
        return keeping["keep_oldest"]  # type: ignore[no-any-return]
    if keeping["keep_oldest"] is not None or keeping["keep_newest"] is not None:
        raise UsageError("--duplicates is --keep-oldest 1: give one of them, or --keep-newest 1 to keep the newest")
    return 1
