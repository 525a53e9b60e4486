"""The schedule as it runs, shown and changed, in one call each: what `tidegate schedule` does, for programs.

Only the acts (`set_interval`, `pause`, `resume`, `run_now`, `reset`) write; each is journaled.
"""

import difflib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tidegate import __version__
from tidegate.act.beat import ordering
from tidegate.act.beat.ordering import Where, Written
from tidegate.act.beat.wanted import Wanted, setting
from tidegate.act.journal import entries_since
from tidegate.broker.address import Address
from tidegate.broker.client import Broker, connect
from tidegate.document import iso
from tidegate.errors import CannotLook, Refused, UsageError
from tidegate.facts.beat import EntryPolicy
from tidegate.facts.journal import JournalEntry
from tidegate.facts.scheduled import Acted, BeatSeen, EntryShown, Rules, Schedule
from tidegate.facts.seen import AppSeen, EntrySeen
from tidegate.facts.unknown import Maybe, known
from tidegate.model.scheduled import rows_of
from tidegate.observe.beat import MOST_ENTRIES, in_force, see_beat

#: How long an act waits for a beat to take it over, and how often it looks.
WAITS_S, _LOOKS_EVERY_S = 2.0, 0.05
#: Lines of the journal that are looked through for those of one entry, and that are shown.
_MOST_LINES, _LATEST = 2000, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """Where the schedule runs, and what the application says of it."""

    address: Address
    app: AppSeen
    rules: Rules
    timeout_s: float = 5.0


def schedule_of(at: Scheduled) -> Schedule:
    """Every entry as it runs, the worst first; of more than `MOST_ENTRIES` the others are only counted. Writes nothing.

    Costs some seventy commands in eight round trips. Raises CannotLook where the broker can't be seen.
    """
    entries = _entries(at.app)
    names = [entry.name for entry in entries] if known(entries) else []
    with connect(at.address, at.timeout_s) as broker:
        beat = see_beat(broker, at.rules.name, names)
    shown = entries[:MOST_ENTRIES] if known(entries) else entries
    return Schedule(
        tidegate=__version__,
        at=iso(beat.at_s),
        at_s=beat.at_s,
        url=at.address.shown,
        name=at.rules.name,
        scheduler=at.app.scheduler,
        ours=_is_ours(at.rules, beat),
        leader=beat.leader,
        entries=rows_of(shown, at.rules, beat) if known(shown) else shown,
        left_out=max(0, len(names) - MOST_ENTRIES),
        strange=beat.strange,
    )


def entry_of(at: Scheduled, name: str) -> EntryShown:
    """One entry as it runs, and what the journal says of it. Raises UsageError where there is none of that name."""
    entry = _named(at.app, name)
    with connect(at.address, at.timeout_s) as broker:
        beat = see_beat(broker, at.rules.name, [name])
        journal = _lines_of(broker, name)
    [row] = rows_of([entry], at.rules, beat)
    return EntryShown(
        tidegate=__version__,
        at=iso(beat.at_s),
        at_s=beat.at_s,
        url=at.address.shown,
        name=at.rules.name,
        scheduler=at.app.scheduler,
        ours=_is_ours(at.rules, beat),
        leader=beat.leader,
        entry=row,
        journal=journal,
    )


def set_interval(at: Scheduled, name: str, wanted: Wanted, who: str, why: str = "") -> Acted:
    """Orders another interval. Raises UsageError where it does not fit the entry, Refused where no beat would follow."""
    change = setting(_named(at.app, name), at.rules.policies.get(name, EntryPolicy()), wanted)
    return _acted(at, name, "set", who, lambda where: ordering.order(where, "set", change, why))


def pause(at: Scheduled, name: str, who: str, why: str = "") -> Acted:
    """Sends nothing of the entry until it is resumed or reset; its due times are counted as paused."""
    return _acted(at, name, "pause", who, lambda where: ordering.order(where, "pause", ordering.paused, why))


def resume(at: Scheduled, name: str, who: str, why: str = "") -> Acted:
    """Ends a pause."""
    return _acted(at, name, "resume", who, lambda where: ordering.order(where, "resume", ordering.resumed, why))


