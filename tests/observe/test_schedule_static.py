"""Entries in an application's own settings, and the rest of what it says: what is wrong with them is said, never raised."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from celery.beat import PersistentScheduler, Scheduler
from celery.schedules import crontab
from celery.utils.functional import maybe_list

from projects import python, seen, write
from tidegate.errors import BadApp
from tidegate.facts.unknown import Unknown
from tidegate.observe.app import configured_app, load_app, see_app
from tidegate.observe.schedule.reading import see_schedule


def application(**conf):
    app = Celery("proj", broker="redis://127.0.0.1:1/0", set_as_current=False)
    app.conf.update(**conf)

    @app.task(name="proj.refresh", shared=False)
    def refresh():
        pass

    @app.task(name="proj.mail", shared=False, queue="mail", expires=60, acks_late=True, ignore_result=True)
    def mail():
        pass

    return app


def entry(app=None, **row):
    [found] = see_schedule(
        app or application(beat_schedule={"e": {"task": "proj.refresh", "schedule": 30} | row})
    ).entries
    return found


def test_an_entry_of_the_settings():
    found = entry(args=(16, 16), options={"expires": 10, "queue": "fast"})

    assert (found.name, found.task, found.interval_s, found.source) == ("e", "proj.refresh", 30.0, "beat_schedule")
    assert (found.expires_s, found.queue, found.queues, found.registered) == (10.0, "fast", ("fast",), True)
    assert (found.enabled, found.in_force, found.trouble, found.never) == (True, True, "", "")


def test_what_the_task_says_of_its_messages_counts():
    found = entry(task="proj.mail")

    assert (found.expires_s, found.queues, found.keeps_result) == (60.0, ("mail",), False)


def test_a_route_is_followed():
    app = application(
        beat_schedule={"e": {"task": "proj.refresh", "schedule": 30}}, task_routes={"proj.*": {"queue": "fast"}}
    )

    assert entry(app).queues == ("fast",)


@pytest.mark.parametrize(
    ("expires", "expires_s"),
    [
        (10, 10.0),
        (0, 0.0),
        (2.5, 2.5),
        (None, None),
        (timedelta(seconds=5), None),
        ("soon", None),
        (float("nan"), None),
    ],
)
def test_an_expiry_is_its_seconds(expires, expires_s):
    assert entry(options={"expires": expires}).expires_s == expires_s


@pytest.mark.parametrize("at", [datetime(2990, 1, 1, tzinfo=UTC), "2990-01-01T00:00:00+00:00"])
def test_an_expiry_at_a_fixed_time_is_that_time(at):
    found = entry(options={"expires": at})

    assert found.expires_at == datetime(2990, 1, 1, tzinfo=UTC).timestamp()
    assert found.expires_s == pytest.approx(found.expires_at - time.time(), abs=60)


@pytest.mark.parametrize(
    ("row", "trouble"),
    [
        (3, "it is int, not a mapping"),
        (None, "it is NoneType"),
        ({"schedule": 30}, "it names no task"),
        ({"task": None, "schedule": 30}, "it names no task"),
        ({"task": ["a"], "schedule": 30}, "it names no task"),
        ({"task": "proj.refresh"}, "it has no schedule"),
        ({"task": "proj.refresh", "schedule": "30"}, "its schedule is a str"),
        ({"task": "proj.refresh", "schedule": 30, "option": {}}, "it has the unknown key 'option'"),
        ({"task": "proj.refresh", "schedule": 30, "options": [1]}, "its options are list"),
    ],
)
def test_an_entry_that_beat_cannot_use_says_why(row, trouble):
    found = entry(application(beat_schedule={"e": row}))

    assert found.trouble.startswith(trouble)


@pytest.mark.parametrize("schedule", [3, "x", [{"task": "proj.refresh"}]])
def test_a_schedule_that_is_no_mapping_is_unknown(schedule):
    entries = see_schedule(application(beat_schedule=schedule)).entries

    assert isinstance(entries, Unknown)
    assert entries.why.startswith("beat_schedule is ")


def test_entries_with_the_same_arguments_have_the_same_call_and_others_not():
    rows = {"a": ((1, 2), {}), "b": ([1, 2], {}), "c": ((1,), {"x": 2}), "d": ((1, 2), {"y": [1]})}
    app = application(beat_schedule={
        name: {"task": "proj.refresh", "schedule": 30, "args": args, "kwargs": kwargs} for name, (args, kwargs) in rows.items()
    })  # fmt: skip
    calls = {found.name: found.call for found in see_schedule(app).entries}

    assert calls["a"] == calls["b"]
    assert len(set(calls.values())) == 3


@pytest.mark.parametrize("args", [(object(),), (maybe_list,), ({1, 2},)])
def test_arguments_that_are_no_plain_data_are_not_compared(args):
    assert isinstance(entry(args=args).call, Unknown)


def test_a_crontab_is_in_the_applications_time_zone():
    app = application(
        timezone="Asia/Kolkata", beat_schedule={"e": {"task": "proj.refresh", "schedule": crontab(minute=0, hour=9)}}
    )

    assert entry(app).schedule == "crontab 0 9 * * * (Asia/Kolkata)"


@pytest.mark.parametrize(
    ("scheduler", "reason"),
    [
        ("no.such:Scheduler", "can't be imported"),
        ("celery.beat:Service", "not known here"),
        ("observe.test_schedule_static:Elsewhere", "not known here"),
    ],
)
def test_a_scheduler_that_is_not_known_makes_the_entries_unknown(scheduler, reason):
    seen = see_schedule(application(beat_scheduler=scheduler))

    assert isinstance(seen.entries, Unknown)
    assert reason in seen.entries.why
    assert {row.name: row.in_force for row in seen.schedulers} == {"beat_schedule": True, scheduler: True}


def test_a_scheduler_that_only_adds_to_celerys_own_keeps_its_entries_where_that_does():
    app = application(
        beat_scheduler="observe.test_schedule_static:Traced",
        beat_schedule={"e": {"task": "proj.refresh", "schedule": 30}},
    )

    assert entry(app).name == "e"


def test_late_tasks_and_declared_queues_are_said():
    app = see_app(application(task_queues=None, result_backend="rpc://", result_expires=0))

    assert app.late_tasks == ("proj.mail",)
    assert (app.queues, app.declares_queues, app.creates_queues) == (("celery",), False, True)
    assert app.result_expires_s is None


def test_looking_at_entries_declares_none_of_their_queues():
    app = application(beat_schedule={"e": {"task": "proj.refresh", "schedule": 30, "options": {"queue": "fast"}}})

    assert see_app(app).queues == ("celery",)


def test_ten_thousand_entries_cost_ten_times_what_a_thousand_do():
    """Counted in calls and not in time: how often an entry's own schedule is looked at."""
    looked = []

    class Counted(timedelta):
        def total_seconds(self):
            looked.append(1)
            return super().total_seconds()

    per_entry = []
    for number in (1000, 10_000):
        looked.clear()
        rows = {f"e{n}": {"task": "proj.refresh", "schedule": Counted(seconds=30)} for n in range(number)}
        assert len(see_schedule(application(beat_schedule=rows)).entries) == number
        per_entry.append(len(looked) / number)

    assert per_entry[0] == per_entry[1]


