"""django-celery-beat: rows that its own models wrote, in a real database, read as entries."""

import shutil

import pytest

from projects import django_project, rows, script, seen

ROWS = """
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo
every = IntervalSchedule.objects.create(every=10, period="seconds")
new = lambda name, **fields: PeriodicTask.objects.create(name=name, task="proj.refresh", **fields)
new("every", interval=every, expire_seconds=30)
new("off", interval=every, enabled=False)
new("mailed", interval=every, args='[1, 2]', kwargs='{"a": 1}', queue="mail", priority=3)
new("same", interval=every, args='[1,2]', kwargs='{"a":1}')
new("ended", interval=every, expires=datetime(2020, 1, 1, tzinfo=timezone.utc))
new("ends", interval=every, expires=datetime(2990, 1, 1, tzinfo=timezone.utc))
new("berlin", crontab=CrontabSchedule.objects.create(minute="0", hour="9", timezone=ZoneInfo("Europe/Berlin")))
new("tokyo", crontab=CrontabSchedule.objects.create(minute="*/30", timezone=ZoneInfo("Asia/Tokyo")))
new("never", crontab=CrontabSchedule.objects.create(minute="0", hour="0", day_of_month="30", month_of_year="2"))
new("sun", solar=SolarSchedule.objects.create(event="sunrise", latitude=52.5, longitude=13.4))
new("clock", clocked=ClockedSchedule.objects.create(clocked_time=datetime(2990, 1, 1, tzinfo=timezone.utc)), one_off=True)
new("once", interval=every, one_off=True)
PeriodicTask.objects.filter(name="once").update(total_run_count=1)
PeriodicTask.objects.create(name="no such\\n\\x1b[2J'\\";task", task="proj.gone", interval=every)
PeriodicTask.objects.bulk_create([
    PeriodicTask(name="bare", task="proj.refresh"),
    PeriodicTask(name="odd", task="proj.refresh", interval=every, args="[1"),
    PeriodicTask(name="zero", task="proj.refresh", interval=IntervalSchedule.objects.create(every=0, period="days")),
    PeriodicTask(name="61", task="proj.refresh", crontab=CrontabSchedule.objects.create(minute="61")),
])
"""


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    return django_project(tmp_path_factory.mktemp("migrated") / "site")


@pytest.fixture(scope="module")
def filled(migrated, tmp_path_factory):
    """What is read from a table with a row of every kind."""
    place = shutil.copytree(migrated, tmp_path_factory.mktemp("filled") / "site")
    rows(place, ROWS)
    return seen(place)


def entries(app, source="django-celery-beat"):
    [row] = [row for row in app["schedulers"] if row["name"] == source]
    return {entry["name"]: entry for entry in row["entries"]}


def test_its_scheduler_is_in_force_by_its_registered_name(filled):
    assert filled["scheduler"] == "django"
    assert {row["name"]: row["in_force"] for row in filled["schedulers"]} == {
        "beat_schedule": True, "django-celery-beat": True,
    }  # fmt: skip


def test_an_interval_is_read_with_its_task_its_queue_and_its_expiry(filled):
    entry = entries(filled)["every"]

    assert (entry["task"], entry["interval_s"], entry["schedule"]) == ("proj.refresh", 10.0, "every 10 s")
    assert (entry["expires"], entry["expires_s"], entry["queues"], entry["registered"]) == (
        True,
        30.0,
        ["celery"],
        True,
    )


def test_routing_of_a_row_is_followed(filled):
    assert entries(filled)["mailed"]["queues"] == ["mail"]


def test_arguments_are_compared_and_not_their_spelling(filled):
    found = entries(filled)

    assert found["mailed"]["call"] == found["same"]["call"] != found["every"]["call"]


def test_a_row_keeps_its_own_time_zone(filled):
    found = entries(filled)

    assert found["berlin"]["schedule"] == "crontab 0 9 * * * (Europe/Berlin)"
    assert found["tokyo"]["crontab"]["utc_offset_s"] == 32400.0
    assert found["tokyo"]["mean_interval_s"] == 1800.0


def test_what_is_off_over_or_done_is_not_sent(filled):
    found = entries(filled)

    assert [name for name in ("off", "ended", "once") if found[name]["enabled"]] == []
    assert found["ends"]["enabled"]
    assert {"off", "ended", "once"}.isdisjoint(entry["name"] for entry in filled["entries"])


def test_the_30th_of_february_never_comes(filled):
    assert entries(filled)["never"]["never"] == "no time matches its crontab 0 0 30 2 * (Europe/Berlin)"


def test_the_sun_and_the_clock_are_read(filled):
    found = entries(filled)

    assert found["sun"]["schedule"].startswith("sunrise at 52.5")
    assert found["sun"]["mean_interval_s"] == 86400.0
    assert found["clock"]["schedule"] == "once, at 2990-01-01T00:00:00+00:00"


