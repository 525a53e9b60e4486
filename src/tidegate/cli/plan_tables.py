"""A plan as people read it: sentences, pools, entries, tasks, and what could not be told."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tidegate.cli.plan_words import basis_of, has_none, hosts, sentences_of, span, style_of, worst_first
from tidegate.cli.render import safe, shown
from tidegate.cli.table import Column, print_table
from tidegate.facts.planned import EntryPlan, HostsLost, Plan, PoolPlan, Range, TaskMeasured
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.units import count, duration, percent, plural, rate, significant

_MOST_SENTENCES = 8
_MOST_ROWS = 20
_MOST_REASONS = 8
#: Names of so many rows that share a reason are listed.
_MOST_NAMES = 3
_INSTALL = "    import tidegate\n    tidegate.install(app)"


def show_plan(plan: Plan, out: Console, *, verbose: bool = False) -> None:
    """Everything but the chart and what stands below it: sentences first, then the tables."""
    if not plan.probe.runs:
        _nothing_yet(plan, out)
        return
    entries = worst_first(plan.entries)
    show_sentences(entries, plan, out)
    _print(out, POOL_COLUMNS, plan.pools)
    _print(out, entry_columns(plan), entries[: None if verbose else _MOST_ROWS])
    if not verbose and len(entries) > _MOST_ROWS:
        out.print(Text(f"… {count(len(entries) - _MOST_ROWS)} more (-v shows all)", "dim"))
    if verbose:
        _print(out, TASK_COLUMNS, plan.tasks)


def _nothing_yet(plan: Plan, out: Console) -> None:
    if plan.probe.workers:
        report = f"{plural(plan.probe.workers, 'worker')} with the probe"
        out.print(f"Nothing was measured yet: there is {report}, and no run has ended since it started.")
        return
    out.print("Nothing was measured yet. Add the probe to the application, then restart its workers and beat:")
    out.print(Text(_INSTALL, "bold"))


def _print(out: Console, columns: Sequence[Column], rows: Sequence[object]) -> None:
    if rows:
        out.print()
        print_table(out, columns, rows)


def show_foot(plan: Plan, out: Console, *, verbose: bool = False) -> None:
    """What `?` stands for, the notes, and what the plan rests on."""
    reasons = list(_reasons(plan, verbose=verbose)) if plan.probe.runs else []
    if reasons or plan.notes:
        out.print()
    for line in reasons[: None if verbose else _MOST_REASONS]:
        out.print(safe(line, "magenta"))
    if not verbose and len(reasons) > _MOST_REASONS:
        out.print(Text(f"… {count(len(reasons) - _MOST_REASONS)} more (-v shows all)", "dim"))
    for note in plan.notes:
        out.print(safe(f"note: {note}"))
    out.print()
    out.print(safe(basis_of(plan), "dim"))


def show_sentences(entries: Sequence[EntryPlan], plan: Plan, out: Console) -> None:
    """The entries given, as many as can be read; the rest is counted by how it stands."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(overflow="fold", max_width=max(12, out.width // 4))
    grid.add_column(overflow="fold")
    for entry in entries[:_MOST_SENTENCES]:
        grid.add_row(safe(entry.entry, style_of(entry)), safe(sentences_of(entry, plan)))
    if entries:
        out.print(grid)
    rest = entries[_MOST_SENTENCES:]
    if rest:
        out.print(Text(f"… {_counted(rest)} (--entry NAME tells of one)", "dim"))


def _counted(entries: Sequence[EntryPlan]) -> str:
    unsafe = sum(known(entry.safe) and not entry.safe for entry in entries)
    unknown = sum(not known(entry.safe) for entry in entries)
    said = [(unsafe, "not safe"), (unknown, "unknown"), (len(entries) - unsafe - unknown, "safe")]
    return f"{count(len(entries))} more: " + ", ".join(f"{count(number)} {how}" for number, how in said if number)


def _slots(value: float) -> str:
    return significant(value, 3)


def _busy(share: float) -> str:
    return percent(share) if math.isfinite(share) else "∞"


POOL_COLUMNS = (
    Column("queues", lambda pool: safe(", ".join(pool.queues)), justify="left"),
    Column("slots", lambda pool: Text(count(pool.slots))),
    Column("hosts", lambda pool: Text(count(pool.hosts))),
    Column("effective", lambda pool: shown(pool.effective_slots, _slots), expendable=2),
    Column("slots needed", lambda pool: shown(pool.needed_slots, count)),
    Column("busy", lambda pool: shown(pool.busy_share, percent), expendable=3),
    Column("utilisation", lambda pool: shown(pool.utilisation, _busy)),
    Column("mean wait", lambda pool: shown(pool.mean_wait_s, duration), expendable=1),
    Column("empty in", lambda pool: shown(pool.drain_s, duration), expendable=4),
)
TASK_COLUMNS = (
    Column("task", lambda task: safe(task.task), justify="left"),
    Column("queue", lambda task: safe(task.queue), justify="left", expendable=3),
    Column("entry", lambda task: safe(task.entry), justify="left", expendable=4),
    Column("runs", lambda task: Text(count(task.runs))),
    Column("rate", lambda task: shown(task.runs_per_s, rate)),
    Column("mean run", lambda task: shown(task.mean_s, duration)),
    Column("p50", lambda task: shown(task.p50_s, duration), expendable=9),
    Column("p95", lambda task: shown(task.p95_s, duration), expendable=5),
    Column("p99", lambda task: shown(task.p99_s, duration), expendable=8),
    Column("wait p50", lambda task: shown(task.wait_p50_s, duration), expendable=7),
    Column("wait p95", lambda task: shown(task.wait_p95_s, duration), expendable=2),
    Column("CPU", lambda task: shown(task.cpu_share, percent), expendable=10),
    Column("slots busy", lambda task: shown(task.load, _slots), expendable=1),
    Column("failed", lambda task: Text(count(task.failed)), expendable=6),
    Column("lost", lambda task: Text(count(task.lost)), expendable=6),
)


