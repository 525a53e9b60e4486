"""What the rules about schedules are given: the application, the plan where there is one, and what was accepted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tidegate.facts.lint import LintQuestion
from tidegate.facts.planned import EntryPlan, Plan
from tidegate.facts.seen import AppSeen, EntrySeen
from tidegate.facts.unknown import Maybe, Unknown, known


@dataclass(frozen=True, kw_only=True)
class LintCase:
    """One schedule and what the workers can do with it; every rule is a function of this alone.

    `alone` says of every entry whose work is known whether the workers could take it if it were the only one.
    """

    question: LintQuestion
    plan: Maybe[Plan] = Unknown("no run times were measured or given")
    alone: Mapping[str, bool] = field(default_factory=dict)

    @property
    def app(self) -> AppSeen:
        """The application."""
        return self.question.app

    @cached_property
    def every(self) -> Sequence[EntrySeen]:
        """All entries that could be read, from every scheduler."""
        return [entry for row in self.app.schedulers if known(row.entries) for entry in row.entries]

    @cached_property
    def sent(self) -> Sequence[EntrySeen]:
        """Those that beat sends: switched on, and kept by the scheduler that may be in force."""
        return [entry for entry in self.every if entry.enabled and entry.in_force]

    def judged(self, rule: str) -> Sequence[EntrySeen]:
        """Those that beat sends, without the ones for which the rule was accepted."""
        accepted = {item.entry for item in self.question.accepted if item.rule == rule}
        return [entry for entry in self.sent if entry.name not in accepted]

    @cached_property
    def plans(self) -> Mapping[str, EntryPlan]:
        """What was planned for each entry."""
        return {row.entry: row for row in self.plan.entries} if known(self.plan) else {}

    @property
    def unread(self) -> Mapping[str, Unknown]:
        """Schedulers in force whose entries could not be read, by name."""
        return {
            row.name: row.entries
            for row in self.app.schedulers
            if row.in_force is True and isinstance(row.entries, Unknown)
        }


def mean_interval_s(entry: EntrySeen) -> float | None:
    """The mean time between two firings; None where the entry comes due once or never, or does not say."""
    mean = entry.mean_interval_s
    return mean if known(mean) else entry.interval_s
