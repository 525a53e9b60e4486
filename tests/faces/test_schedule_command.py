"""`tidegate schedule`: what it shows of a schedule that runs, what it changes, and what it refuses and why."""

import json
import time

import pytest
from celery import Celery
from celery.schedules import crontab

from faces.hostile import TEXTS
from faces.shell import assert_harmless, assert_one_line, call
from projects import python, write

SPACE = "tidegate:beat:1:shop:"
SCHEDULE = {
    "refresh": {"task": "shop.refresh", "schedule": 1.0},
    "digest": {"task": "shop.refresh", "schedule": 60.0, "args": (1,)},
    "nightly": {"task": "shop.refresh", "schedule": crontab(hour=3, minute=30)},
    "gone": {"task": "shop.nothing", "schedule": 5.0},
}


def an_application(url, **settings):
    app = Celery("shop", broker=url, set_as_current=False)
    app.conf.update(beat_schedule=SCHEDULE, **settings)

    @app.task(name="shop.refresh", shared=False)
    def refresh(*args):
        pass

    return app


@pytest.fixture
def app(broker_url, monkeypatch):
    app = an_application(broker_url)
    monkeypatch.setattr("tidegate.observe.app.load_app", lambda name: app)
    return app


@pytest.fixture
def led(app, redis_client):
    """A beat that leads and goes by whatever is ordered at once."""
    now_s = time.time()
    redis_client.set(SPACE + "lease", json.dumps({"who": "web1:4711", "since": now_s - 250}))
    redis_client.set(SPACE + "seen", 10**9)
    redis_client.hset(SPACE + "cursors", mapping={"refresh": int(now_s * 1e6), "digest": int((now_s - 20) * 1e6)})
    redis_client.hset(
        SPACE + "last", mapping={"refresh": f"sent|{now_s * 1000:.0f}|", "digest": "failed|1000|no route"}
    )
    redis_client.hset(SPACE + "counts", mapping={"sent|refresh": 4711, "overlap_skipped|refresh": 12})
    return redis_client


def schedule(*words):
    return call("schedule", *words, "-A", "shop")


def rows_of(ran):
    return {line.split()[0]: line for line in ran.shown.splitlines() if line}


def test_the_list_says_who_leads_and_shows_what_is_in_trouble_first(led, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    led.hset(SPACE + "orders", "refresh", '{"paused": true, "every": 2, "who": "ann@ops", "at": 1}')
    ran = schedule("list")
    assert ran.code == 0
    assert "schedule shop  led by web1:4711 for 4.2 minutes" in ran.shown
    table = [line.split()[0] for line in ran.shown.split("\n\n")[1].splitlines()]
    assert table == ["entry", "digest", "gone", "refresh", "nightly"]
    assert "4,711" in rows_of(ran)["refresh"]
    assert "ordered by ann@ops" in rows_of(ran)["refresh"]
    assert "gone: no such task: shop.nothing." in ran.shown
    assert "digest: its last due time could not be published: no route." in ran.shown


@pytest.mark.parametrize("width", ["40", "80", "120"])
def test_the_list_fits_the_terminal_and_cuts_no_number(led, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", width)
    shown = schedule("list").shown
    assert "60 s" in shown
    table = shown.split("\n\n")[1]
    assert max(map(len, table.splitlines())) <= int(width)


def test_everything_of_one_entry_and_what_was_ordered_of_it(led):
    schedule("pause", "refresh", "--why", "the database is being moved")
    schedule("pause", "digest")
    ran = schedule("show", "refresh")
    assert "12 overlap skipped" in ran.shown
    assert "the database is being moved" in ran.shown
    assert "paused" in ran.shown
    assert "digest" not in ran.shown
    parsed = schedule("show", "refresh", "--json").parsed
    assert parsed["entry"]["counts"] == {"sent": 4711, "overlap_skipped": 12}
    assert [line["what"] for line in parsed["journal"]] == ["pause"]


def test_an_act_says_what_was_and_what_is_and_that_it_is_in_force(led):
    first = schedule("set", "refresh", "--every", "1.2s")
    assert first.shown == "refresh: every 1.2 s (was: nothing ordered). In force, at once.\n"
    assert schedule("pause", "refresh").shown.startswith("refresh: every 1.2 s, paused (was: every 1.2 s).")
    assert "already; nothing changed" in schedule("pause", "refresh").shown
    assert schedule("resume", "refresh").shown.startswith("refresh: every 1.2 s (was: every 1.2 s, paused).")
    assert schedule("run-now", "nightly").code == 0
    parsed = schedule("reset", "refresh", "--json").parsed
    assert (parsed["was"], parsed["now"], parsed["changed"], parsed["in_force"]) == (
        "every 1.2 s",
        "nothing ordered",
        True,
        True,
    )
    assert json.loads(led.hget(SPACE + "asks", "nightly"))["who"] == parsed["who"]
    assert "@" in parsed["who"]


def test_an_order_without_a_beat_holds_when_one_leads(led, app, monkeypatch):
    monkeypatch.setattr("tidegate.act.beat.rules.is_ours", lambda app: True)
    led.delete(SPACE + "lease")
    ran = schedule("pause", "refresh")
    assert "No beat leads at the moment: it holds when one does." in ran.shown
    assert schedule("pause", "refresh", "--json").parsed["in_force"] is None
    assert led.hexists(SPACE + "orders", "refresh")


def test_a_beat_that_does_not_look_is_waited_for_two_seconds_and_said(led, monkeypatch):
    monkeypatch.setattr("tidegate.scheduling.WAITS_S", 0.1)
    led.set(SPACE + "seen", 0)
    ran = schedule("pause", "refresh")
    assert "has not taken it over within 0.1" in ran.shown
    assert ran.code == 0


def test_an_application_with_another_scheduler_is_shown_and_its_acts_are_refused_with_the_line_to_add(
    app, redis_client
):
    shown = schedule("list")
    assert "no beat leads" in shown.shown
    assert "celery.beat:PersistentScheduler, none of Tidegate's" in shown.shown
    refused = schedule("pause", "refresh")
    assert refused.code == 4
    assert refused.said.startswith("tidegate: refused: ")
    assert 'app.conf.beat_scheduler = "tidegate"' in refused.said
    app.conf.beat_scheduler = "redbeat.RedBeatScheduler"
    assert '"tidegate-redbeat"' in schedule("pause", "refresh").said
    assert redis_client.keys("tidegate:*") == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pause", "refrsh"), "shop has no entry 'refrsh': did you mean 'refresh'?"),
        (("show", "refrsh"), "did you mean 'refresh'?"),
        (("set", "nightly", "--every", "2s"), "pause, resume, run-now and reset fit it"),
        (("set", "refresh", "--every", "0"), "expected 0.001 s up to ten years, got 0 s"),
        (("set", "refresh", "--every", "auto", "--min", "3", "--max", "2"), "at least 3 s and at most 2 s"),
        (("set", "refresh"), "give --every, --min or --max"),
        (("set", "refresh", "--every", "often"), "expected a duration such as 1.2s or 5m, or auto, got 'often'"),
        (("set", "refresh", "--every", "-1"), "expected a duration"),
        (("set", "refresh", "--every", "nan"), "expected a duration"),
    ],
)
def test_what_can_not_be_ordered_is_wrong_usage_and_writes_nothing(led, words, said):
    ran = schedule(*words)
    assert (ran.code, ran.out) == (2, b"")
    assert said in " ".join(ran.said.split())
    assert not led.exists(SPACE + "orders", SPACE + "edition", "tidegate:journal")


