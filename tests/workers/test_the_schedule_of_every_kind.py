"""The same behaviour over Celery's own schedule, a real django-celery-beat database and a real RedBeat."""

import json
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest

from act.taking import until
from beats_under_fire import SPACE, Fire
from projects import django_project, rows, script, write
from tidegate.act.beat import ordering
from tidegate.broker.address import parse_address
from tidegate.broker.client import connect

EVERY_S = 0.2
#: Nobody has these tasks, and `bad` says something wrong: all of them run by their schedule.
APPLICATION = """
from celery.schedules import crontab, schedule
import tidegate
app.conf.result_expires = None
app.conf.beat_max_loop_interval = 0.5
app.conf.tidegate_tasks = {"t.one": {"overlap": "skip"}}
tidegate.install(app)
# What is wrong already when the gate is installed ends the process there.
app.conf.tidegate_entries = {"bad": {"min": 5, "max": 1}}
"""
PLAIN = f"""
from celery import Celery
app = Celery("proj")
{APPLICATION}
app.conf.beat_schedule = {{
    name: {{"task": "t." + name, "schedule": schedule({EVERY_S})}} for name in ("quick", "bad", "changed", "one")
}} | {{"cron": {{"task": "t.cron", "schedule": crontab(minute="*")}}}}
"""
ROWS = f"""
every = IntervalSchedule.objects.create(every={int(EVERY_S * 1e6)}, period="microseconds")
for name in ("quick", "bad", "changed", "one"):
    PeriodicTask.objects.create(name=name, task="t." + name, interval=every)
PeriodicTask.objects.create(name="cron", task="t.cron", crontab=CrontabSchedule.objects.create(minute="*"))
PeriodicTask.objects.bulk_create([
    PeriodicTask(name="bare", task="t.bare"),
    PeriodicTask(name="61", task="t.61", crontab=CrontabSchedule.objects.create(minute="61")),
])
"""
KINDS = {
    "persistent": "tidegate.act.beat.scheduler:PersistentScheduler",
    "database": "tidegate.act.beat.database:DatabaseScheduler",
    "redbeat": "tidegate.act.beat.redbeat:RedBeatScheduler",
}


@dataclass
class Place:
    """A project whose schedule is of one kind."""

    kind: str
    project: Path

    def disable(self, name):
        """As its users do it while beat runs."""
        if self.kind == "database":
            rows(self.project, f'one = PeriodicTask.objects.get(name="{name}")\none.enabled = False\none.save()')
        else:
            script(
                self.project,
                "import proj\nfrom redbeat import RedBeatSchedulerEntry as Entry\n"
                f'one = Entry.from_key("redbeat:{name}", app=proj.app)\none.enabled = False\none.save()',
            )


@pytest.fixture(params=list(KINDS))
def place(request, tmp_path, private_broker):
    project = tmp_path / "site"
    if request.param == "database":
        django_project(project, application=APPLICATION)
        rows(project, ROWS)
    elif request.param == "redbeat":
        url = private_broker().url
        write(project, proj=PLAIN + f'app.conf.redbeat_redis_url = "{url}"\napp.conf.redbeat_redis_options = {{}}\n')
    else:
        write(project, proj=PLAIN)
    return Place(request.param, project)


def sent(client):
    """How many messages of each task wait in the queue."""
    return Counter(json.loads(one)["headers"]["task"] for one in client.lrange("celery", 0, -1))


def due_times(client, task):
    """When the messages of a task were due, in seconds, in their order."""
    headers = [json.loads(one)["headers"] for one in client.lrange("celery", 0, -1)]
    return sorted(one["periodic_due_at"] for one in headers if one["task"] == task)


def wait_for(condition, within_s=20.0):
    until_s = time.monotonic() + within_s
    while time.monotonic() < until_s:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come")


def test_entries_fire_on_their_grid_and_a_broken_one_stops_no_other(place, celery_beat, broker_url, redis_client):
    celery_beat(place.project, broker_url, "-S", KINDS[place.kind])
    wait_for(lambda: sent(redis_client)["t.quick"] > 0)
    before = sent(redis_client)
    wait_for(lambda: sent(redis_client)["t.quick"] >= before["t.quick"] + 15)
    after, dues = sent(redis_client), due_times(redis_client, "t.quick")

    steps = [(later - earlier) / EVERY_S for earlier, later in pairwise(dues)]
    # A machine that is busy lets some pass; none lies beside the grid, and none is sent twice.
    assert all(abs(step - round(step)) < 1e-4 and round(step) >= 1 for step in steps)
    assert abs((after["t.bad"] - before["t.bad"]) - 15) <= 2
    assert set(after) <= {"t.quick", "t.bad", "t.changed", "t.cron", "t.one"}