PLAIN = """
from celery import Celery
from celery.beat import PersistentScheduler, Scheduler
app = Celery("proj", broker="redis://127.0.0.1:1/0", include=["proj_tasks"])
app.conf.beat_schedule = {"e": {"task": "proj_tasks.refresh", "schedule": 30}, "f": {"task": "gone", "schedule": 30}}
"""
TASKS = """
from proj import app
@app.task
def refresh(): pass
"""


def entries(app):
    return {row["name"]: row for row in app["entries"]}


def test_task_modules_are_imported_as_a_worker_does(tmp_path):
    found = entries(seen(write(tmp_path, proj=PLAIN, proj_tasks=TASKS)))

    assert (found["e"]["registered"], found["f"]["registered"]) == (True, False)


@pytest.mark.parametrize(
    ("tasks", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise RuntimeError('a\\nb')", "RuntimeError: a b"),
    ],
)
def test_where_a_task_module_fails_it_is_unknown_whether_a_task_exists(tasks, reason, tmp_path):
    found = entries(seen(write(tmp_path, proj=PLAIN, proj_tasks=tasks)))

    assert reason in found["f"]["unknown"]["registered"]


def test_what_modules_print_is_not_data(tmp_path):
    place = write(tmp_path, proj="print('hello')\n" + PLAIN, proj_tasks="print('hello')\n" + TASKS)

    assert entries(seen(place))["e"]["registered"] is True


BAD_APPS = {
    "def broken(:": "SyntaxError",
    "import no_such_module": "No module named 'no_such_module'",
    "raise SystemExit(3)": "it ends the process at import, with exit code 3",
    "import sys; sys.exit()": "it ends the process at import",
    "raise RuntimeError('a\\n\\x1b[2J')": "RuntimeError",
    "x = 1": "no Celery application can be imported",
    "import os\nos.environ.pop('DJANGO_SETTINGS_MODULE', None)\nfrom celery import Celery\n"
    "app = Celery('p')\napp.config_from_object('django.conf:settings', namespace='CELERY')": "settings can't be loaded",
    "from celery import Celery\napp = Celery('p')\napp.config_from_object('no_such_settings')": "settings can't be loaded",
    "from celery import Celery\napp = Celery('p')\napp.conf.timezone = 'Mars/Base'": "settings can't be used",
    "from celery import Celery\napp = Celery('p')\napp.conf.task_queues = 3": "settings can't be used",
}


@pytest.mark.parametrize("source", BAD_APPS)
@pytest.mark.parametrize("command", ["doctor", "lint"])
def test_an_application_that_cannot_be_used_is_one_line_and_wrong_usage(source, command, tmp_path):
    ran = python(write(tmp_path, bad=source), "-m", "tidegate", command, "-A", "bad")

    assert ran.code == 2, ran.said
    assert ran.out == b""
    assert ran.said.startswith("tidegate: wrong usage: ")
    assert ran.said.count("\n") == 1
    assert BAD_APPS[source] in ran.said
    assert "\x1b" not in ran.said


def test_v_puts_the_traceback_before_the_line(tmp_path):
    ran = python(write(tmp_path, bad="import no_such_module"), "-m", "tidegate", "lint", "-A", "bad", "-v")

    assert "Traceback" in ran.said
    assert ran.said.splitlines()[-1].startswith("tidegate: wrong usage: -A bad: ")


def test_no_application_of_that_name():
    with pytest.raises(BadApp, match="no Celery application"):
        load_app("no_such_module_at_all")


def test_an_application_whose_settings_load_is_handed_back():
    app = application()

    assert configured_app(app, "-A proj") is app


class Elsewhere(Scheduler):
    """Keeps its entries who knows where."""


class Traced(PersistentScheduler):
    """Celery's own, and a little more."""