def reset(at: Scheduled, name: str, who: str, why: str = "") -> Acted:
    """Takes every order of the entry away."""
    return _acted(at, name, "reset", who, lambda where: ordering.order(where, "reset", ordering.reset, why))


def run_now(at: Scheduled, name: str, who: str, why: str = "") -> Acted:
    """Asks for one run at once, beside the schedule. Raises UsageError for an entry that beat does not take up."""
    if not _named(at.app, name).enabled:
        raise UsageError(f"{name} is switched off where it is written, so beat knows nothing of it: switch it on first")
    return _acted(at, name, "run_now", who, lambda where: ordering.ask(where, why))


def _acted(at: Scheduled, name: str, act: str, who: str, write: Callable[[Where], Written]) -> Acted:
    _named(at.app, name)
    with connect(at.address, at.timeout_s) as broker:
        _must_be_ours(at, broker)
        written = write(Where(broker, at.rules.name, name, who))
        began = time.monotonic()
        taken = _taken_over(broker, at.rules.name, written.edition)
    return Acted(
        entry=name,
        act=act,
        changed=written.changed,
        was=written.was,
        now=written.now,
        who=who,
        edition=written.edition,
        in_force=taken,
        waited_s=time.monotonic() - began,
    )


def _taken_over(broker: Broker, name: str, edition: int) -> Maybe[bool | None]:
    """Whether the leading beat goes by that edition, waited for; None where none leads."""
    until = time.monotonic() + WAITS_S
    while True:
        leader, seen = in_force(broker, name)
        if not known(leader) or not known(seen):
            return leader if not known(leader) else False
        if leader is None:
            return None
        if seen is not None and seen >= edition:
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(_LOOKS_EVERY_S)


def _must_be_ours(at: Scheduled, broker: Broker) -> None:
    """An order that no beat goes by would only look like one."""
    leader, _ = in_force(broker, at.rules.name)
    if at.rules.ours is True or (known(leader) and leader is not None):
        return
    said = f"beat_scheduler is {at.app.scheduler}" if known(at.rules.ours) else at.rules.ours.why
    raise Refused(
        f"{said}, and no beat of Tidegate's leads the schedule {at.rules.name!r}, so nobody would go by it; "
        f'nothing was changed. Add the line: app.conf.beat_scheduler = "{_flavour(at.app.scheduler)}"'
    )


def _flavour(scheduler: str) -> str:
    """The scheduler of ours that keeps its entries where this one does."""
    if scheduler == "django" or scheduler.startswith("django_celery_beat"):
        return "tidegate-django"
    return "tidegate-redbeat" if scheduler.startswith("redbeat") else "tidegate"


def _is_ours(rules: Rules, beat: BeatSeen) -> Maybe[bool]:
    """A beat that leads is one of ours, also where it was started with -S and the settings say nothing."""
    return True if known(beat.leader) and beat.leader is not None else rules.ours


def _entries(app: AppSeen) -> Maybe[Sequence[EntrySeen]]:
    """Those of the schedulers that may be in force, also the ones that are switched off."""
    if not known(app.entries):
        return app.entries
    return [entry for entry in every_entry(app) if entry.in_force]


def every_entry(app: AppSeen) -> Sequence[EntrySeen]:
    """All entries that could be read."""
    return [entry for row in app.schedulers if known(row.entries) for entry in row.entries]


def _named(app: AppSeen, name: str) -> EntrySeen:
    entries = _entries(app)
    if not known(entries):
        raise CannotLook(f"the entries of {app.name} can't be read: {entries.why}")
    found = {entry.name: entry for entry in entries}
    if name not in found:
        near = difflib.get_close_matches(name, found, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(found)[:5]) or 'none'}"
        raise UsageError(f"{app.name} has no entry {name!r}: {hint}")
    return found[name]


def _lines_of(broker: Broker, name: str) -> Maybe[tuple[JournalEntry, ...]]:
    """The latest orders of the entry, newest first; among the latest `_MOST_LINES` of the journal."""
    lines = entries_since(broker, most=_MOST_LINES)
    if not known(lines):
        return lines
    own = [line for line in reversed(lines) if line.act == "beat" and line.key == name]
    return tuple(own[:_LATEST])
