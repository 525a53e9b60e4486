"""What the rules about schedules are given: the application, the plan where there is one, and what was ignored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from tidegate.facts.lint import LintQuestion
from tidegate.facts.planned import EntryPlan, Plan
from tidegate.facts.seen import AppSeen, EntrySeen
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.lint.blame import Blame


@dataclass(frozen=True, kw_only=True)
class LintCase:
    """One schedule and what the workers can do with it; every rule is a function of this alone."""

    question: LintQuestion
    plan: Maybe[Plan]
    blame: Blame = field(default_factory=Blame)

    @property
    def app(self) -> AppSeen:
        """The application."""
        return self.question.app

    @cached_property
    def every(self) -> Sequence[EntrySeen]:
        """All entries that could be read, from every scheduler."""
        return every_entry(self.app)

    @cached_property
    def sent(self) -> Sequence[EntrySeen]:
        """Those that beat sends."""
        return sent_entries(self.app)

    def judged(self, rule: str) -> Sequence[EntrySeen]:
        """Those that beat sends, without the ones for which the rule was ignored."""
        ignored = {item.entry for item in self.question.ignored if item.rule == rule}
        return [entry for entry in self.sent if entry.name not in ignored]

    @cached_property
    def plans(self) -> Mapping[str, EntryPlan]:
        """What was planned for each entry."""
        return {row.entry: row for row in self.plan.entries} if known(self.plan) else {}

    @property
    def unread(self) -> Mapping[str, Unknown]:
        """Schedulers that may be in force and whose entries could not be read, by name."""
        return {
            row.name: row.entries
            for row in self.app.schedulers
            if row.in_force is not False and isinstance(row.entries, Unknown)
        }

    def not_planned(self, entry: EntrySeen, why: Unknown) -> Unknown:
        """Why nothing is planned for the entry, in words for run times that were given where they were."""
        given = self.question.given
        if given is None or entry.task not in given:
            return why if given is None else Unknown(f"no run time of {entry.task} was given")
        if isinstance(entry.queues, Unknown):
            return entry.queues
        return (
            why if entry.name in self.plans else Unknown("of what it brings, something goes to a queue without workers")
        )


def every_entry(app: AppSeen) -> Sequence[EntrySeen]:
    """All entries of the application that could be read, from every scheduler."""
    return [entry for row in app.schedulers if known(row.entries) for entry in row.entries]


def sent_entries(app: AppSeen) -> Sequence[EntrySeen]:
    """Those that beat sends: switched on, and kept by a scheduler that may be in force; as far as they could be read."""
    return [entry for entry in every_entry(app) if entry.enabled and entry.in_force]


def is_consumed(entry: EntrySeen, consumed: Maybe[Sequence[str]]) -> bool:
    """False where nobody consumes the entry's queue: then it is not its interval that is wrong."""
    queues = entry.queues
    return not known(queues) or not known(consumed) or any(queue in consumed for queue in queues)


def mean_interval_s(entry: EntrySeen) -> float | None:
    """The mean time between two firings; None where the entry comes due once or never, or does not say."""
    mean = entry.mean_interval_s
    return mean if known(mean) else entry.interval_s
