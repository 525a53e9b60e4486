"""The status of the gate as people read it: a headline, the bounds, what is held back, and what was noticed."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from tidegate.cli.render import safe, show_findings, shown
from tidegate.cli.table import Column, print_table
from tidegate.facts.diagnosis import GateStatus
from tidegate.facts.gate import Outcome
from tidegate.facts.gated import GateReport, MarkSeen, MarkState, QueueGated
from tidegate.facts.journal import JournalEntry
from tidegate.facts.unknown import Maybe, known
from tidegate.units import count, duration, percent, plural, size

#: Marks that are shown where not all are wanted.
_MOST_MARKS = 10
_STATE_STYLE = {MarkState.WAITING: "cyan", MarkState.HELD: "yellow", MarkState.RUNNING: "green"}
#: The columns of counts, and what is added up in each.
_REFUSED = (Outcome.QUEUE_FULL, Outcome.MEMORY_FULL, Outcome.DEAD_LETTERED)
_DROPPED = (Outcome.DROPPED_HEAD, Outcome.SUPERSEDED)
_SKIPPED = (Outcome.OVERLAP_SKIPPED, Outcome.REPLACED)


def none_or(value: Maybe[object], form: object) -> Text:
    """A cell: the value as `form` writes it, a dash where there is none, and `?` where it could not be seen."""
    if not known(value):
        return Text("?", style="magenta")
    return Text("-", style="dim") if value is None else Text(form(value))  # type: ignore[operator]


def _bound(queue: QueueGated) -> Text:
    if not known(queue.max_length) or not known(queue.max_length_bytes):
        return Text("?", style="magenta")
    limits = [count(queue.max_length)] if queue.max_length else []
    limits += [size(queue.max_length_bytes)] if queue.max_length_bytes else []
    return Text(" / ".join(limits)) if limits else Text("-", style="dim")


def _counted(outcomes: Sequence[Outcome]) -> Callable[[QueueGated], Text]:
    def cell(queue: QueueGated) -> Text:
        counts = queue.counts
        return shown(sum(counts.get(each, 0) for each in outcomes) if known(counts) else counts, count)

    return cell


def _share(queue: QueueGated) -> Text:
    style = "bold red" if known(queue.share) and queue.share is not None and queue.share >= 1 else ""
    cell = none_or(queue.share, percent)
    return Text(cell.plain, style=style or cell.style)


QUEUE_COLUMNS = (
    Column("queue", lambda queue: safe(queue.name), justify="left"),
    Column("waiting", lambda queue: shown(queue.depth, count)),
    Column("bound", _bound),
    Column("full", _share),
    Column("at the bound", lambda queue: none_or(queue.overflow, str), justify="left"),
    Column("refused", _counted(_REFUSED)),
    Column("dropped", _counted(_DROPPED)),
    Column("skipped", _counted(_SKIPPED)),
    Column("spilled", lambda queue: shown(queue.spilled, count), expendable=2),
    Column("on disk", lambda queue: shown(queue.on_disk, count), expendable=3),
    Column("dead letters", lambda queue: none_or(queue.dead_letters, count), expendable=1),
)
MARK_COLUMNS = (
    Column("what is guarded", lambda mark: safe(mark.key), justify="left"),
    Column("its run is", lambda mark: Text(mark.state.value, style=_STATE_STYLE[mark.state]), justify="left"),
    Column("since", lambda mark: Text(duration(mark.since_s))),
    Column("published", lambda mark: Text(f"{duration(mark.age_s)} ago"), expendable=2),
    Column("queue", lambda mark: safe(mark.queue), justify="left", expendable=3),
    Column("held by", lambda mark: _holder(mark), justify="left"),
    Column("task id", lambda mark: safe(mark.id), justify="left", expendable=1),
)
FIRING_COLUMNS = (
    Column("firings of", lambda row: safe(row.entry), justify="left"),
    Column("open", lambda row: Text(count(row.open))),
    Column("oldest began", lambda row: none_or(row.oldest_age_s, lambda age_s: f"{duration(age_s)} ago")),
)
JOURNAL_COLUMNS = (
    Column("at (UTC)", lambda entry: Text(_clock(entry.at_s)), justify="left"),
    Column("what", lambda entry: safe(entry.what), justify="left"),
    Column("queue", lambda entry: safe(entry.queue), justify="left"),
    Column("task", lambda entry: safe(entry.task), justify="left"),
    Column("why", lambda entry: safe(entry.why), justify="left", expendable=1),
    Column("guarded", lambda entry: safe(entry.key), justify="left", expendable=2),
    Column("who", lambda entry: safe(entry.who), justify="left", expendable=3),
    Column("now", lambda entry: safe(entry.now), justify="left", expendable=4),
    Column("task id", lambda entry: safe(entry.id), justify="left", expendable=5),
)


def _holder(mark: MarkSeen) -> Text:
    if mark.worker is None:
        return Text("-", style="dim")
    if not known(mark.alive):
        return safe(f"{mark.worker} ?", "magenta")
    return safe(mark.worker) if mark.alive else safe(f"{mark.worker} (dead)", "bold red")


def _clock(at_s: float) -> str:
    return datetime.fromtimestamp(min(max(at_s, 0.0), 32_503_680_000), UTC).strftime("%Y-%m-%d %H:%M:%S")


def show_status(status: GateStatus, out: Console, *, verbose: bool) -> None:
    """The gate in some lines and tables, then what the rules noticed of it."""
    gate = status.gate
    out.print(safe(_headline(status)))
    out.print()
    print_table(out, QUEUE_COLUMNS, gate.queues)
    if known(gate.marks) and gate.marks:
        out.print()
        _show_marks(gate.marks, gate.marks_total, out, verbose=verbose)
    if known(gate.firings) and gate.firings:
        out.print()
        print_table(out, FIRING_COLUMNS, gate.firings)
    if lines := _lines(gate):
        out.print()
        for line in lines:
            out.print(safe(line))
    show_findings(status.findings, out, verbose=verbose)
    if verbose and known(status.journal) and status.journal:
        out.print()
        show_journal(status.journal, out)


def _headline(status: GateStatus) -> str:
    broker = status.broker
    name = " ".join(str(part) for part in (broker.server, broker.version) if known(part)) or "server"
    return f"{broker.url}  {name}  {_use(status.gate)}"


def _use(gate: GateReport) -> str:
    if not known(gate.in_use):
        return f"whether the gate is in use can't be seen: {gate.in_use.why}"
    if not gate.in_use:
        return "the gate is not in use"
    having, lacking = gate.fleet.with_gate, gate.fleet.without_gate
    with_it = plural(len(having), "worker") if known(having) else "an unknown number of workers"
    without = count(len(lacking)) if known(lacking) else "an unknown number"
    return f"the gate is in use: {with_it} with it, {without} without"


def _show_marks(marks: Sequence[MarkSeen], total: Maybe[int], out: Console, *, verbose: bool) -> None:
    some = marks if verbose else marks[:_MOST_MARKS]
    print_table(out, MARK_COLUMNS, some)
    more = (total if known(total) else len(marks)) - len(some)
    if more > 0:
        out.print(
            Text(f"… {count(more)} more ({'' if verbose else '-v shows them, '}--json has up to 1,000)", style="dim")
        )


def _lines(gate: GateReport) -> list[str]:
    """Sentences for what is no table."""
    memory = gate.memory
    lines = []
    if known(memory.ceiling_bytes) and memory.ceiling_bytes is not None and known(memory.used_bytes):
        lines.append(f"memory: {size(memory.used_bytes)} used, the ceiling is {size(memory.ceiling_bytes)}.")
    lines += _of_disk(gate)
    if known(gate.opened) and gate.opened:
        lines.append(f"opened: {_listed(gate.opened)}.")
    return lines


def _of_disk(gate: GateReport) -> list[str]:
    """Who keeps spilled messages, where anybody does or has; and whose disk takes no more."""
    disks = sorted({queue.disk for queue in gate.queues if known(queue.disk) and queue.disk})
    full = [queue.name for queue in gate.queues if known(queue.disk_full) and queue.disk_full]
    lines = [f"on disk: {', '.join(disks)}."] if disks else []
    if known(gate.keeper) and (gate.keeper or disks):
        lines.append(f"spill keeper: {gate.keeper or 'none acts'}.")
    return [*lines, f"disk full: {', '.join(full)}."] if full else lines


def _listed(counts: Mapping[str, int]) -> str:
    return "; ".join(f"{count(number)} × {why}" for why, number in Counter(counts).most_common(5))


def show_journal(entries: Sequence[JournalEntry], out: Console) -> None:
    """One row a decision, newest first."""
    if not entries:
        out.print("The gate has decided nothing yet but to let everything in.")
        return
    print_table(out, JOURNAL_COLUMNS, entries)
