"""`tidegate lint` as CI runs it: in a process of its own, in a project's directory, mostly without any broker."""

import json
import time

import pytest
from celery import Celery

from faces.shell import steering
from projects import django_project, python, rows, write

HEAD = """
import os
from celery import Celery
from celery.schedules import crontab
from kombu import Queue
app = Celery("proj", broker=os.environ.get("BROKER", "redis://127.0.0.1:1/0"))
@app.task
def refresh(*args): pass
@app.task
def mail(*args): pass
"""
FINE = (
    HEAD
    + """
app.conf.beat_schedule = {
    "refresh": {"task": "proj.refresh", "schedule": 30, "options": {"expires": 30}},
    "night": {"task": "proj.mail", "schedule": crontab(minute=7, hour=3), "options": {"expires": 3600}},
}
"""
)


def schedule(rows_):
    return f"{HEAD}\napp.conf.beat_schedule = {rows_}\n"


def entry(task="proj.refresh", when="30", options="{'expires': 30}", args="()"):
    return f"{{'task': {task!r}, 'schedule': {when}, 'options': {options}, 'args': {args}}}"


def one(**changes):
    return schedule(f"{{'refresh': {entry(**changes)}}}")


def lint(place, *arguments, **environment):
    return python(place, "-m", "tidegate", "lint", "-A", "proj", "--timeout", "2", *arguments, **environment)


def noticed(ran):
    """Rule and level of what was noticed."""
    return {
        (row["rule"], row["level"])
        for row in json.loads(ran.out)["findings"]
        if row["level"] != "ok" and not row["unknown"]
    }


def test_a_healthy_schedule_passes_without_any_broker(tmp_path):
    ran = lint(write(tmp_path, proj=FINE))

    assert ran.code == 0, ran.shown + ran.said
    assert "proj  2 periodic entries  sent by celery.beat:PersistentScheduler" in ran.shown
    assert "could not look (-v shows them)" in ran.shown
    assert "Intervals were not judged: no run times are known" in ran.shown
    assert ran.said == ""


def test_an_application_without_a_schedule_passes(tmp_path):
    ran = lint(write(tmp_path, proj=HEAD))

    assert ran.code == 0
    assert "0 periodic entries" in ran.shown


#: Whatever the issue says must fail by default, each in a schedule of its own.
FAILS = {
    "missing expires": (one(options="{}"), "TG204", ()),
    "a herd at minute 0": (
        schedule("{f'e{n}': {'task': 'proj.mail', 'args': (n,), 'schedule': crontab(minute=0), 'options': {'expires': 60}} "
                 "for n in range(12)}"), "TG205", (),
    ),
    "a queue nobody consumes": (one(options="{'expires': 30, 'queue': 'mial'}"), "TG206", ("--consumed", "celery,mail")),
    "a queue that is not declared": (one(options="{'expires': 30, 'queue': 'mial'}"), "TG207", ()),
    "a task that does not exist": (one(task="proj.refesh"), "TG208", ()),
    "an interval of zero": (one(when="0"), "TG210", ()),
    "an unsafe interval": (one(when="1", options="{'expires': 1}"), "TG201", ("--slots", "1", "--run-times", "times.json")),
}  # fmt: skip


@pytest.mark.parametrize("what", FAILS)
def test_it_fails_by_default_on(what, tmp_path):
    source, rule, arguments = FAILS[what]
    place = write(tmp_path, proj=source)
    (place / "times.json").write_text('{"proj.refresh": 2.0}')
    ran = lint(place, *arguments, "--json")

    assert ran.code == 1, ran.said
    assert rule in {found for found, _ in noticed(ran)}


def test_what_it_fails_on_can_be_chosen(tmp_path):
    place = write(tmp_path, proj=one(options="{}"))

    assert [lint(place, "--fail-on", level).code for level in ("info", "warning", "critical", "never")] == [1, 1, 0, 0]


def test_strict_fails_where_a_check_could_not_look(tmp_path):
    place = write(tmp_path, proj=FINE)
    (place / "times.toml").write_text('"proj.refresh" = 0.1\n"proj.mail" = "2s"\n')
    everything = ("--run-times", "times.toml", "--slots", "2", "--hosts", "2", "--consumed", "celery")

    assert lint(place, "--strict").code == 3
    assert lint(place, "--strict", *everything).code == 0


@pytest.mark.parametrize(("ignored", "code"), [("TG204", 0), ("TG204:refresh", 0), ("TG204:other", 1), ("TG205", 1)])
def test_a_rule_can_be_left_out_everywhere_or_for_one_entry(ignored, code, tmp_path):
    assert lint(write(tmp_path, proj=one(options="{}")), "--ignore", ignored).code == code


