"""Whatever can't be seen of a schedule: nothing breaks, and no rule calls fine what it did not see."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from schedules import REFRESH, a_case, a_crontab, a_schedule, an_entry, many, unread

from tidegate.document import document
from tidegate.facts.diagnosis import Level
from tidegate.facts.unknown import Unknown
from tidegate.model.lint.judgement import lint
from tidegate.model.lint.table import LINT_RULES, lint_findings

HIDDEN = Unknown("it can't be told")
#: What each rule needs at least; where one of these is hidden, it must not say that all is well.
NEEDS = {
    "TG201": {"plan"}, "TG202": {"plan"}, "TG203": {"plan"}, "TG206": {"consumed", "queues"}, "TG207": {"queues"},
    "TG204": {"expires_s"},
    "TG208": {"registered"}, "TG212": {"mean_interval_s"}, "TG213": {"late_tasks"}, "TG214": {"result_expires_s"},
}  # fmt: skip
#: What these say may follow from settings alone, whatever the entries are.
OF_SETTINGS = {"TG213", "TG214"}
OF_ENTRIES = ["queues", "registered", "call", "mean_interval_s", "keeps_result", "expires_s"]
OF_APP = ["late_tasks", "result_expires_s", "tasks"]
EVERYTHING = [*OF_ENTRIES, *OF_APP, "plan", "consumed", "schedulers"]
BASES = [
    a_schedule(an_entry()),
    a_schedule(*many(6, crontab=a_crontab(minutes=(0,))), an_entry("off", enabled=False)),
    a_schedule(*many(3, every_s=0.5, expires_s=None), late_tasks=(REFRESH,), visibility_timeout_s=0.1),
    a_schedule(an_entry(task="proj.tasks.gone", registered=False, queues=("gone",)), result_expires_s=None),
]


def case_of(app, hidden):
    """The case without those facts."""
    for name in set(OF_APP) & hidden:
        app = replace(app, **{name: HIDDEN})
    changes = dict.fromkeys(set(OF_ENTRIES) & hidden, HIDDEN)
    if "mean_interval_s" in changes:
        changes["interval_s"] = None
    rows = [replace(r, entries=tuple(replace(e, **changes) for e in r.entries)) for r in app.schedulers]
    app = replace(app, schedulers=tuple([*rows, unread()] if "schedulers" in hidden else rows))
    return a_case(
        app=app,
        times=None if "plan" in hidden else {REFRESH: 0.01},
        consumed=HIDDEN if "consumed" in hidden else ("celery",),
    )


@settings(max_examples=300, deadline=None)
@given(base=st.sampled_from(BASES), whats=st.sets(st.sampled_from(EVERYTHING)))
def test_no_rule_calls_fine_what_it_could_not_see(base, whats):
    findings = lint_findings(case_of(base, whats))
    fine = {finding.rule for finding in findings if finding.level is Level.OK}

    assert [rule for rule in fine if NEEDS.get(rule, set()) & whats] == []
    assert "schedulers" not in whats or fine <= OF_SETTINGS
    assert all(finding.level is Level.INFO for finding in findings if finding.unknown)
    assert {finding.rule for finding in findings} == {rule.id for rule in LINT_RULES}


@settings(max_examples=100, deadline=None)
@given(base=st.sampled_from(BASES), whats=st.sets(st.sampled_from(EVERYTHING)))
def test_every_null_of_an_entry_has_its_reason_or_means_never(base, whats):
    case = case_of(base, whats)
    answer = document(lint(case.question, HIDDEN, HIDDEN, "0.1.0"))

    for entry in answer["entries"]:
        empty = {name for name, value in entry.items() if value is None}
        assert empty - set(entry.get("unknown", {})) <= {"interval_s", "expires_s"}
