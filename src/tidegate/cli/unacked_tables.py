"""What workers hold, and what was put back, as people read it."""

from rich.console import Console
from rich.text import Text

from tidegate.cli.render import safe, shown
from tidegate.cli.table import Column, print_table
from tidegate.facts.unacked import DeadWorker, HeldLook, HeldMessage, PutBack
from tidegate.facts.unknown import known
from tidegate.units import count, duration, size


def _worker(row: HeldMessage) -> Text:
    if not known(row.worker):
        return Text("unknown", style="magenta")
    return safe(row.worker, "" if row.alive is True else "bold red")


def _lives(row: HeldMessage) -> Text:
    return shown(row.alive, lambda alive: "lives" if alive else "silent or gone")


_HELD = (
    Column("task", lambda row: safe(row.task or "-"), justify="left"),
    Column("id", lambda row: safe(row.id or "-"), justify="left", expendable=2),
    Column("queue", lambda row: safe(row.queue), justify="left"),
    Column("held for", lambda row: Text(duration(row.age_s))),
    Column("not before", lambda row: safe(row.eta or "-"), expendable=3),
    Column("by", _worker, justify="left"),
    Column("which", _lives, justify="left", expendable=1),
    Column("size", lambda row: Text(size(row.size_bytes)), expendable=4),
)
_DEAD = (
    Column("worker", lambda row: safe(row.node or "(unknown)"), justify="left"),
    Column("messages", lambda row: Text(count(row.messages))),
    Column("dead, for", lambda row: safe(row.why), justify="left"),
)
_QUEUES = (
    Column("queue", lambda row: safe(row[0]), justify="left"),
    Column("messages", lambda row: Text(count(row[1]))),
)


def show_held(found: HeldLook, out: Console) -> None:
    """One row a message, the oldest first."""
    if found.messages:
        print_table(out, _HELD, found.messages)
    more = found.total - len(found.messages)
    out.print(Text(f"{count(found.total)} held in all" + (f", {count(more)} not shown" if more > 0 else ""), "dim"))


def show_put_back(done: PutBack, out: Console) -> None:
    """Whose messages go back and why, and to which queues."""
    workers: tuple[DeadWorker, ...] = done.workers
    if workers:
        print_table(out, _DEAD, workers)
    if done.by_queue:
        print_table(out, _QUEUES, sorted(done.by_queue.items()))
    others = {"superseded by newer ones": done.superseded, "taken by others meanwhile": done.gone}
    others["that can't be read, and stay"] = done.unreadable
    for what, many in others.items():
        if many:
            out.print(Text(f"{count(many)} {what}"))