def test_run_times_and_workers_from_files_are_judged_by_the_planner(tmp_path):
    a = entry(when="2", options="{'expires': 2}")
    m = entry("proj.mail", "10", "{'expires': 10, 'queue': 'mail'}")
    queues = "app.conf.task_queues = [Queue('celery'), Queue('mail')]\n"
    place = write(tmp_path, proj=schedule(f"{{'a': {a}, 'm': {m}}}") + queues)
    (place / "times.toml").write_text(
        '[proj.refresh]\nrun_s = 0.1\nchildren = { "proj.mail" = 4 }\n[proj.mail]\nrun_s = 1\n'
    )
    (place / "pools.json").write_text(
        '[{"queues": ["celery"], "slots": 8, "hosts": 2}, {"queues": ["mail"], "slots": 1}]'
    )
    ran = lint(place, "--run-times", "times.toml", "--pools", "pools.json", "--json")
    answer = json.loads(ran.out)
    edges = {row["name"]: row["edge_interval_s"] for row in answer["entries"]}

    # The children of `a` go to the default queue: 4.1 s of work on 16 slots, and 1 s on the one of mail.
    assert (answer["run_times"], answer["consumed"]) == ("given", ["celery", "mail"])
    assert edges == {"a": pytest.approx(4.1 / 16, rel=0.02), "m": pytest.approx(1.0, rel=0.02)}
    assert ran.code == 0, ran.shown


BAD_OPTIONS = {
    ("--ignore", "TG999"): "expected a rule from TG201",
    ("--ignore", "TG204:"): "expected a rule from TG201",
    ("--hosts", "2"): "--slots",
    ("--slots", "2", "--pools", "ok.json"): "give one of them",
    ("--run-times", "no.json"): "can't be read: No such file",
    ("--run-times", "."): "",
    ("--run-times", "broken.json"): "is no JSON",
    ("--run-times", "broken.toml"): "is no TOML",
    ("--run-times", "list.json"): "expected names of tasks",
    ("--run-times", "negative.json"): "run time of proj.a: expected a number of at least 0, got -1",
    ("--run-times", "nan.json"): "expected a number of at least 0",
    ("--run-times", "child.json"): "whose own run time is missing",
    ("--run-times", "odd.json"): "expected run_s",
    ("--pools", "list.json"): "pool 1: expected queues, slots",
    ("--pools", "empty.json"): "expected a list of pools",
    ("--pools", "slots.json"): "slots: expected a whole number",
    ("--pools", "queues.json"): "queues: expected a list of names",
    ("--pools", "hosts.json"): "hosts: expected a number from 1",
    ("--utilisation", "nan"): "nan",
    ("--utilisation", "0"): "",
    ("--slots", "0"): "",
}
FILES = {
    "ok.json": '[{"queues": ["celery"], "slots": 1}]', "broken.json": "{", "broken.toml": "=", "list.json": "[1]",
    "negative.json": '{"proj.a": -1}', "nan.json": '{"proj.a": NaN}', "empty.json": "[]",
    "child.json": '{"proj.a": {"run_s": 1, "children": {"proj.b": 1}}}', "odd.json": '{"proj.a": {"run_s": 1, "run_ms": 1}}',
    "slots.json": '[{"queues": ["a"], "slots": 0}]', "queues.json": '[{"queues": "a", "slots": 1}]',
    "hosts.json": '[{"queues": ["a"], "slots": 1, "hosts": 0}]',
}  # fmt: skip


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=" ".join)
def test_an_option_that_cannot_be_used_is_wrong_usage(options, tmp_path):
    place = write(tmp_path, proj=FINE)
    for name, text in FILES.items():
        (place / name).write_text(text)
    ran = lint(place, *options)

    assert ran.code == 2, ran.shown
    assert ran.out == b""
    assert BAD_OPTIONS[options] in ran.said
    assert "Traceback" not in ran.said


def test_without_an_application_there_is_nothing_to_judge(tmp_path):
    ran = python(tmp_path, "-m", "tidegate", "lint")

    assert ran.code == 2
    assert "name it with -A" in ran.said


def test_it_is_a_command_of_celery_too(tmp_path):
    ran = python(write(tmp_path, proj=one(options="{}")), "-m", "celery", "-A", "proj", "tidegate", "lint")

    assert ran.code == 1, ran.said
    assert "TG204" in ran.shown


