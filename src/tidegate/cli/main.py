"""`tidegate`, and `celery -A proj tidegate`: the group of all commands; each is imported when it is called."""

import importlib
from typing import Any

import click
from click_didyoumean import DYMGroup

_COMMANDS = {
    "doctor": "Look at a broker and explain its backlog: what, why, until when, and what to do.",
    "queues": "Every queue: how deep, how fast, how old.",
    "peek": "The messages of a queue, decoded, without taking them.",
    "census": "What a queue consists of, by task.",
    "plan": "The interval that every periodic entry can have, also with hosts lost.",
    "gate": "What the gate bounds, holds back and counts.",
    "schedule": "The schedule as it runs: who leads, what became of every entry; changed without a restart.",
    "lint": "What is wrong with an application's schedule, for CI.",
    "purge": "Remove exactly what a filter selects from a queue; the rest stays in its order.",
    "move": "Move what a filter selects to another queue.",
    "dedupe": "Leave one message of each task and arguments.",
    "drain-newest": "Let workers take the newest messages first for a while.",
    "unacked": "What workers hold; what dead ones hold is put back at once.",
    "relief": "The acts on queues: what was done, and how it is ended or taken back.",
    "backup": "A queue, copied to a file while it is in use.",
    "restore": "A backup, put back into a queue, each message once.",
    "inspect": "What a backup holds.",
    "rescue": "Bring a Redis at its memory limit back to life: its newest messages go to disk, and come back in order.",
    "keep": "Puts what is over the bounds on disk, and brings it back in order.",
    "simulate": "What would happen: other intervals, policies, hosts, or a fleet of any size.",
    "demo": "The story, played: a queue grows, and the doctor explains it.",
}


class LazyGroup(DYMGroup):  # type: ignore[misc]
    """A group that imports a command's module only when it is needed: `celery worker` imports this one at every start."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order of their use."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"tidegate.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from tidegate import __version__

        click.echo(f"tidegate {__version__}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="The version.")
def tidegate(**_preload: Any) -> None:
    """See, explain and prevent Celery backlogs on Redis and Valkey.

    Start with `tidegate doctor redis://…`: it needs read access only, and changes nothing.
    """
    # Celery 5.5 passes an application's own preload options on to every plug-in command.


def main() -> None:
    """The program `tidegate`."""
    tidegate(prog_name="tidegate")
