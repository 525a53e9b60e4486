"""Diagnoses, queues, messages and censuses as people read them: sentences first, then tables."""

import os
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegate.cli.table import Column, print_table
from tidegate.cli.text import printable
from tidegate.facts.diagnosis import Diagnosis, Finding, Level, QueueReport, State, TaskReport
from tidegate.facts.unknown import Maybe, known
from tidegate.units import count, duration, percent, plural, rate, significant, size

STATE_STYLE = {
    State.OK: "green",
    State.DRAINING: "cyan",
    State.SURGE: "yellow",
    State.UNKNOWN: "magenta",
    State.GROWING: "bold red",
    State.STALLED: "bold red",
}
LEVEL_STYLE = {Level.OK: "green", Level.INFO: "cyan", Level.WARNING: "yellow", Level.CRITICAL: "bold red"}
_MOST_TASKS = 8
_FILE_WIDTH = 140


def console() -> Console:
    """Standard output; made at call time, so that it can be captured. A file or a pipe is as wide as a table needs."""
    out = Console(highlight=False, emoji=False, soft_wrap=False)
    if not out.is_terminal and "COLUMNS" not in os.environ:
        out.width = _FILE_WIDTH
    return out


def safe(text: object, style: str = "") -> Text:
    """Text of foreign origin: no control character, and never read as markup."""
    return Text(printable(str(text)), style=style)


def show_diagnosis(diagnosis: Diagnosis, out: Console, *, verbose: bool = False) -> None:
    """The diagnosis: one line on the broker, the queues, what was found with evidence and remedy, and the cost."""
    out.print(_headline(diagnosis))
    out.print()
    show_queues(diagnosis.queues, out)
    out.print()
    if diagnosis.tasks:
        show_tasks(diagnosis.tasks, out)
        out.print()
    _memory(diagnosis, out)
    show_findings(diagnosis.findings, out, verbose=verbose)
    out.print(safe(_cost(diagnosis), "dim"))


def _headline(diagnosis: Diagnosis) -> Text:
    broker = diagnosis.broker
    name = " ".join(str(part) for part in (broker.server, broker.version) if known(part)) or "server"
    line = Text()
    line.append(f"{diagnosis.verdict.value.upper()}  ", style=STATE_STYLE[diagnosis.verdict])
    line.append(printable(f"{broker.url}  {name}"))
    if known(broker.used_memory_bytes):
        line.append(f"  {size(broker.used_memory_bytes)} in use")
    return line


def shown(value: Maybe[float | None], form: object) -> Text:
    """A cell: the value as `form` writes it, `never` for None, and `?` where it could not be seen."""
    if not known(value):
        return Text("?", style="magenta")
    return Text("never" if value is None else form(value))  # type: ignore[operator]


QUEUE_COLUMNS = (
    Column("queue", lambda queue: safe(queue.name), justify="left"),
    Column("state", lambda queue: Text(queue.state.value, style=STATE_STYLE[queue.state]), justify="left"),
    Column("waiting", lambda queue: shown(queue.depth, count)),
    Column("unacked", lambda queue: shown(queue.unacked, count), expendable=3),
    Column("in", lambda queue: shown(queue.arrival_per_s, rate)),
    Column("out", lambda queue: shown(queue.service_per_s, rate)),
    Column("growth", lambda queue: shown(queue.growth_per_s, rate), expendable=1),
    Column("oldest", lambda queue: shown(queue.oldest_age_s, duration), expendable=4),
    Column("memory", lambda queue: shown(queue.bytes, size), expendable=2),
    Column("empty in", lambda queue: shown(queue.drain_s, duration)),
)
TASK_COLUMNS = (
    Column("task", lambda task: safe(task.name), justify="left"),
    Column("queue", lambda task: safe(task.queue), justify="left", expendable=2),
    Column("share", lambda task: shown(task.depth_share, percent), expendable=1),
    Column("in", lambda task: shown(task.arrival_per_s, rate), expendable=3),
    Column("out", lambda task: shown(task.service_per_s, rate), expendable=4),
    Column("edge interval", lambda task: shown(task.edge_interval_s, duration)),
    Column("safe interval", lambda task: shown(task.min_safe_interval_s, duration)),
    Column("workers needed", lambda task: shown(task.capacity_factor, _times), expendable=5),
)


def _times(factor: float) -> str:
    return f"× {significant(factor, 3)}"


def show_queues(queues: Sequence[QueueReport], out: Console) -> None:
    """One row a queue; `?` where it could not be seen."""
    print_table(out, QUEUE_COLUMNS, queues)


def show_tasks(tasks: Sequence[TaskReport], out: Console) -> None:
    """The tasks that make most of the queues, with the interval the workers could sustain."""
    print_table(out, TASK_COLUMNS, tasks[:_MOST_TASKS])
    if len(tasks) > _MOST_TASKS:
        out.print(Text(f"… {len(tasks) - _MOST_TASKS} more (--json shows all)", style="dim"))


def _memory(diagnosis: Diagnosis, out: Console) -> None:
    memory = diagnosis.memory
    if not known(memory.by_family):
        return
    parts = sorted(memory.by_family.items(), key=lambda item: -item[1])
    text = " · ".join(f"{name} {size(weight)}" for name, weight in parts if weight)
    out.print(safe(f"memory: {text}", "dim"))


def show_findings(findings: Sequence[Finding], out: Console, *, verbose: bool) -> None:
    """What was noticed, worst first; what is fine, and what could not be looked at, is counted, or shown where wanted."""
    fine = [finding for finding in findings if finding.level is Level.OK]
    unseen = [finding for finding in findings if finding.level is not Level.OK and finding.unknown]
    for finding in findings:
        if finding.level is not Level.OK and (verbose or not finding.unknown):
            out.print()
            _finding(finding, out)
    if verbose:
        out.print()
        for finding in fine:
            out.print(safe(f"ok        {finding.rule}  {finding.sentence}", "green"))
    else:
        out.print()
        hidden = f"; {plural(len(unseen), 'check')} could not look" if unseen else ""
        out.print(safe(f"{plural(len(fine), 'check')} fine{hidden} (-v shows them).", "dim"))


def _finding(finding: Finding, out: Console) -> None:
    grid = Table.grid(padding=(0, 1, 0, 0))
    grid.add_column(no_wrap=True, width=8)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    style = LEVEL_STYLE[finding.level]
    grid.add_row(Text(finding.level.name.lower(), style), Text(finding.rule, style), safe(finding.sentence))
    out.print(grid)
    if finding.remedy:
        # Not wrapped: a command is there to be pasted.
        out.print(Text("         → ", "green") + safe(finding.remedy), soft_wrap=True)


def _cost(diagnosis: Diagnosis) -> str:
    cost = diagnosis.cost
    server = f", {significant(cost.server_ms, 2)} ms of its time" if known(cost.server_ms) else ""
    return f"Watched for {diagnosis.window_s:.1f} s with {count(cost.commands)} commands{server}. Read only."