def test_a_broker_that_is_named_has_to_be_there(tmp_path):
    ran = lint(write(tmp_path, proj=FINE), "redis://127.0.0.1:1/0")

    assert ran.code == 3
    assert ran.said.startswith("tidegate: could not look: ")


def test_another_kind_of_broker_is_a_reason_and_no_error(tmp_path):
    ran = lint(write(tmp_path, proj=FINE), BROKER="amqp://guest:secret@localhost//")

    assert ran.code == 0, ran.said
    assert "names another kind of broker" in " ".join(ran.shown.split())
    assert "secret" not in ran.shown


def test_a_broker_without_a_probe_is_a_reason_and_stays_as_it_was(tmp_path, redis_client, broker_url):
    redis_client.lpush("celery", "x")
    ran = lint(write(tmp_path, proj=FINE), BROKER=broker_url)

    assert ran.code == 0, ran.said
    assert "no probe has left anything" in " ".join(ran.shown.split())
    assert redis_client.keys() == [b"celery"]


def test_workers_that_are_asked_say_what_they_consume(tmp_path, broker_url, celery_worker):
    source = one(options="{'expires': 30, 'queue': 'mail'}")
    celery_worker(source.replace('"redis://127.0.0.1:1/0"', f'"{broker_url}"'), broker_url, "-c", "1", "-P", "solo")
    ran = lint(write(tmp_path / "here", proj=source), "--ask-workers", "--json", BROKER=broker_url)

    assert json.loads(ran.out)["consumed"] == ["celery"]
    assert ("TG206", "critical") in noticed(ran)


OFTEN = entry(when="0.02", options="{'expires': 0.02}")
SLEEPS = HEAD.replace("def refresh(*args): pass", "def refresh(*args): time.sleep(0.05)")
MEASURED = (
    f"import time\nimport tidegate\n{SLEEPS}\ntidegate.install(app)\napp.conf.beat_schedule = {{'refresh': {OFTEN}}}\n"
)


def test_run_times_that_the_probe_measured_in_a_real_worker_are_judged(
    tmp_path, redis_client, broker_url, celery_worker
):
    worker = celery_worker(MEASURED.replace("redis://127.0.0.1:1/0", broker_url), broker_url, "-c", "1")
    app = Celery("proj", broker=broker_url, set_as_current=False)
    for _ in range(60):
        app.send_task("proj.refresh", headers={"periodic_task_name": "refresh"}, ignore_result=True)
    wait_for(lambda: not redis_client.llen("celery") and not redis_client.hlen("unacked"))
    worker.stop()
    ran = lint(write(tmp_path / "here", proj=MEASURED), "--slots", "1", "--json", BROKER=broker_url)
    answer = json.loads(ran.out)

    assert answer["run_times"] == "measured"
    # It sleeps for 50 ms; the rest is what the worker adds, on a machine that may be busy.
    assert 0.05 <= answer["entries"][0]["edge_interval_s"] < 0.2
    assert ("TG201", "critical") in noticed(ran)


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_names_of_entries_cannot_steer_the_terminal(tmp_path):
    hostile = "a\x1b]0;mine\x07\n\u202e[red]"
    ran = lint(write(tmp_path, proj=schedule(f"{{{hostile!r}: {entry(options='{}')}}}")), "-v")

    assert ran.code == 1, ran.said
    assert not steering(ran.shown)
    assert "[red]" in ran.shown


def test_a_database_that_is_away_is_said_and_fails_only_where_strict(tmp_path):
    place = django_project(tmp_path / "site", migrated=False)
    ran, strict = lint(place), lint(place, "--strict")

    assert (ran.code, strict.code) == (0, 3), ran.said
    assert "Entries of django-celery-beat were not judged: " in ran.shown


def test_rows_of_a_database_are_judged(tmp_path):
    place = django_project(tmp_path / "site")
    rows(place, 'every = IntervalSchedule.objects.create(every=10, period="seconds")\n'
         'PeriodicTask.objects.create(name="late", task="proj.refesh", interval=every)')  # fmt: skip
    ran = lint(place, "--json")

    assert {("TG204", "warning"), ("TG208", "critical")} <= noticed(ran)
    assert ran.code == 1


def test_ten_thousand_entries_are_judged(tmp_path):
    ran = lint(write(tmp_path, proj=schedule(
        "{f'e{n}': {'task': 'proj.refresh', 'args': (n,), 'schedule': crontab(minute=n % 60, hour=n % 24)} "
        "for n in range(10_000)}"
    )), "--json")  # fmt: skip
    answer = json.loads(ran.out)

    assert len(answer["entries"]) == 10_000
    assert {("TG204", "warning"), ("TG205", "warning")} <= noticed(ran)
