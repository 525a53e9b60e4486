"""Diagnoses, queues, messages and censuses as people read them: sentences first, then tables."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegate.cli.text import printable
from tidegate.facts.diagnosis import Diagnosis, Finding, Level, QueueReport, State, TaskReport
from tidegate.facts.unknown import Maybe, known
from tidegate.units import count, duration, percent, plural, rate, significant, size

_STATE_STYLE = {
    State.OK: "green",
    State.DRAINING: "cyan",
    State.SURGE: "yellow",
    State.UNKNOWN: "magenta",
    State.GROWING: "bold red",
    State.STALLED: "bold red",
}
_LEVEL_STYLE = {Level.OK: "green", Level.INFO: "cyan", Level.WARNING: "yellow", Level.CRITICAL: "bold red"}
_MOST_TASKS = 8


def console() -> Console:
    """Standard output; made at call time, so that it can be captured."""
    return Console(highlight=False, emoji=False, soft_wrap=False)


def safe(text: object, style: str = "") -> Text:
    """Text of foreign origin: no control character, and never read as markup."""
    return Text(printable(str(text)), style=style)


def show_diagnosis(diagnosis: Diagnosis, out: Console, *, verbose: bool = False) -> None:
    """The diagnosis: one line on the broker, the queues, what was found with evidence and remedy, and the cost."""
    out.print(_headline(diagnosis))
    out.print(queue_table(diagnosis.queues))
    if diagnosis.tasks:
        out.print(task_table(diagnosis.tasks))
    _memory(diagnosis, out)
    _findings(diagnosis.findings, out, verbose=verbose)
    out.print(safe(_cost(diagnosis), "dim"))


def _headline(diagnosis: Diagnosis) -> Text:
    broker = diagnosis.broker
    name = " ".join(str(part) for part in (broker.server, broker.version) if known(part)) or "server"
    line = Text()
    line.append(f"{diagnosis.verdict.value.upper()}  ", style=_STATE_STYLE[diagnosis.verdict])
    line.append(printable(f"{broker.url}  {name}"))
    if known(broker.used_memory_bytes):
        line.append(f"  {size(broker.used_memory_bytes)} in use")
    return line


def _shown(value: Maybe[float | None], form: object) -> Text:
    if not known(value):
        return Text("?", style="magenta")
    return Text("never" if value is None else form(value))  # type: ignore[operator]


def simple_table(*columns: tuple[str, str]) -> Table:
    """A table without lines; columns of (name, justification)."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold dim")
    for name, justify in columns:
        # Names may fold, numbers never: a folded number is another number.
        table.add_column(name, justify=justify, overflow="fold", no_wrap=justify == "right")  # type: ignore[arg-type]
    return table


def queue_table(queues: Iterable[QueueReport]) -> Table:
    """One row a queue; `?` where it could not be seen."""
    table = simple_table(
        ("queue", "left"), ("state", "left"), ("waiting", "right"), ("unacked", "right"), ("in", "right"), ("out", "right"),
        ("growth", "right"), ("oldest", "right"), ("memory", "right"), ("empty in", "right"),
    )  # fmt: skip
    for queue in queues:
        table.add_row(
            safe(queue.name),
            Text(queue.state.value, style=_STATE_STYLE[queue.state]),
            _shown(queue.depth, count),
            _shown(queue.unacked, count),
            _shown(queue.arrival_per_s, rate),
            _shown(queue.service_per_s, rate),
            _shown(queue.growth_per_s, rate),
            _shown(queue.oldest_age_s, duration),
            _shown(queue.bytes, size),
            _shown(queue.drain_s, duration),
        )
    return table


def task_table(tasks: Sequence[TaskReport]) -> Table:
    """The tasks that make most of the queues, with the interval the workers could sustain."""
    table = simple_table(
        ("task", "left"), ("queue", "left"), ("share", "right"), ("in", "right"), ("out", "right"),
        ("edge interval", "right"), ("safe interval", "right"), ("workers needed", "right"),
    )  # fmt: skip
    for task in tasks[:_MOST_TASKS]:
        table.add_row(
            safe(task.name),
            safe(task.queue),
            _shown(task.depth_share, percent),
            _shown(task.arrival_per_s, rate),
            _shown(task.service_per_s, rate),
            _shown(task.edge_interval_s, duration),
            _shown(task.min_safe_interval_s, duration),
            _shown(task.capacity_factor, lambda factor: f"× {significant(factor, 3)}"),
        )
    if len(tasks) > _MOST_TASKS:
        table.add_row(Text(f"… {len(tasks) - _MOST_TASKS} more (--json shows all)", style="dim"))
    return table


def _memory(diagnosis: Diagnosis, out: Console) -> None:
    memory = diagnosis.memory
    if not known(memory.by_family):
        return
    parts = sorted(memory.by_family.items(), key=lambda item: -item[1])
    text = " · ".join(f"{name} {size(weight)}" for name, weight in parts if weight)
    out.print(safe(f"memory: {text}", "dim"))


def _findings(findings: Sequence[Finding], out: Console, *, verbose: bool) -> None:
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
    style = _LEVEL_STYLE[finding.level]
    grid.add_row(Text(finding.level.name.lower(), style), Text(finding.rule, style), safe(finding.sentence))
    out.print(grid)
    if finding.remedy:
        # Not wrapped: a command is there to be pasted.
        out.print(safe(f"         → {finding.remedy}", "dim"), soft_wrap=True)


def _cost(diagnosis: Diagnosis) -> str:
    cost = diagnosis.cost
    server = f", {significant(cost.server_ms, 2)} ms of its time" if known(cost.server_ms) else ""
    return f"Watched for {diagnosis.window_s:.1f} s with {count(cost.commands)} commands{server}. Read only."
