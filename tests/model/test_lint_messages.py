"""Rules TG204, TG206 to TG208 and TG214: what an entry's message asks for, where it goes, and whether anybody runs it."""

from rule_table import CRITICAL, INFO, OK, WARNING, Row, table
from schedules import REFRESH, a_case, a_crontab, a_schedule, an_entry, check, holding, many, said, unread

from tidegate.facts.lint import Ignored
from tidegate.facts.unknown import Unknown

HIDDEN = Unknown("it can't be told")
AWAY = a_schedule(schedulers=(unread(),))


def lasting(name="refresh", **changes):
    return an_entry(name, expires=False, expires_s=None, **changes)


def kept(**changes):
    return an_entry(keeps_result=True, **changes)


def in_database(*entries):
    return a_case(app=a_schedule(schedulers=(holding("django-celery-beat", *entries),)))


@table(
    Row("half an interval", a_case(an_entry()), OK, ["expires before many"]),
    Row("no entries", a_case(), OK, ["No periodic entries"]),
    Row(
        "one of two for ever", a_case(an_entry(), lasting("slow")), WARNING, ["1 of 2 entries never expire (slow)"],
        {"entries": ["slow"]}, remedy='"options": {"expires": 60} in the entry "slow"',
    ),
    Row(
        "django-celery-beat dropped what the settings say",
        a_case(lasting(dropped=("expires",))), WARNING, ["django-celery-beat drops `expires`", "Of refresh"],
        {"dropped": ["refresh"]}, remedy='"expire_seconds": 60',
    ),
    Row("a row of its table", in_database(lasting(every_s=0.5)), WARNING, remedy='"expire_seconds": 1 for'),
    Row("ten intervals", a_case(an_entry(expires_s=600.0)), OK),
    Row(
        "an hour, for one that comes every second", a_case(an_entry(every_s=1.0, expires_s=3600.0)), WARNING,
        ["only after many intervals (refresh)", "of refresh 3,600 runs may wait"], remedy='"expires": 1',
    ),
    Row("daily, within the hour", a_case(an_entry(every_s=86400.0, crontab=a_crontab(), expires_s=3600.0)), OK),
    Row(
        "at a time that was worked out when the settings were read", a_case(an_entry(expires_s=3600.0, expires_at=1e9)),
        WARNING, ["at one fixed time (refresh; of refresh in 60 minutes)"], remedy='"expires": 60',
    ),
    Row("and has passed", a_case(an_entry(expires_s=-7200.0, expires_at=1e9)), CRITICAL, ["2 hours ago"], remedy="expires"),
    Row("which ends a row of django-celery-beat", in_database(an_entry(expires_s=300.0, expires_at=1e9)), OK),
    Row("it comes once", a_case(lasting(every_s=None)), OK),
    Row("it can't be used anyway", a_case(lasting(trouble="its schedule is a str")), OK),
    Row("only itself knows when it is due", a_case(lasting(every_s=None, mean_interval_s=HIDDEN)), WARNING, remedy="60"),
    Row("ignored for this entry", a_case(lasting(), ignored=(Ignored(rule="TG204", entry="refresh"),)), OK),
    Row("a scheduler of ours gives it one", a_case(app=a_schedule(lasting(), ours=True)), OK),
    Row(
        "unless it says never", a_case(app=a_schedule(lasting("slow"), an_entry(expires_s=0.0), ours=True)), WARNING,
        ["1 of 2 entries never expire (refresh)"], remedy='"expires": 60',
    ),
    Row("the database is away", a_case(app=AWAY), INFO, unknown=["django-celery-beat"]),
)  # fmt: skip
def test_messages_that_outlive_their_use(row):
    check("TG204", row)


@table(
    Row("the default queue", a_case(an_entry()), OK, ["goes to a queue that is consumed"]),
    Row(
        "a misspelt one", a_case(an_entry(queues=("celry",)), an_entry("two", queues=("celry",))), CRITICAL,
        ["Nobody consumes celry, where 2 entries go (refresh, two)", "(perhaps celery is meant)"],
        {"queue": "celry", "consumed": ["celery"]}, remedy="worker -Q celry",
    ),
    Row("one of its queues is consumed, the other not", a_case(an_entry(queues=("celery", "log"))), CRITICAL, ["log"]),
    Row("a name for the shell", a_case(an_entry(queues=("a b",))), CRITICAL, remedy="-Q 'a b'"),
    Row("nothing is bound there", a_case(an_entry(queues=())), CRITICAL, ["are lost"], remedy="instead of an exchange"),
    Row("it is not known who consumes", a_case(an_entry(), consumed=HIDDEN), INFO, unknown=["consumed"]),
    Row("it is not known where it goes", a_case(an_entry(queues=HIDDEN)), INFO, unknown=["refresh"]),
    Row("it has no task, which TG212 says", a_case(an_entry(task="", queues=("celry",))), OK),
    Row("the database is away", a_case(app=AWAY), INFO, unknown=["django-celery-beat"]),
)  # fmt: skip
def test_a_queue_nobody_consumes(row):
    check("TG206", row)