def test_the_application_may_stand_before_the_command_and_has_to_be_named(led, broker_url):
    assert call("schedule", "-A", "shop", "list").code == 0
    ran = call("schedule", "list", broker_url)
    assert ran.code == 2
    assert "name it with -A" in ran.said


def test_what_can_not_be_seen_is_unknown_and_never_zero(led):
    for what in ("orders", "counts", "cursors", "last"):
        led.delete(SPACE + what)
        led.set(SPACE + what, "something else")
    entry = next(row for row in schedule("list", "--json").parsed["entries"] if row["entry"] == "refresh")
    for name in ("interval_s", "paused", "counts", "last_due_s", "last_outcome", "next_due_s", "ordered_by"):
        assert entry[name] is None
        assert "is no hash" in entry["unknown"][name]
    assert " ? " in rows_of(schedule("list"))["refresh"]


def test_a_server_that_is_away_is_one_line(app, monkeypatch):
    away = an_application("redis://127.0.0.1:1/0")
    monkeypatch.setattr("tidegate.observe.app.load_app", lambda name: away)
    assert_one_line(schedule("list"), longest_s=10)
    assert_one_line(schedule("pause", "refresh"), longest_s=10)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_no_name_in_a_schedule_and_nothing_that_beats_left_steers_the_terminal(text, app, redis_client):
    app.conf.beat_schedule = {text: {"task": text, "schedule": 1.0}}
    name = text.encode("utf-8", "surrogatepass")
    redis_client.set(SPACE + "lease", json.dumps({"who": text}))
    redis_client.hset(SPACE + "last", name, b"failed|1|" + name)
    redis_client.hset(SPACE + "orders", name, json.dumps({"paused": True, "who": text}))
    redis_client.hset(SPACE + "paced", name, json.dumps({"interval_s": 2, "why": text}))
    redis_client.xadd(
        "tidegate:journal", {"act": "beat", "key": name, "who": name, "was": name, "now": name, "why": name}
    )
    for words in (("list",), ("list", "--json")):
        assert_harmless(schedule(*words))


def test_it_is_a_command_of_celery_too(broker_url, redis_client, tmp_path):
    write(tmp_path, proj=f"from celery import Celery\napp = Celery('shop', broker={broker_url!r})\n")
    redis_client.set(SPACE + "lease", json.dumps({"who": "web1:4711"}))
    ran = python(tmp_path, "-m", "celery", "-A", "proj", "tidegate", "schedule", "list")
    assert ran.code == 0, ran.said
    assert "led by web1:4711" in ran.shown
