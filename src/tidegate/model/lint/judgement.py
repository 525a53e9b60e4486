"""From a schedule, and what was measured or given, to what is wrong with it; pure."""

from collections.abc import Sequence
from dataclasses import replace

from tidegate.facts.lint import EntryReport, Lint, LintQuestion
from tidegate.facts.measured import Measured
from tidegate.facts.planned import Plan, Question
from tidegate.facts.seen import EntrySeen
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.lint.alone import safe_alone
from tidegate.model.lint.case import LintCase, mean_interval_s
from tidegate.model.lint.table import lint_findings
from tidegate.model.plan.answer import make_plan


def lint(question: LintQuestion, measured: Maybe[Measured], run_times: Maybe[str], version: str) -> Lint:
    """The whole answer of `tidegate lint`; `run_times` says where the measurements come from."""
    case = lint_case(question, measured, version)
    return Lint(
        tidegate=version,
        at=question.at,
        app=question.app.name,
        scheduler=question.app.scheduler,
        run_times=run_times,
        consumed=question.consumed,
        entries=tuple(_report(entry, case) for entry in case.every),
        findings=lint_findings(case),
    )


def lint_case(question: LintQuestion, measured: Maybe[Measured], version: str) -> LintCase:
    """What the rules are asked about; without measurements there is no plan."""
    case = LintCase(question=question)
    if not known(measured):
        return replace(case, plan=measured)
    asked = plan_question(question, measured, case.sent)
    return LintCase(question=question, plan=make_plan(asked, version), alone=safe_alone(asked))


def plan_question(question: LintQuestion, measured: Measured, sent: Sequence[EntrySeen]) -> Question:
    """What the planner is asked: the entries that are sent, a crontab at its mean interval."""
    return Question(
        at=question.at,
        url="",
        measured=measured,
        entries=tuple(replace(entry, interval_s=mean_interval_s(entry)) for entry in sent),
        target_utilisation=question.target_utilisation,
        hosts_lost=max(1, question.hosts_lost),
    )


def _report(entry: EntrySeen, case: LintCase) -> EntryReport:
    plan = case.plans.get(entry.name) if entry.enabled and entry.in_force else None
    nothing: Unknown = case.plan if isinstance(case.plan, Unknown) else Unknown("it was not planned")
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
        work_s=plan.work_s if plan is not None else nothing,
        edge_interval_s=plan.edge_interval_s if plan is not None else nothing,
        min_safe_interval_s=safe.estimate if known(safe) else safe,
        safe=plan.safe if plan is not None else nothing,
    )
