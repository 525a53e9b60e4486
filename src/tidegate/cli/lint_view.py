"""The answer of `tidegate lint` as people read it."""

from rich.console import Console
from rich.text import Text

from tidegate.cli.render import LEVEL_STYLE, safe, show_findings, shown
from tidegate.cli.table import Column, print_table
from tidegate.facts.diagnosis import Level
from tidegate.facts.lint import EntryReport, Lint
from tidegate.facts.unknown import Maybe, known
from tidegate.units import count, duration

_NEVER = "never"


def _queues(value: Maybe[tuple[str, ...]]) -> Text:
    return safe(", ".join(value) or "none") if known(value) else Text("?", style="magenta")


ENTRY_COLUMNS = (
    Column("entry", lambda entry: safe(entry.name), justify="left"),
    Column("task", lambda entry: safe(entry.task), justify="left", expendable=2),
    Column("schedule", lambda entry: safe(_schedule(entry)), justify="left"),
    Column("queue", lambda entry: _queues(entry.queues), justify="left", expendable=3),
    Column("expires", lambda entry: shown(entry.expires_s, duration), expendable=4),
    Column("edge", lambda entry: shown(entry.edge_interval_s, duration), expendable=1),
    Column("safe", lambda entry: shown(entry.min_safe_interval_s, duration)),
)


def _schedule(entry: EntryReport) -> str:
    off = "" if entry.enabled else " (off)" if entry.in_force else " (not in force)"
    return f"{entry.schedule or '?'}{off}"


def show_lint(lint: Lint, out: Console, *, verbose: bool = False) -> None:
    """One line on the application, with -v every entry, then what was found, with evidence and remedy."""
    out.print(_headline(lint))
    if verbose and lint.entries:
        out.print()
        print_table(out, ENTRY_COLUMNS, lint.entries)
    show_findings(lint.findings, out, verbose=verbose)
    for sentence in _blanks(lint):
        out.print(safe(sentence, "dim"))


def _headline(lint: Lint) -> Text:
    worst = max((finding.level for finding in lint.findings), default=Level.OK)
    line = Text()
    line.append(f"{worst.name}  ", style=LEVEL_STYLE[worst])
    entries = "entry" if len(lint.entries) == 1 else "entries"
    return line + safe(f"{lint.app}  {count(len(lint.entries))} periodic {entries}  sent by {lint.scheduler}")


def _blanks(lint: Lint) -> list[str]:
    """What whole groups of checks could not look at, in a sentence each: nobody should take that for fine."""
    unread = [(row.name, row.entries.why) for row in lint.schedulers if not known(row.entries)]
    return [
        *(f"Entries of {name} were not judged: {why}." for name, why in unread),
        *([f"Intervals were not judged: {lint.run_times.why}."] if not known(lint.run_times) else []),
        *([f"Consumers were not judged: {lint.consumed.why}."] if not known(lint.consumed) else []),
    ]