def entry_columns(plan: Plan) -> tuple[Column, ...]:
    """The columns of the entries, with one for every number of lost hosts that was planned for."""
    numbers = sorted({lost.lost for entry in plan.entries for lost in entry.with_hosts_lost})
    return (
        Column("entry", lambda entry: safe(entry.entry, style_of(entry)), justify="left"),
        Column("task", lambda entry: safe(entry.task), justify="left", expendable=12),
        Column("every", lambda entry: shown(entry.interval_s, duration)),
        Column("work", lambda entry: Text.assemble(shown(entry.work_s, duration), _error(entry)), expendable=4),
        Column("edge", lambda entry: _of(entry, entry.edge_interval_s, duration)),
        Column("safe", lambda entry: _of(entry, entry.min_safe_interval_s, _estimate)),
        Column("95 % range", lambda entry: _of(entry, entry.min_safe_interval_s, span), expendable=2),
        Column("freshest", lambda entry: _of(entry, entry.freshest_interval_s, duration), expendable=6),
        *(_lost_column(number, plan) for number in numbers),
        Column("growth", lambda entry: shown(entry.growth_per_s, rate), expendable=3),
        Column("age", lambda entry: shown(entry.age_s, duration), expendable=10),
        Column("memory full in", lambda entry: shown(entry.full_in_s, duration), expendable=7),
        Column("all together", lambda entry: shown(entry.joint_interval_s, duration), expendable=8),
        Column("best split", lambda entry: shown(entry.split_interval_s, duration), expendable=9),
    )


def _of(row: EntryPlan | HostsLost, value: Maybe[Any], form: object) -> Text:
    """An interval, or `none` where it is known that there is none."""
    return Text("none", "bold red") if has_none(row) and not known(value) else shown(value, form)


def _lost_column(number: int, plan: Plan) -> Column:
    def cell(entry: EntryPlan) -> Text:
        lost = _lost(entry, number)
        return _of(lost, lost.min_safe_interval_s, _estimate) if lost else Text("")

    # With one host lost the answer is half of why a plan is asked for.
    return Column(f"{hosts(number, plan)} lost", cell, expendable=1 if number == 1 else 5)


def _lost(entry: EntryPlan, number: int) -> HostsLost | None:
    return next((lost for lost in entry.with_hosts_lost if lost.lost == number), None)


def _estimate(interval: Range) -> str:
    return duration(interval.estimate)


def _error(entry: EntryPlan) -> str:
    return f" ± {duration(entry.work_s_error)}" if known(entry.work_s) and known(entry.work_s_error) else ""


def _reasons(plan: Plan, *, verbose: bool) -> Iterator[str]:
    """Each reason for a `?` once, with what it stands for."""
    found: dict[str, list[str]] = defaultdict(list)
    for name, row in _rows(plan, verbose=verbose):
        for why in dict.fromkeys(value.why for value in _values(row) if isinstance(value, Unknown)):
            found[why].append(name)
    for why, names in found.items():
        listed = list(dict.fromkeys(names))
        more = f" and {count(len(listed) - _MOST_NAMES)} more" if len(listed) > _MOST_NAMES else ""
        yield f"? {why} ({', '.join(listed[:_MOST_NAMES])}{more})"


def _rows(plan: Plan, *, verbose: bool) -> Iterator[tuple[str, PoolPlan | EntryPlan | TaskMeasured]]:
    yield from ((", ".join(pool.queues), pool) for pool in plan.pools)
    yield from ((entry.entry, entry) for entry in worst_first(plan.entries))
    if verbose:
        yield from ((task.task, task) for task in plan.tasks)


def _values(row: PoolPlan | EntryPlan | TaskMeasured) -> list[Maybe[object]]:
    """What its `?` stand for; where there is `none`, a sentence says why."""
    values = [getattr(row, field.name) for field in fields(row)]
    if not isinstance(row, EntryPlan):
        return values
    said = {row.min_safe_interval_s} if has_none(row) else set()
    lost = [lost.min_safe_interval_s for lost in row.with_hosts_lost if not has_none(lost)]
    return [value for value in [*values, *lost] if isinstance(value, Unknown) and value not in said]
