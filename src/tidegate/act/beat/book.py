"""The entries that the scheduler knows, and when each of them is due next."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from tidegate.act.beat import calendar
from tidegate.act.beat.agenda import Agenda
from tidegate.act.beat.kept import SHORTEST_US, Kept
from tidegate.act.beat.outcomes import rarely
from tidegate.act.beat.pacing import Follower, Pacer
from tidegate.facts.beat import EntryPolicy, Order
from tidegate.model.beat.due import LATE_US, SECOND_US, next_on_grid
from tidegate.model.beat.spread import WIDEST_US, jitter, phases

#: An entry whose due time can't be worked out, or that has none, is looked at again after so long.
AGAIN_US = 60_000_000
_MOST_SAME = 10_000


class Book:
    """Entries by name, each with one place in the agenda; nothing here talks to a server."""

    def __init__(
        self, pacer: Pacer | None, policy_of: Callable[[Any], EntryPolicy], *, shares: bool, spread: bool
    ) -> None:
        """`shares`: cursors are kept on a server, so an entry without one has never been decided on by anybody."""
        self._pacer, self._policy_of = pacer, policy_of
        self._shares, self._spread = shares, spread
        self._followers: list[Follower] = []
        self._same: dict[int, int] = {}
        self.agenda = Agenda()
        #: By entry, what its schedule raised since it was last taken from here.
        self.reported: dict[str, str] = {}
        self.entries: dict[str, Kept] = {}

    def differs(self, listed: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """(names that are new or changed, names that are gone), by the identity of entries and their schedules."""
        entries, changed = self.entries, []
        for name, entry in listed.items():
            kept = entries.get(name)
            if (
                kept is None
                or (kept.entry is not entry and self._is_another(kept, entry))
                or kept.schedule is not entry.schedule
            ):
                changed.append(name)
        gone = [name for name in entries if name not in listed] if len(entries) + len(changed) > len(listed) else []
        return changed, gone

    def _is_another(self, kept: Kept, entry: Any) -> bool:
        """Whether an entry that was put in the place of another says something else; the newer object is kept."""
        try:
            if kept.entry.editable_fields_equal(entry) and kept.entry.options == entry.options:
                kept.entry, kept.schedule = entry, entry.schedule
                return False
        except Exception:  # noqa: BLE001  somebody's own comparison
            return True
        return True

    def take_in(self, listed: Mapping[str, Any], names: Iterable[str], orders: Mapping[str, Order]) -> list[Kept]:
        """Makes these entries known, or anew what is known of them; `plan` is to follow."""
        taken = []
        for name in names:
            entry, before = listed[name], self.entries.get(name)
            kept = Kept(entry, entry.schedule, self._policy(entry), orders.get(name))
            if before is not None:
                kept.cursor_us, kept.last_us = before.cursor_us, before.last_us
                self.agenda.drop(before)
            self.entries[name] = kept
            taken.append(kept)
        return taken

    def _policy(self, entry: Any) -> EntryPolicy:
        try:
            return self._policy_of(entry)
        except Exception as error:  # noqa: BLE001  one entry's settings must not stop the others
            rarely.say(f"policy {entry.name}", "%s goes by its schedule alone: %s", entry.name, error)
            return EntryPolicy()

    def remove(self, names: Iterable[str]) -> None:
        """These entries are gone."""
        for name in names:
            self.agenda.drop(self.entries.pop(name))

    def plan_all(self, some: Iterable[Kept], now_us: int, wall_us: int) -> None:
        """Works out when these come due next; entries of one interval that never ran are spread over it."""
        some = list(some)
        for kept in some:
            kept.interval_us = self.interval_of(kept)
        phase = self._phases(some)
        for kept in some:
            self._begin(kept, now_us, wall_us, phase.get(kept.name))
            self.plan(kept, now_us, wall_us)
        self._tell_pacer()

    def _phases(self, some: Iterable[Kept]) -> dict[str, int]:
        fresh = [kept for kept in some if self._is_spread(kept)]
        if not fresh:
            return {}
        many = Counter(kept.interval_us for kept in self.entries.values())
        wanted = {kept.interval_us for kept in fresh if many[kept.interval_us] > 1}
        groups: dict[int, list[str]] = {interval_us: [] for interval_us in wanted}
        for kept in self.entries.values():
            if kept.interval_us in groups:
                groups[kept.interval_us].append(kept.name)
        found = {name: us for interval_us, names in groups.items() for name, us in phases(names, interval_us).items()}
        return {kept.name: found[kept.name] for kept in fresh if kept.name in found}

    def _is_spread(self, kept: Kept) -> bool:
        if not kept.interval_us or kept.cursor_us or kept.last_us or not (self._spread and kept.policy.spread):
            return False
        return self._shares or not kept.entry.total_run_count

    def _begin(self, kept: Kept, now_us: int, wall_us: int, phase_us: int | None) -> None:
        """From which due time on it is reckoned."""
        if kept.cursor_us:
            kept.last_us = kept.cursor_us
        elif not kept.last_us:
            ran = kept.entry.last_run_at
            # One that never ran at all is due at once.
            kept.last_us = calendar.us_of(ran) if ran is not None else now_us - (kept.interval_us or AGAIN_US)
            if phase_us is not None:
                width_us = min(kept.interval_us, WIDEST_US)
                kept.last_us += (phase_us - (kept.last_us + kept.interval_us)) % width_us

    def plan(self, kept: Kept, now_us: int, wall_us: int) -> None:
        """Its next due time, from the last one on, and its place in the agenda."""
        kept.interval_us = self.interval_of(kept)
        if kept.interval_us:
            kept.due_us = next_on_grid(kept.last_us, kept.interval_us, now_us)
            jitter_us = self.jitter_of(kept)
            at_us = kept.due_us + jitter_us if jitter_us else kept.due_us
            # What is made up for takes turns with what is due now.
            self.agenda.put(kept, at_us if at_us >= now_us - LATE_US else now_us)
            return
        try:
            again_us = self._plan_by_calendar(kept, wall_us)
        except Exception as error:  # noqa: BLE001  whatever a schedule raises, the others run
            self.report(kept, error)
            kept.due_us, again_us = 0, wall_us + AGAIN_US
        self.agenda.put(kept, again_us - wall_us + now_us)

    def report(self, kept: Kept, error: Exception) -> None:
        """Says, once a minute, that its schedule failed; and keeps it in `reported` for whoever shows the schedule."""
        kind, seconds = type(error).__name__, AGAIN_US // SECOND_US
        self.reported[kept.name] = f"can't work out when it is due ({kind}: {error})"
        rarely.say(
            f"schedule {kept.name}",
            "can't work out when %s is due (%s: %s); tried again in %d s",
            *(kept.name, kind, error, seconds),
        )

    def _plan_by_calendar(self, kept: Kept, wall_us: int) -> int:
        """Sets the due time, 0 where there is none yet; the time by the wall at which it is to be looked at."""
        last_us = kept.last_us if kept.last_us <= wall_us + calendar.FAR_AHEAD_US else wall_us
        try:
            due_us = calendar.next_after(kept.schedule, last_us, wall_us)
        except NotImplementedError:
            kept.due_us, again_us = calendar.asked(kept.schedule, last_us, wall_us)
            return kept.due_us or again_us
        kept.due_us = due_us or 0
        return wall_us + AGAIN_US if due_us is None else due_us + self.jitter_of(kept)

    def jitter_of(self, kept: Kept) -> int:
        """How much later its next due time is sent."""
        most_us = int(kept.policy.jitter_s * 1e6)
        return jitter(kept.name, kept.due_us, most_us, kept.interval_us) if most_us else 0

    def interval_of(self, kept: Kept) -> int:
        """The interval in force in µs; 0 where its due times have none. One number for all that have the same."""
        interval_us = self._interval_of(kept)
        return self._same.setdefault(interval_us, interval_us) if len(self._same) < _MOST_SAME else interval_us

    def _interval_of(self, kept: Kept) -> int:
        declared_us = calendar.interval_of(kept.schedule)
        if not kept.follows:
            return kept.ordered_us or declared_us
        paced = self._pacer.pace(kept.name) if self._pacer is not None else None
        least_s, most_s = kept.bounds_s(declared_us / 1e6)
        return max(int(min(max(paced.interval_s if paced else declared_us / 1e6, least_s), most_s) * 1e6), SHORTEST_US)

    def pace(self, now_us: int, wall_us: int) -> None:
        """Gives the entries that follow the workers their present interval; from their last due time on, now at the earliest."""
        for follower in self._followers:
            kept = self.entries.get(follower.entry)
            if kept is not None and kept.place and kept.interval_us != self.interval_of(kept):
                self.replan(kept, now_us, wall_us)

    def replan(self, kept: Kept, now_us: int, wall_us: int) -> None:
        """After a change of its interval: from its last due time on, now at the earliest."""
        interval_us = self.interval_of(kept)
        if kept.interval_us and interval_us and kept.due_us > now_us and kept.last_us + interval_us < now_us:
            kept.last_us = now_us - interval_us
        self.plan(kept, now_us, wall_us)

    def order(self, orders: Mapping[str, Order], now_us: int, wall_us: int) -> None:
        """What operators have ordered from now on."""
        for name, kept in self.entries.items():
            order = orders.get(name)
            if order == kept.order:
                continue
            kept.order = order
            if kept.place:
                self.replan(kept, now_us, wall_us)
        self._tell_pacer()

    def _tell_pacer(self) -> None:
        followers = [self._follower(kept) for kept in self.entries.values() if kept.follows]
        if self._pacer is not None and [_terms(one) for one in followers] != [_terms(one) for one in self._followers]:
            self._pacer.follow(followers)
        self._followers = followers

    def _follower(self, kept: Kept) -> Follower:
        declared_s = calendar.interval_of(kept.schedule) / 1e6
        least_s, most_s = kept.bounds_s(declared_s)
        return Follower(
            entry=kept.name,
            task=kept.entry.task,
            declared_s=declared_s,
            min_s=least_s,
            max_s=most_s,
            now_s=kept.interval_us / 1e6 or declared_s,
        )


def _terms(follower: Follower) -> Follower:
    """All of it but the interval it has at present."""
    return replace(follower, now_s=0.0)
