"""Acts on queues as people read them: one sentence first, then by task, examples, and what to do next."""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from tidegate.cli.render import safe, shown
from tidegate.cli.table import Column, print_table
from tidegate.document import iso
from tidegate.facts.relief import Act, Ages, Relief, Relieved, State
from tidegate.units import count, duration, plural, significant, size

_MOST_TASKS = 10
DRY = "A dry run: nothing was changed. --yes does it."
_STYLE = {State.RUNNING: "cyan", State.INTERRUPTED: "bold yellow", State.DONE: "green", State.ROLLED_BACK: "dim"}
_BY_TASK = (
    Column("task", lambda row: safe(row.name), justify="left"),
    Column("messages", lambda row: Text(count(row.count))),
    Column("bytes", lambda row: Text(size(row.bytes)), expendable=1),
)
_ACTS = (
    Column("id", lambda row: safe(row.id), justify="left"),
    Column("queue", lambda row: safe(row.queue), justify="left", expendable=1),
    Column("state", lambda row: Text(_state(row), style=_STYLE[row.state]), justify="left"),
    Column("began", lambda row: Text(iso(row.started_at)[:19].replace("T", " ")), expendable=4),
    Column("removed", lambda row: Text(count(row.removed))),
    Column("kept", lambda row: Text(count(row.kept)), expendable=2),
    Column("aside", lambda row: shown(row.aside, count), expendable=3),
)


def show_relieved(done: Relieved, out: Console) -> None:
    """What an act came to, or would come to."""
    out.print(safe(_sentence(done), "bold"))
    if done.by_task:
        print_table(out, _BY_TASK, done.by_task[:_MOST_TASKS])
        if len(done.by_task) > _MOST_TASKS:
            out.print(Text(f"… {len(done.by_task) - _MOST_TASKS} more (--json shows all)", style="dim"))
    for example in done.examples:
        out.print(safe(f"  for example  {example}"), soft_wrap=True)
    for note in done.notes:
        out.print(safe(f"  {note}", "yellow"), soft_wrap=True)
    for line in _after(done):
        out.print(safe(line), soft_wrap=True)


def _sentence(done: Relieved) -> str:
    did = "moved" if done.act is Act.MOVE else "removed"
    where = f" to {done.to}" if done.to else ""
    weight = f" ({size(done.removed_bytes)})" if done.removed_bytes else ""
    whole = f"of {plural(done.scanned, 'message')} {count(done.removed)}{weight}"
    would = "would be" if done.dry_run else "were"
    odd = f"; {count(done.undecodable)} can't be read" if done.undecodable else ""
    return f"{done.queue}: {whole} {would} {did}{where}, {count(done.kept)} stay{odd}"


def _after(done: Relieved) -> Iterator[str]:
    if done.age_by is not None:
        yield (
            "Ages by the messages' own stamps."
            if done.age_by is Ages.STAMPS
            else "Ages by place, where there is no stamp."
        )
    if done.dry_run:
        yield DRY
        return
    yield (
        f"Took {duration(done.elapsed_s)}; nobody waited longer than "
        f"{significant(done.worst_stall_ms, 2)} ms for the server during a command of ours."
    )
    if done.backup is not None:
        yield f"Backup: {done.backup}"
    if done.backup is not None and done.removed and done.act in (Act.PURGE, Act.DEDUPE):
        yield f"To take it back: tidegate relief undo {done.id} --yes"


def show_back(done: Relieved, out: Console) -> None:
    """How many messages are back."""
    out.print(safe(f"{done.queue}: {plural(done.kept, 'message')} back in the queue", "bold"))
    for note in done.notes:
        out.print(safe(f"  {note}", "yellow"), soft_wrap=True)
    for line in _after(done):
        out.print(safe(line), soft_wrap=True)


def show_turned(done: Relieved, out: Console) -> None:
    """How many messages were worked on newest first, or would be turned round."""
    if done.dry_run:
        out.print(safe(f"{done.queue}: {plural(done.scanned, 'message')} waiting", "bold"))
    else:
        out.print(safe(f"{done.queue}: {plural(done.kept, 'message')} taken newest first", "bold"))
    for note in done.notes:
        out.print(safe(f"  {note}"), soft_wrap=True)
    out.print(safe(DRY if done.dry_run else f"Took {duration(done.elapsed_s)}; all wait in their order again."))


def show_acts(rows: Sequence[Relief], out: Console) -> None:
    """One row an act, and how the interrupted ones are ended."""
    if not rows:
        out.print("No act on a queue is on record.")
        return
    print_table(out, _ACTS, rows)
    for row in rows:
        if row.remedy:
            out.print(Text("→ ", "green") + safe(f"{row.id} was interrupted: {row.remedy}"), soft_wrap=True)


def show_act(row: Relief, out: Console) -> None:
    """Everything of one act, a line each."""
    out.print(safe(f"{row.id}: {_state(row)}", "bold"))
    for name, value in _lines(row):
        out.print(safe(f"  {name:<9}{value}"), soft_wrap=True)
    if row.remedy:
        out.print(Text("→ ", "green") + safe(row.remedy), soft_wrap=True)


def _lines(row: Relief) -> Iterator[tuple[str, str]]:
    yield "queue", f"{row.queue} → {row.to}" if row.to else row.queue
    yield "wanted", row.wanted
    yield "by", f"{row.who}, {row.process}"
    yield "began", iso(row.started_at)
    if row.ended_at is not None:
        yield "ended", iso(row.ended_at)
    yield "removed", count(row.removed)
    yield "kept", count(row.kept)
    yield "aside", str(shown(row.aside, count))
    yield "backup", row.backup or "none"


def _state(row: Relief) -> str:
    return row.state.value.replace("_", " ")