def undeclared(queue="mail", **changes):
    consumed = changes.pop("consumed", HIDDEN)
    return a_case(app=a_schedule(an_entry(queues=(queue,)), **changes), consumed=consumed)


@table(
    Row("the default queue", undeclared("celery"), OK, ["declared"]),
    Row(
        "declared nowhere", undeclared(), WARNING,
        ["task_queues does not declare mail, where 1 entry goes (refresh)", "takes from celery only"],
        {"queue": "mail", "declared": ["celery"]}, remedy='Queue("mail") in task_queues',
    ),
    Row("misspelt", undeclared("celerey"), WARNING, ["(perhaps celery is meant)"]),
    Row("declared", undeclared(queues=("celery", "mail"), declares_queues=True), OK),
    Row("known to be consumed", undeclared(consumed=("celery", "mail")), OK),
    Row("known not to be consumed, which TG206 says", undeclared(consumed=("celery",)), OK),
    Row("and not made up either", undeclared(creates_queues=False), CRITICAL, ["beat can't send"], remedy="Queue("),
    Row("not even where a worker consumes it", undeclared(creates_queues=False, consumed=("mail",)), CRITICAL),
    Row("it is not known where it goes", a_case(an_entry(queues=HIDDEN), consumed=HIDDEN), INFO, unknown=["refresh"]),
    Row("the database is away", a_case(app=AWAY), INFO, unknown=["django-celery-beat"]),
)  # fmt: skip
def test_a_queue_that_is_not_declared(row):
    check("TG207", row)


def missing(task, **changes):
    return an_entry(task=task, registered=False, **changes)


@table(
    Row("it does", a_case(an_entry()), OK, ["Every entry's task exists"]),
    Row(
        "misspelt", a_case(missing("proj.tasks.refesh")), CRITICAL,
        ["The application has no task proj.tasks.refesh, which 1 entry sends (refresh)", f"(perhaps {REFRESH} is meant)"],
        {"task": "proj.tasks.refesh", "entries": ["refresh"]}, remedy=f'"task": "{REFRESH}" in the entry "refresh"',
    ),
    Row("nothing like it", a_case(missing("other.thing")), CRITICAL, ["throw the messages away."], remedy="autodiscovered"),
    Row("the modules could not be imported", a_case(an_entry(registered=HIDDEN)), INFO, unknown=["refresh"]),
    Row("it names none, which TG212 says", a_case(missing("")), OK),
    Row("it is switched off", a_case(missing("other.thing", enabled=False)), OK),
    Row("the database is away", a_case(app=AWAY), INFO, unknown=["django-celery-beat"]),
)  # fmt: skip
def test_a_task_that_does_not_exist(row):
    check("TG208", row)


def test_a_missing_task_is_named_once_however_many_entries_send_it():
    [finding] = said(a_case(*many(1000, task="other.thing", registered=False)), "TG208")

    assert "which 1,000 entries send (e0, e1, e2, e3, e4, …)" in finding.sentence


def keeping(*entries, **changes):
    return a_case(app=a_schedule(*entries, **{"result_expires_s": None} | changes))


@table(
    Row("a day", a_case(kept()), OK, ["Results expire after 24 hours"]),
    Row("no backend", keeping(kept(), result_expires_s=Unknown("no result backend")), OK, ["no result backend"]),
    Row(
        "never, every minute", keeping(kept()), WARNING,
        ["1 entry", "(refresh)", "1,440 more keys a day"], {"results_per_day": 1440.0}, remedy="ignore_result=True",
    ),
    Row("never, and daily", keeping(kept(every_s=86400.0)), OK, ["No entry that comes often"]),
    Row("never, and not kept", keeping(an_entry()), OK),
    Row("it is not known whether one is kept", keeping(an_entry(keeps_result=HIDDEN)), INFO, unknown=["refresh"]),
    Row("not known for how long", keeping(kept(), result_expires_s=HIDDEN), INFO, unknown=["result_expires_s"]),
    Row("the database is away", keeping(schedulers=(unread(),)), INFO, unknown=["django-celery-beat"]),
)  # fmt: skip
def test_results_of_frequent_entries_that_never_expire(row):
    check("TG214", row)