def test_an_entry_that_is_disabled_while_beat_runs_stops_and_the_others_go_on(
    place, celery_beat, broker_url, redis_client
):
    if place.kind == "persistent":
        pytest.skip("its entries are in the settings alone")
    celery_beat(place.project, broker_url, "-S", KINDS[place.kind])
    wait_for(lambda: sent(redis_client)["t.changed"] > 1)
    place.disable("changed")
    wait_for(lambda: _stands_still(redis_client, "t.changed", "t.quick"))


def _stands_still(client, one, other):
    """Whether nothing of one came while the other fired five times more."""
    before = sent(client)
    wait_for(lambda: sent(client)[other] >= before[other] + 5)
    return sent(client)[one] == before[one]


def test_run_state_is_written_where_the_kind_keeps_it(place, celery_beat, broker_url, redis_client):
    if place.kind == "persistent":
        pytest.skip("its file is Celery's")
    beat = celery_beat(place.project, broker_url, "-S", KINDS[place.kind])
    wait_for(lambda: sent(redis_client)["t.quick"] > 3)
    beat.stop()
    fired = sent(redis_client)["t.quick"]
    if place.kind == "database":
        shown = script(
            place.project,
            "import proj, django\ndjango.setup()\nfrom django_celery_beat.models import *\n"
            'print(PeriodicTask.objects.get(name="quick").total_run_count)',
        )
    else:
        shown = script(
            place.project,
            "import proj\nfrom redbeat import RedBeatSchedulerEntry as Entry\n"
            'print(Entry.from_key("redbeat:quick", app=proj.app).total_run_count)',
        )
    # The signal that ends beat may come between a message and its note; the cursor knows better.
    assert int(shown) in (fired, fired - 1)


def test_of_an_entry_that_must_not_pile_up_one_message_waits_and_the_others_are_counted(
    place, celery_beat, broker_url, redis_client
):
    celery_beat(place.project, broker_url, "-S", KINDS[place.kind])
    until(lambda: counted(redis_client, "overlap_skipped", "one") >= 5, 20)
    assert sent(redis_client)["t.one"] == counted(redis_client, "sent", "one") == 1


def test_orders_pause_resume_and_pace_an_entry_and_run_it_at_once(place, celery_beat, broker_url, redis_client):
    celery_beat(place.project, broker_url, "-S", KINDS[place.kind])
    wait_for(lambda: sent(redis_client)["t.changed"] > 1)
    with operator(broker_url, "changed") as where:
        in_force(redis_client, ordering.order(where, "pause", ordering.paused))
        before = sent(redis_client)["t.changed"]
        until(lambda: counted(redis_client, "paused", "changed") >= 3)
        assert sent(redis_client)["t.changed"] == before

        ordering.ask(where)
        wait_for(lambda: sent(redis_client)["t.changed"] == before + 1)
        assert not redis_client.exists(SPACE + "asks")

        in_force(redis_client, ordering.order(where, "resume", ordering.resumed))
        wait_for(lambda: sent(redis_client)["t.changed"] >= before + 4)

        in_force(redis_client, ordering.order(where, "set", lambda order: replace(order, every=3600.0)))
        before = sent(redis_client)
        wait_for(lambda: sent(redis_client)["t.quick"] >= before["t.quick"] + 5)
        assert sent(redis_client)["t.changed"] == before["t.changed"]

        in_force(redis_client, ordering.order(where, "reset", ordering.reset))
        wait_for(lambda: sent(redis_client)["t.changed"] > before["t.changed"])


def test_of_two_beats_one_sends_and_the_other_goes_on_when_it_is_killed(
    place, celery_beat, valkey, broker_url, redis_client
):
    fire = Fire(valkey, [celery_beat(place.project, broker_url, "-S", KINDS[place.kind]) for _ in range(2)])
    fire.watch(20, lambda: len(fire.referee.dues["quick"]) > 5)
    fire.kill()
    before = len(fire.referee.dues["quick"])
    fire.watch(10, lambda: len(fire.referee.dues["quick"]) > before + 10)
    fire.end()
    assert len(fire.referee.dues["quick"]) > before + 10
    assert fire.referee.twice() == []
    assert fire.counts()["sent"] == fire.referee.read


@contextmanager
def operator(url, entry):
    with connect(parse_address(url)) as broker:
        yield ordering.Where(broker, "proj", entry, "ann@ops")


def in_force(client, written):
    """The leading beat goes by this order from now on."""
    until(lambda: int(client.get(SPACE + "seen") or 0) >= written.edition)


def counted(client, outcome, entry):
    return int(client.hget(SPACE + "counts", f"{outcome}|{entry}") or 0)
