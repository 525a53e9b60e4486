"""From a schedule, and what was measured or given, to what is wrong with it; pure."""

from dataclasses import replace

from tidegate.facts.lint import EntryReport, Lint, LintQuestion, SchedulerReport
from tidegate.facts.measured import Measured
from tidegate.facts.planned import Question
from tidegate.facts.seen import EntrySeen, SchedulerSeen
from tidegate.facts.unknown import Maybe, T, Unknown, known
from tidegate.model.lint.blame import blame
from tidegate.model.lint.case import LintCase, is_consumed, mean_interval_s, sent_entries
from tidegate.model.lint.table import lint_findings
from tidegate.model.plan.answer import make_plan

#: The planner weighs every entry against all others: a thousand take seconds, and ten times as many a hundred times that.
MOST_PLANNED = 1000


def lint(question: LintQuestion, measured: Maybe[Measured], run_times: Maybe[str], version: str) -> Lint:
    """The whole answer of `tidegate lint`; `run_times` says where the measurements come from."""
    case = lint_case(question, measured, version)
    return Lint(
        tidegate=version,
        at=question.at,
        app=question.app.name,
        scheduler=question.app.scheduler,
        schedulers=tuple(map(_scheduler, question.app.schedulers)),
        run_times=run_times,
        consumed=question.consumed,
        entries=tuple(_report(entry, case) for entry in case.every),
        findings=lint_findings(case),
    )


def lint_case(question: LintQuestion, measured: Maybe[Measured], version: str) -> LintCase:
    """What the rules are asked about; without measurements there is no plan."""
    if not known(measured):
        return LintCase(question=question, plan=measured)
    asked = plan_question(question, measured)
    if known(asked.entries) and len(asked.entries) > MOST_PLANNED:
        why = f"{len(asked.entries):,} entries were measured, and no more than {MOST_PLANNED:,} are planned together"
        return LintCase(question=question, plan=Unknown(why))
    return LintCase(question=question, plan=make_plan(asked, version), blame=blame(asked))


def plan_question(question: LintQuestion, measured: Measured) -> Question:
    """What the planner is asked: the entries that are sent and of which anything ran, a crontab at its mean interval."""
    ran = {name for slice_ in measured.slices for key in slice_.runs for name in (key.task, key.entry)}
    sent = [entry for entry in sent_entries(question.app) if entry.task in ran or entry.name in ran]
    # Load that no worker can take would leave none of the others an interval.
    sent = [entry for entry in sent if is_consumed(entry, question.consumed)]
    return Question(
        at=question.at,
        url="",
        measured=measured,
        entries=tuple(replace(entry, interval_s=mean_interval_s(entry)) for entry in sent),
        target_utilisation=question.target_utilisation,
        hosts_lost=max(1, question.hosts_lost),
    )


def _scheduler(seen: SchedulerSeen) -> SchedulerReport:
    count = len(seen.entries) if known(seen.entries) else seen.entries
    return SchedulerReport(name=seen.name, in_force=seen.in_force, entries=count)


def _report(entry: EntrySeen, case: LintCase) -> EntryReport:
    plan = case.plans.get(entry.name) if entry.enabled and entry.in_force else None
    nothing: Unknown = case.plan if isinstance(case.plan, Unknown) else Unknown("it is not sent")
    safe = plan.min_safe_interval_s if plan is not None else nothing
    return EntryReport(
        name=entry.name,
        task=entry.task,
        source=entry.source,
        schedule=entry.schedule,
        enabled=entry.enabled,
        in_force=entry.in_force,
        interval_s=entry.mean_interval_s,
        expires_s=entry.expires_s,
        queues=entry.queues,
        registered=entry.registered,
        work_s=_told(case, entry, plan.work_s if plan is not None else nothing),
        edge_interval_s=_told(case, entry, plan.edge_interval_s if plan is not None else nothing),
        min_safe_interval_s=_told(case, entry, safe.estimate if known(safe) else safe),
        safe=_told(case, entry, plan.safe if plan is not None else nothing),
    )


def _told(case: LintCase, entry: EntrySeen, value: Maybe[T]) -> Maybe[T]:
    return case.not_planned(entry, value) if isinstance(value, Unknown) and known(case.plan) else value
