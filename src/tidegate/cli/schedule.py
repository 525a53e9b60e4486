"""`tidegate schedule`: the schedule as it runs, and its changes without a restart."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from tidegate.cli.gate import OrderedGroup
from tidegate.cli.options import APP, Duration, Target, reads_broker
from tidegate.cli.render import console
from tidegate.cli.text import to_json
from tidegate.errors import UsageError
from tidegate.units import parse_duration

if TYPE_CHECKING:
    from tidegate.facts.scheduled import Acted
    from tidegate.scheduling import Scheduled

_WHY = click.option("--why", metavar="TEXT", default="", help="The reason, for the journal.")


class Every(click.ParamType):  # type: ignore[type-arg]
    """`1.2s` in seconds, or `auto`."""

    name = "duration or auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """Seconds, or `auto`; the usual usage error where it is neither."""
        if value == "auto" or isinstance(value, float):
            return value  # type: ignore[no-any-return]
        try:
            return parse_duration(str(value))
        except ValueError:
            self.fail(f"expected a duration such as 1.2s or 5m, or auto, got {value!r}", param, ctx)


@click.group(cls=OrderedGroup)
@click.option("-A", "--app", "app_name", metavar="APP", help="The Celery application, as for `celery -A`.")
@click.pass_context
def schedule(ctx: click.Context, app_name: str | None) -> None:
    """The schedule as it runs, of an application whose beat_scheduler is one of Tidegate's; changed without a restart.

    \b
    tidegate schedule -A proj list
    tidegate schedule -A proj set refresh --every 1.2s
    """
    ctx.meta[APP] = app_name


@click.command(name="list")
@reads_broker
def list_(target: Target, as_json: bool, verbose: bool) -> None:
    """Show who leads, and of every entry its interval and why, what became of its last due time, and when the next one is;
    what is in trouble or paused comes first. Writes nothing.

    \b
    tidegate schedule list -A proj
    """
    from tidegate.cli.schedule_tables import show_schedule
    from tidegate.scheduling import schedule_of

    found = schedule_of(_scheduled(target))
    if as_json:
        _print(found)
    else:
        show_schedule(found, console(), verbose=verbose)


@click.command()
@click.argument("entry")
@reads_broker
def show(target: Target, as_json: bool, verbose: bool, entry: str) -> None:
    """Show everything of one entry: its interval and why, what is ordered, how its due times ended, and the journal's latest
    lines about it. Writes nothing.

    \b
    tidegate schedule show refresh -A proj
    """
    from tidegate.cli.schedule_tables import show_entry
    from tidegate.scheduling import entry_of

    found = entry_of(_scheduled(target), entry)
    if as_json:
        _print(found)
    else:
        show_entry(found, console())


@click.command(name="set")
@click.argument("entry")
@reads_broker
@click.option("--every", type=Every(), help="The interval from now on; auto: it follows the workers.")
@click.option("--min", "min_s", type=Duration(), help="The shortest that an interval which follows the workers gets.")
@click.option("--max", "max_s", type=Duration(), help="The longest that it gets.")
@_WHY
def set_(
    target: Target,
    as_json: bool,
    verbose: bool,
    entry: str,
    every: float | str | None,
    min_s: float | None,
    max_s: float | None,
    why: str,
) -> None:
    """Order another interval, until the next order or reset; it is counted from the last due time on.

    \b
    tidegate schedule set refresh --every 1.2s -A proj
    tidegate schedule set refresh --every auto --min 1s --max 30s -A proj
    """
    from tidegate.act.beat.wanted import Wanted
    from tidegate.scheduling import set_interval

    wanted = Wanted(every=every, min_s=min_s, max_s=max_s)
    _tell(lambda at, who: set_interval(at, entry, wanted, who, why), target, as_json)


@click.command()
@click.argument("entry")
@reads_broker
@_WHY
def pause(target: Target, as_json: bool, verbose: bool, entry: str, why: str) -> None:
    """Send nothing of an entry until it is resumed; its due times are counted as paused.

    \b
    tidegate schedule pause refresh --why "the database is being moved" -A proj
    """
    from tidegate import scheduling

    _tell(lambda at, who: scheduling.pause(at, entry, who, why), target, as_json)


@click.command()
@click.argument("entry")
@reads_broker
@_WHY
def resume(target: Target, as_json: bool, verbose: bool, entry: str, why: str) -> None:
    """End a pause.

    \b
    tidegate schedule resume refresh -A proj
    """
    from tidegate import scheduling

    _tell(lambda at, who: scheduling.resume(at, entry, who, why), target, as_json)


@click.command(name="run-now")
@click.argument("entry")
@reads_broker
@_WHY
def run_now(target: Target, as_json: bool, verbose: bool, entry: str, why: str) -> None:
    """Send one run of an entry at once, beside its schedule, also while it is paused.

    \b
    tidegate schedule run-now refresh -A proj
    """
    from tidegate import scheduling

    _tell(lambda at, who: scheduling.run_now(at, entry, who, why), target, as_json)


@click.command()
@click.argument("entry")
@reads_broker
@_WHY
def reset(target: Target, as_json: bool, verbose: bool, entry: str, why: str) -> None:
    """Take every order of an entry away: what the settings say holds again.

    \b
    tidegate schedule reset refresh -A proj
    """
    from tidegate import scheduling

    _tell(lambda at, who: scheduling.reset(at, entry, who, why), target, as_json)


def _tell(act: "Callable[[Scheduled, str], Acted]", target: Target, as_json: bool) -> None:
    """What the act came to."""
    from tidegate.act.beat.ordering import who_acts
    from tidegate.cli.schedule_tables import show_act

    done = act(_scheduled(target), who_acts())
    if as_json:
        _print(done)
    else:
        show_act(done, console())


def _scheduled(target: Target) -> "Scheduled":
    from tidegate.act.beat.rules import rules_of
    from tidegate.observe.app import see_app
    from tidegate.scheduling import Scheduled, every_entry

    if target.app is None:
        raise UsageError("the entries stand in the application: name it with -A, as in: tidegate schedule -A proj list")
    app = see_app(target.app, target.timeout_s)
    rules = rules_of(target.app, every_entry(app))
    return Scheduled(address=target.address(), app=app, rules=rules, timeout_s=target.timeout_s)


def _print(found: object) -> None:
    from tidegate.document import document

    click.echo(to_json(document(found)))


for _command in (list_, show, set_, pause, resume, run_now, reset):
    schedule.add_command(_command)
