"""Rules TG209 to TG213, TG215 and TG216: what beat itself makes of the entries."""

from rule_table import CRITICAL, INFO, OK, WARNING, Row, table
from schedules import REFRESH, a_case, a_schedule, an_entry, check, holding, unread

from tidegate.facts.seen import SchedulerSeen
from tidegate.facts.unknown import Unknown

HIDDEN = Unknown("it can't be told")
AWAY = a_schedule(schedulers=(unread(),))
SAME = {"call": "the same"}
PERHAPS = Unknown("beat_scheduler is not set")


@table(
    Row("two calls of one task", a_case(an_entry("a"), an_entry("b")), OK, ["No two entries"]),
    Row(
        "the same call under two names", a_case(an_entry("a", **SAME), an_entry("b", **SAME)), WARNING,
        [f"2 entries send {REFRESH} with the same arguments, at the same times (a, b)"], {"entries": ["a", "b"]},
        remedy='Keep one of them, for instance "a"',
    ),
    Row(
        "on weekdays at nine, on Sundays at eleven: perhaps meant so",
        a_case(an_entry("a", **SAME), an_entry("b", schedule="other", **SAME)), INFO, ["times of their own"], remedy="Keep",
    ),
    Row("the same arguments, another task", a_case(an_entry("a", **SAME), an_entry("b", task="proj.tasks.mail", **SAME)), OK),
    Row(
        "in two schedulers",
        a_case(app=a_schedule(schedulers=(
            holding("beat_schedule", an_entry("a", **SAME)), holding("RedBeat", an_entry("b", **SAME), in_force=PERHAPS),
        ))), WARNING, ["2 entries in RedBeat and beat_schedule send"], {"sources": ["RedBeat", "beat_schedule"]},
    ),
    Row("one is switched off", a_case(an_entry("a", **SAME), an_entry("b", enabled=False, **SAME)), OK),
    Row("arguments that can't be compared", a_case(an_entry("a"), an_entry("b", call=HIDDEN)), INFO, unknown=["b"]),
    Row("nothing to compare them with", a_case(an_entry("a", call=HIDDEN)), OK),
    Row("the database is away", a_case(app=AWAY), INFO, unknown=["django-celery-beat"]),
)  # fmt: skip
def test_two_entries_that_do_the_same(row):
    check("TG209", row)


@table(
    Row("a minute", a_case(an_entry()), OK, ["longer than zero"]),
    Row(
        "zero", a_case(an_entry(interval_s=0.0, mean_interval_s=None)), CRITICAL,
        ["1 entry has an interval of zero or less (refresh)"], {"interval_s": 0.0}, remedy='"schedule": 60',
    ),
    Row("negative", a_case(an_entry(interval_s=-5.0, mean_interval_s=None)), CRITICAL),
    Row("a crontab has none", a_case(an_entry(every_s=None)), OK),
    Row("the database is away", a_case(app=AWAY), INFO, unknown=["django-celery-beat"]),
)  # fmt: skip
def test_no_interval(row):
    check("TG210", row)


@table(
    Row("it does", a_case(an_entry()), OK, ["Every entry comes due"]),
    Row(
        "the 30th of February", a_case(an_entry(every_s=None, never="no time matches its crontab 0 0 30 2 *")), WARNING,
        ["refresh never comes due: no time matches"], {"entry": "refresh"}, remedy="A day that exists",
    ),
    Row("the database is away", a_case(app=AWAY), INFO, unknown=["django-celery-beat"]),
)  # fmt: skip
def test_never_due(row):
    check("TG211", row)


@table(
    Row("it can", a_case(an_entry()), OK, ["Every entry can be used"]),
    Row(
        "a schedule in quotes", a_case(an_entry(trouble="its schedule is a str")), CRITICAL,
        ["refresh can't be used: its schedule is a str. Beat ends"], {"source": "beat_schedule"}, remedy='"schedule": 30.0',
    ),
    Row(
        "other schedulers go on without it",
        a_case(app=a_schedule(schedulers=(holding("RedBeat", an_entry(trouble="it names no task")),))), CRITICAL,
        ["Beat leaves it out"],
    ),
    Row("only itself knows when", a_case(an_entry(every_s=None, mean_interval_s=HIDDEN)), INFO, unknown=["refresh"]),
    Row("the database is away", a_case(app=AWAY), INFO, unknown=["django-celery-beat"]),
)  # fmt: skip
def test_an_entry_that_cannot_be_used(row):
    check("TG212", row)


def late(run_s, timeout_s=None, tasks=(REFRESH,)):
    app = a_schedule(an_entry(), late_tasks=tasks, visibility_timeout_s=timeout_s)
    return a_case(app=app, times={REFRESH: run_s})


@table(
    Row("acknowledged early", late(9000.0, tasks=()), OK, ["No task is acknowledged late"]),
    Row("late, and short", late(10.0), OK, ["longer than 60 minutes"]),
    Row(
        "late, and three hours long", late(10_000.0), WARNING, ["1 task acknowledged late", "60 minutes", REFRESH],
        {"visibility_timeout_s": 3600.0}, remedy='{"visibility_timeout": 20000}',
    ),
    Row("with a timeout for it", late(10_000.0, 43_200.0), OK),
    Row("with a timeout too short for anything", late(10.0, 5.0), WARNING, remedy="20"),
    Row("the tasks could not be imported", late(1.0, tasks=HIDDEN), INFO, unknown=["late_tasks"]),
    Row("no run times", a_case(app=a_schedule(an_entry(), late_tasks=(REFRESH,))), INFO, unknown=["plan"]),
)  # fmt: skip
def test_longer_than_the_visibility_timeout(row):
    check("TG213", row)


def two(in_force, *entries):
    rows = (holding("beat_schedule", an_entry("a")), holding("RedBeat", *entries, in_force=in_force))
    return a_case(app=a_schedule(schedulers=rows))


@table(
    Row("one", a_case(an_entry()), OK, ["One scheduler"]),
    Row(
        "the table of a scheduler that is not configured", two(False, an_entry("b", last_run_at=1e9)), WARNING,
        ["2 schedulers hold entries", "(beat_schedule, RedBeat)", "1 entry of RedBeat (b)", "by another beat, or by none"],
        {"schedulers": ["beat_schedule", "RedBeat"], "last_sent_at": 1e9}, remedy="app.conf.beat_scheduler",
    ),
    Row("one that beat may be started with", two(PERHAPS, an_entry("b")), WARNING),
    Row("the one in force takes over what the settings hold", two(True, an_entry("b")), OK),
    Row(
        "one that is ruled out and can't be read", a_case(app=a_schedule(schedulers=(
            holding("beat_schedule", an_entry("a")), SchedulerSeen(name="RedBeat", in_force=False, entries=HIDDEN),
        ))), INFO, unknown=["RedBeat"],
    ),
    Row("all of its entries are switched off", two(False, an_entry("b", enabled=False)), OK),
    Row("the database is away", a_case(app=AWAY), INFO, unknown=["django-celery-beat"]),
)  # fmt: skip
def test_two_schedulers(row):
    check("TG215", row)


@table(
    Row("none", a_case(an_entry()), OK, ["No entry is switched off"]),
    Row("one", a_case(an_entry(), an_entry("old", enabled=False)), INFO, ["1 entry (old)"], {"entries": ["old"]}, remedy="Take"),
    Row("the database is away", a_case(app=AWAY), INFO, unknown=["django-celery-beat"]),
)  # fmt: skip
def test_entries_that_are_switched_off(row):
    check("TG216", row)