def test_rows_that_nobody_could_use_say_why(filled):
    found = entries(filled)

    assert found["bare"]["trouble"] == "it has no schedule"
    assert found["odd"]["trouble"] == "its arguments are no JSON"
    assert "can't be read" in found["61"]["trouble"]
    assert found["zero"]["interval_s"] == 0.0


def test_a_name_may_hold_anything(filled):
    entry = entries(filled)["no such\n\x1b[2J'\";task"]

    assert entry["registered"] is False


def test_reading_writes_nothing(migrated, tmp_path):
    place = shutil.copytree(migrated, tmp_path / "site")
    rows(place, ROWS)
    before = (place / "db.sqlite3").read_bytes()
    seen(place)

    assert (place / "db.sqlite3").read_bytes() == before


def test_a_database_that_was_never_migrated_is_unknown_with_what_to_do(tmp_path):
    app = seen(django_project(tmp_path / "site", migrated=False))
    [row] = [row for row in app["schedulers"] if row["name"] == "django-celery-beat"]

    assert "no such table" in row["unknown"]["entries"]
    assert "migrate" in row["unknown"]["entries"]
    assert app["entries"] is None
    assert "migrate" in app["unknown"]["entries"]


def test_a_database_that_does_not_answer_is_unknown(tmp_path):
    broken = 'DATABASES["default"]["NAME"] = "/no/such/directory/db.sqlite3"\n'
    app = seen(django_project(tmp_path / "site", settings=broken, migrated=False))

    assert "can't be read (OperationalError: unable to open database file)" in app["unknown"]["entries"]


def test_where_django_is_not_set_up_that_is_the_reason(tmp_path):
    bare = "INSTALLED_APPS = []\n"
    app = seen(django_project(tmp_path / "site", settings=bare, migrated=False))

    assert "INSTALLED_APPS" in app["unknown"]["entries"]


COPIED = """
CELERY_BEAT_SCHEDULE = {
    "kept": {"task": "proj.refresh", "schedule": 30, "options": {"expires": 10, "queue": "mail"}},
    "timed": {"task": "proj.refresh", "schedule": 60, "options": {"expire_seconds": 20}},
    "paused": {"task": "proj.refresh", "schedule": 90},
}
"""
#: What beat does at its start: it copies the settings' entries into its table.
STARTS = """
import proj
import django
django.setup()
from django_celery_beat.schedulers import DatabaseScheduler
from django_celery_beat.models import PeriodicTask
DatabaseScheduler(app=proj.app)
PeriodicTask.objects.filter(name="paused").update(enabled=False)
print({row.name: row.expire_seconds for row in PeriodicTask.objects.all()})
"""


def test_entries_of_the_settings_are_seen_once_and_as_the_table_sends_them(migrated, tmp_path):
    place = shutil.copytree(migrated, tmp_path / "site")
    with (place / "site_settings.py").open("a") as settings:
        settings.write(COPIED)
    before = entries(seen(place), "beat_schedule")
    kept = script(place, STARTS)
    after = seen(place)

    # Its scheduler really drops `expires`.
    assert "'kept': None" in kept
    assert "'timed': 20" in kept
    for found in (before, entries(after, "beat_schedule")):
        assert (found["kept"]["expires"], found["kept"]["dropped"]) == (False, ["expires"])
        assert found["kept"]["queues"] == ["mail"]
        assert found["timed"]["expires_s"] == 20.0
    assert entries(after, "beat_schedule")["paused"]["enabled"] is False
    assert set(entries(after)) == {"celery.backend_cleanup"}


def test_its_table_is_read_also_where_another_scheduler_may_be_in_force(migrated, tmp_path):
    place = shutil.copytree(migrated, tmp_path / "site")
    rows(place, ROWS)
    with (place / "site_settings.py").open("a") as settings:
        settings.write('CELERY_BEAT_SCHEDULER = "celery.beat:PersistentScheduler"\n')
    app = seen(place)
    [row] = [row for row in app["schedulers"] if row["name"] == "django-celery-beat"]

    assert row["in_force"] is None
    assert "-S" in row["unknown"]["in_force"]
    assert "every" in {entry["name"] for entry in app["entries"]}


def test_the_task_brings_its_own_expiry_and_queue(migrated, tmp_path):
    place = shutil.copytree(migrated, tmp_path / "site")
    rows(place, 'PeriodicTask.objects.create(name="m", task="proj.mail", '
         'interval=IntervalSchedule.objects.create(every=10, period="seconds"))')  # fmt: skip
    entry = entries(seen(place))["m"]

    assert (entry["expires_s"], entry["queues"]) == (60.0, ["mail"])
