"""The rules about schedules by number. A new rule: a function in a file beside this one, a row here, a page in docs/rules."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tidegate.facts.diagnosis import Finding
from tidegate.model.lint import beat, expiry, herds, intervals, routing
from tidegate.model.lint.case import LintCase


@dataclass(frozen=True, slots=True)
class LintRule:
    """A number that never changes its meaning, a title, and the function that judges."""

    id: str
    title: str
    check: Callable[[LintCase], Iterable[Finding]]


LINT_RULES = (
    LintRule("TG201", "An entry is too much for the workers", intervals.below_the_edge),
    LintRule("TG202", "Not safe with a host lost", intervals.with_hosts_lost),
    LintRule("TG203", "Too much together", intervals.together),
    LintRule("TG204", "Messages outlive their use", expiry.lasting),
    LintRule("TG205", "A herd", herds.herds),
    LintRule("TG206", "A queue nobody consumes", routing.unconsumed),
    LintRule("TG207", "A queue that is not declared", routing.undeclared),
    LintRule("TG208", "A task that does not exist", routing.missing_tasks),
    LintRule("TG209", "Two entries do the same", beat.duplicates),
    LintRule("TG210", "No interval", beat.without_interval),
    LintRule("TG211", "Never due", beat.never_due),
    LintRule("TG212", "An entry that can't be used", beat.unusable),
    LintRule("TG213", "Longer than the visibility timeout", beat.visibility),
    LintRule("TG214", "Results of frequent entries never expire", expiry.lasting_results),
    LintRule("TG215", "Two schedulers", beat.two_schedulers),
    LintRule("TG216", "Entries that are switched off", beat.switched_off),
)


def lint_findings(case: LintCase) -> tuple[Finding, ...]:
    """What every rule says that was not ignored as a whole, worst first, then by number."""
    ignored = {item.rule for item in case.question.ignored if item.entry is None}
    said = [finding for rule in LINT_RULES if rule.id not in ignored for finding in rule.check(case)]
    return tuple(sorted(said, key=lambda finding: (-finding.level, finding.rule)))
