"""The schedule as people read it: who leads, a row an entry, everything of one entry, and what an act came to."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from tidegate.cli.gate_tables import none_or
from tidegate.cli.render import safe, shown
from tidegate.cli.table import Column, print_table
from tidegate.facts.beat import BeatOutcome
from tidegate.facts.scheduled import Acted, EntryRow, EntryShown, Leader, Schedule
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.units import count, duration, plural

#: Outcomes that are counted as sent; all others are not.
_SENT = (BeatOutcome.SENT, BeatOutcome.JITTERED, BeatOutcome.BUFFERED, BeatOutcome.REPLACED)
#: Rows that are shown where not all are wanted.
_MOST_ROWS = 50
_LATEST_S = 32_503_680_000


def show_schedule(found: Schedule, out: Console, *, verbose: bool) -> None:
    """Who leads, the entries, and what is wrong with those in trouble."""
    _show_head(found, out)
    if not known(found.entries):
        out.print(safe(f"The entries can't be read: {found.entries.why}."))
        return
    if not found.entries:
        out.print("The application has no entries.")
        return
    rows = found.entries if verbose else found.entries[:_MOST_ROWS]
    out.print()
    print_table(out, _columns(found.at_s), rows)
    more = len(found.entries) - len(rows) + found.left_out
    if more:
        out.print(Text(f"… {count(more)} more ({'' if verbose else '-v shows them, '}--json has up to 2,000)", "dim"))
    _show_troubles(rows, out)
    if found.strange:
        out.print(safe(f"{plural(found.strange, 'field')} in Redis that nobody of ours wrote."))


def _show_head(found: Schedule | EntryShown, out: Console) -> None:
    out.print(safe(f"{found.url}  schedule {found.name}  {_led(found.leader, found.at_s)}"))
    if not known(found.ours):
        out.print(safe(f"Whether its scheduler is one of Tidegate's can't be seen: {found.ours.why}."))
    elif not found.ours:
        out.print(
            safe(
                f"Its beat_scheduler is {found.scheduler}, none of Tidegate's: what becomes of its due times is not counted, "
                "and nothing can be changed from here."
            )
        )


def _led(leader: Maybe[Leader | None], at_s: float) -> str:
    if not known(leader):
        return f"who leads can't be seen: {leader.why}"
    if leader is None:
        return "no beat leads"
    since = f" for {duration(max(0.0, at_s - leader.since_s))}" if known(leader.since_s) else ""
    return f"led by {leader.who}{since}"


def _columns(at_s: float) -> Sequence[Column]:
    return (
        Column("entry", lambda row: safe(row.entry), justify="left"),
        Column("state", _state, justify="left"),
        Column("interval", _interval),
        Column("why", lambda row: safe(row.interval_why), justify="left", expendable=3),
        Column("last", lambda row: _outcome(row.last_outcome), justify="left"),
        Column("due", lambda row: none_or(row.last_due_s, lambda due_s: _ago(at_s - due_s)), expendable=4),
        Column("next", lambda row: none_or(row.next_due_s, lambda due_s: _ahead(due_s - at_s))),
        Column("sent", lambda row: _counted(row, sent=True), expendable=1),
        Column("not sent", lambda row: _counted(row, sent=False), expendable=2),
        Column("task", lambda row: safe(row.task), justify="left", expendable=5),
    )


def _state(row: EntryRow) -> Text:
    if row.trouble:
        return Text("trouble", "bold red")
    if not known(row.paused):
        return Text("?", "magenta")
    if row.paused:
        return Text("paused", "yellow")
    return Text("ok", "green") if row.enabled else Text("off", "dim")


def _interval(row: EntryRow) -> Text:
    if known(row.interval_s) and row.interval_s is None:
        return Text(row.schedule.partition(" ")[0] or "-", "dim")
    return shown(row.interval_s, duration)


def _outcome(outcome: Maybe[str | None]) -> Text:
    return none_or(outcome, lambda value: str(value).replace("_", " "))


def _counted(row: EntryRow, *, sent: bool) -> Text:
    if not known(row.counts):
        return shown(row.counts, count)
    return Text(count(sum(many for outcome, many in row.counts.items() if (outcome in _SENT) is sent)))


def _ago(age_s: float) -> str:
    return f"{duration(age_s)} ago" if age_s >= 0.001 else "now"


def _ahead(left_s: float) -> str:
    return f"in {duration(left_s)}" if left_s > 0.001 else "now" if left_s > -1 else f"{duration(-left_s)} late"


def _show_troubles(rows: Sequence[EntryRow], out: Console) -> None:
    troubled = [row for row in rows if row.trouble]
    if troubled:
        out.print()
    for row in troubled:
        out.print(safe(f"{row.entry}: {row.trouble}."))


def show_entry(found: EntryShown, out: Console) -> None:
    """Everything of one entry in lines, then what the journal says of it."""
    row = found.entry
    _show_head(found, out)
    out.print()
    for title, cell in _lines(row, found.at_s):
        out.print(Text(f"{title:<14}", "bold dim") + cell, soft_wrap=True)
    if not known(found.journal):
        out.print(safe(f"The journal can't be read: {found.journal.why}."))
    elif found.journal:
        out.print()
        print_table(out, _JOURNAL_COLUMNS, found.journal)


_JOURNAL_COLUMNS = (
    Column("at (UTC)", lambda line: Text(_clock(line.at_s)), justify="left"),
    Column("what", lambda line: safe(line.what.replace("_", "-")), justify="left"),
    Column("who", lambda line: safe(line.who), justify="left"),
    Column("was", lambda line: safe(line.was), justify="left", expendable=2),
    Column("now", lambda line: safe(line.now), justify="left"),
    Column("why", lambda line: safe(line.why), justify="left", expendable=1),
)


def _lines(row: EntryRow, at_s: float) -> list[tuple[str, Text]]:
    bounds = [f"{name} {duration(value)}" for name, value in (("min", row.min_s), ("max", row.max_s)) if value]
    lines = [
        ("entry", safe(row.entry)),
        ("task", safe(row.task)),
        ("schedule", safe(row.schedule or "none")),
        ("state", _state(row)),
        ("interval", _interval_in_full(row)),
        ("bounds", safe(", ".join(bounds) or "none")),
        ("overlap", safe(row.overlap)),
        ("ordered", _ordered(row.ordered_by, row.ordered_at_s, at_s)),
        ("run-now", none_or(row.asked_by, lambda who: f"asked for by {who}, not sent yet")),
        ("last due", none_or(row.last_due_s, lambda due_s: f"{_clock(due_s)} UTC, {_ago(at_s - due_s)}")),
        ("last outcome", _outcome(row.last_outcome) + _because(row.last_why)),
        ("next due", _next(row, at_s)),
        ("due times", _counts(row)),
    ]
    return [*lines, ("trouble", safe(row.trouble, "bold red"))] if row.trouble else lines


def _interval_in_full(row: EntryRow) -> Text:
    if known(row.interval_s) and row.interval_s is None:
        return Text("none", "dim")
    return shown(row.interval_s, duration) + safe(f", {row.interval_why}")


def _ordered(who: Maybe[str | None], at_s: Maybe[float | None], now_s: float) -> Text:
    if not known(who) or not known(at_s):
        return Text("?", "magenta")
    if who is None or at_s is None:
        return Text("nothing", "dim")
    return safe(f"by {who or 'somebody'}, {_ago(now_s - at_s)}")


def _because(why: Maybe[str | None]) -> Text:
    return safe(f": {why}") if known(why) and why else Text("")


def _next(row: EntryRow, at_s: float) -> Text:
    if isinstance(row.next_due_s, Unknown):
        return safe(f"? ({row.next_due_s.why})", "magenta")
    return none_or(row.next_due_s, lambda due_s: f"{_clock(due_s)} UTC, {_ahead(due_s - at_s)}")


def _counts(row: EntryRow) -> Text:
    if not known(row.counts):
        return safe(f"? ({row.counts.why})", "magenta")
    parts = sorted(row.counts.items(), key=lambda part: -part[1])
    return safe(", ".join(f"{count(many)} {outcome.replace('_', ' ')}" for outcome, many in parts) or "none counted")


def _clock(at_s: float) -> str:
    return datetime.fromtimestamp(min(max(at_s, 0.0), _LATEST_S), UTC).strftime("%Y-%m-%d %H:%M:%S")


def show_act(done: Acted, out: Console) -> None:
    """What was, what is, and whether a beat goes by it."""
    said = f"{done.entry}: {done.now} (was: {done.was})" if done.changed else f"{done.entry}: {done.now} already"
    out.print(safe(f"{said}{'' if done.changed else '; nothing changed'}. {_held(done)}"), soft_wrap=True)


def _held(done: Acted) -> str:
    if not known(done.in_force):
        return f"Whether a beat goes by it can't be seen: {done.in_force.why}."
    if done.in_force is None:
        return "No beat leads at the moment: it holds when one does."
    if done.in_force:
        what = "The leading beat has it" if done.act == "run_now" else "In force"
        return f"{what}, {'after ' + duration(done.waited_s) if done.waited_s >= 0.01 else 'at once'}."
    return f"The leading beat has not taken it over within {duration(done.waited_s)}: it does when it looks."
