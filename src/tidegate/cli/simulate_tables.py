"""A simulation as people read it: the sentence, then queues, tasks, entries and pools, and the depth over time."""

from collections.abc import Callable, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from tidegate.cli.chart import Chart, Line
from tidegate.cli.render import STATE_STYLE, safe, shown
from tidegate.cli.table import Column, print_table
from tidegate.facts.simulated import Mean, Simulated, Spread
from tidegate.facts.unknown import known
from tidegate.units import count, duration, percent, plural, rate, significant, size

_MOST_ROWS = 20
#: More lines than this can't be told apart.
_MOST_LINES = 4
_SPANS = ((2 * 86400.0, 86400.0, "days"), (2 * 3600.0, 3600.0, "hours"), (300.0, 60.0, "minutes"))


def show_simulated(answer: Simulated, out: Console, *, verbose: bool = False) -> None:
    """Everything but the chart and what stands below it."""
    out.print(Text(f"{answer.verdict.value.upper()}  ", STATE_STYLE[answer.verdict]) + safe(answer.sentence))
    _table(out, QUEUE_COLUMNS, answer.queues, verbose=verbose)
    _table(out, TASK_COLUMNS, answer.tasks, verbose=verbose)
    _table(out, ENTRY_COLUMNS, answer.entries, verbose=verbose)
    _table(out, POOL_COLUMNS, answer.pools, verbose=verbose)


def _table(out: Console, columns: Sequence[Column], rows: Sequence[object], *, verbose: bool) -> None:
    if rows:
        out.print()
        print_table(out, columns, rows if verbose else rows[:_MOST_ROWS])
    if len(rows) > _MOST_ROWS and not verbose:
        out.print(Text(f"… {count(len(rows) - _MOST_ROWS)} more (-v shows all)", "dim"))


def show_foot(answer: Simulated, out: Console) -> None:
    """Notes, what was simulated, and what became of all messages."""
    for note in answer.notes:
        out.print(safe(f"note: {note}"))
    out.print(safe(_basis(answer), "dim"))


def _basis(answer: Simulated) -> str:
    how = "as a fluid" if answer.mode == "fluid" else f"message by message, seed {answer.seed}"
    times = f"{plural(answer.runs, 'run')} of " if answer.runs > 1 else ""
    cut = f", the first {duration(answer.warmup_s)} left out of all means" if answer.warmup_s else ""
    early = "" if answer.simulated_s >= answer.duration_s else f" of {duration(answer.duration_s)}"
    return f"Simulated {times}{duration(answer.simulated_s)}{early} {how}{cut}. {_account(answer)}"


def _account(answer: Simulated) -> str:
    messages = answer.messages
    parts = {
        "run twice": messages.duplicated, "done": messages.done, "waiting": messages.waiting,
        "reserved": messages.unacked, "running": messages.running, "deferred": messages.deferred,
        "lost": messages.lost, "expired": messages.expired,
    }  # fmt: skip
    said = ", ".join(f"{count(number)} {what}" for what, number in parts.items() if number)
    return f"{plural(messages.published, 'message')} published: {said or 'nothing came of them'}."


def _averaged(value: Mean | Spread, form: Callable[[float], str]) -> Text:
    """`1.2 s ± 8 %`, or `0.01/s ± 0.02/s` where the error is larger than the mean; an error below 1 % is left out."""
    text = shown(value.mean, form)
    if known(value.mean) and known(value.error) and value.error > 0.01 * abs(value.mean):
        wide = value.error > abs(value.mean)
        text.append(f" ± {form(value.error) if wide else percent(value.error / abs(value.mean))}", "dim")
    return text


def _growth(value: Mean) -> Text:
    """0 where it can't be told from it."""
    if known(value.mean) and known(value.error) and value.error > abs(value.mean):
        return Text("0/s") + Text(f" ± {rate(value.error)}", "dim")
    return _averaged(value, rate)


def _number(value: float) -> str:
    return significant(value, 3 if abs(value) < 1000 else 4)


def _skips(skipped: Mapping[str, int]) -> Text:
    return Text(count(sum(skipped.values())))


QUEUE_COLUMNS = (
    Column("queue", lambda queue: safe(queue.name), justify="left"),
    Column("state", lambda queue: Text(queue.state.value, STATE_STYLE[queue.state]), justify="left"),
    Column("growth", lambda queue: _growth(queue.growth_per_s)),
    Column("mean depth", lambda queue: _averaged(queue.depth, _number)),
    Column("most", lambda queue: Text(count(queue.most_depth)), expendable=1),
    Column("at the end", lambda queue: Text(count(queue.end_depth))),
    Column("unacked", lambda queue: shown(queue.unacked.mean, _number), expendable=3),
    Column("memory at the end", lambda queue: Text(size(queue.end_bytes)), expendable=2),
    Column("empty in", lambda queue: shown(queue.drain_s, duration), expendable=4),
)
TASK_COLUMNS = (
    Column("task", lambda task: safe(task.name), justify="left"),
    Column("queue", lambda task: safe(task.queue), justify="left", expendable=6),
    Column("done", lambda task: _averaged(task.done_per_s, rate), expendable=2),
    Column("mean wait", lambda task: _averaged(task.wait, duration)),
    Column("p95", lambda task: shown(task.wait.p95_s, duration), expendable=1),
    Column("p99", lambda task: shown(task.wait.p99_s, duration), expendable=5),
    Column("mean run", lambda task: _averaged(task.run, duration), expendable=3),
    Column("twice", lambda task: Text(count(task.duplicated)), expendable=8),
    Column("retried", lambda task: Text(count(task.retried)), expendable=9),
    Column("lost", lambda task: Text(count(task.lost)), expendable=4),
    Column("expired", lambda task: Text(count(task.expired)), expendable=7),
    Column("skipped", lambda task: _skips(task.skipped), expendable=7),
)
ENTRY_COLUMNS = (
    Column("entry", lambda entry: safe(entry.name), justify="left"),
    Column("task", lambda entry: safe(entry.task), justify="left", expendable=4),
    Column("fired", lambda entry: Text(count(entry.fired)), expendable=2),
    Column("published", lambda entry: Text(count(entry.published)), expendable=3),
    Column("skipped", lambda entry: _skips(entry.skipped)),
    Column("age, read at run", lambda entry: _averaged(entry.age_read_at_run_s, duration)),
    Column("age, read at publish", lambda entry: _averaged(entry.age_read_at_publish_s, duration)),
    Column("oldest", lambda entry: shown(entry.most_age_s, duration), expendable=1),
)
POOL_COLUMNS = (
    Column("queues", lambda pool: safe(", ".join(pool.queues)), justify="left"),
    Column("hosts", lambda pool: Text(count(pool.hosts))),
    Column("slots", lambda pool: Text(count(pool.slots))),
    Column("busy", lambda pool: _averaged(pool.busy_share, percent)),
)


def chart_of(answer: Simulated) -> Chart:
    """Depth over time of the deepest queues."""
    divisor, unit = next(((each, name) for least, each, name in _SPANS if answer.duration_s >= least), (1.0, "s"))
    xs = [at / divisor for at in answer.at_s]
    deepest = sorted(answer.queues, key=lambda queue: -queue.most_depth)[:_MOST_LINES]
    return Chart(
        title="Messages waiting",
        x_label=f"time, {unit}",
        y_label="messages",
        lines=[Line(queue.name, xs, list(queue.depth_at)) for queue in deepest],
    )
