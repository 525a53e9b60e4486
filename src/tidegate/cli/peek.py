"""`tidegate peek`: the messages of a queue, decoded, where they lie."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import click

from tidegate.cli.options import Target, reads_queue
from tidegate.cli.render import console, safe
from tidegate.cli.text import to_json
from tidegate.facts.message import Message
from tidegate.facts.unknown import known
from tidegate.units import size

_ALWAYS = ("id", "task", "args", "kwargs")


@click.command()
@reads_queue
@click.option(
    "-n", "--number", default=10, show_default=True, type=click.IntRange(1, 10_000), help="How many messages."
)
@click.option("--newest", is_flag=True, help="The newest first, instead of the one that leaves next.")
def peek(target: Target, queue: str, number: int, newest: bool, as_json: bool, verbose: bool) -> None:
    """Show the messages of QUEUE that leave next, decoded, without taking them. Bodies are never unpickled.

    \b
    tidegate peek celery redis://localhost:6379/0 -n 3
    """
    from tidegate.broker.client import connect
    from tidegate.observe.peek import peek_queue

    with connect(target.address(), target.timeout_s) as broker:
        messages = peek_queue(broker, queue, number, newest=newest)
    if as_json:
        click.echo(to_json([message_row(message) for message in messages]))
    else:
        show_messages(messages)


def message_row(message: Message) -> dict[str, Any]:
    """The message as the machine output has it."""
    from tidegate.document import document, iso

    row = document(message)
    row["enqueued_at"] = iso(message.enqueued_at) if message.enqueued_at is not None else None
    return dict(row)


def show_messages(messages: Sequence[Message]) -> None:
    """Every message with what it says, one line a field."""
    out = console()
    if not messages:
        out.print("The queue is empty.")
    for message in messages:
        out.print(safe(_title(message), "bold"))
        for field in fields(message):
            value = getattr(message, field.name)
            if field.name in ("task", "size_bytes", "body", "undecodable") or value in (None, False):
                continue
            out.print(safe(f"  {field.name:<15} {value if known(value) else f'unknown: {value.why}'}"))


def _title(message: Message) -> str:
    if message.undecodable is not None:
        return f"undecodable ({size(message.size_bytes)}): {message.undecodable}"
    return f"{message.task or 'not a task'} ({size(message.size_bytes)})"
