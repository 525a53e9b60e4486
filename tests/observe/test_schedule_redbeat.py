"""RedBeat: entries that RedBeat itself wrote into a private server, read with commands that only read."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery
from celery.schedules import crontab, schedule
from redbeat import RedBeatSchedulerEntry
from redbeat.schedulers import RedBeatScheduler
from redbeat.schedules import rrule

from tidegate.facts.unknown import Unknown
from tidegate.observe.schedule.reading import see_schedule
from tidegate.observe.schedule.redbeat import redbeat_address


def application(url, **conf):
    app = Celery("proj", broker="redis://127.0.0.1:1/0", set_as_current=False)
    settings = {"redbeat_redis_url": url, "redbeat_redis_options": {}, "beat_scheduler": "redbeat.RedBeatScheduler"}
    app.conf.update(settings | {"task_ignore_result": True} | conf)

    @app.task(name="proj.refresh", shared=False)
    def refresh():
        pass

    return app


def save(app, name, when, **fields):
    RedBeatSchedulerEntry(name, "proj.refresh", when, app=app, **fields).save()


def entries(app, name="RedBeat"):
    [found] = [row.entries for row in see_schedule(app).schedulers if row.name == name]
    assert not isinstance(found, Unknown), found
    return {entry.name: entry for entry in found}


def why(app):
    [found] = [row.entries for row in see_schedule(app).schedulers if row.name == "RedBeat"]
    return found.why


def test_every_kind_of_schedule_that_it_writes_is_read(redis_client, broker_url):
    app = application(broker_url)
    save(app, "every", schedule(30, app=app), args=[1], options={"expires": 20, "queue": "mail"})
    save(app, "cron", crontab(minute=0, hour="*/2", day_of_week="mon-fri", app=app))
    save(app, "sets", crontab(minute="0,30", app=app))
    save(app, "rule", rrule("MINUTELY", interval=10, dtstart=datetime(2025, 1, 1, tzinfo=UTC), app=app))
    found = entries(app)

    assert {name: entry.schedule for name, entry in found.items()} == {
        "every": "every 30 s",
        "cron": "crontab 0 */2 * * mon-fri (UTC)",
        "sets": "crontab 0,30 * * * * (UTC)",
        "rule": "rrule MINUTELY × 10",
    }
    assert (found["every"].expires_s, found["every"].queues, found["every"].registered) == (20.0, ("mail",), True)
    assert [found[name].mean_interval_s for name in ("every", "sets", "rule")] == [30.0, 1800.0, 600.0]
    assert found["cron"].mean_interval_s == pytest.approx(7 * 86400 / 60)


def test_what_is_switched_off_is_there_and_not_sent(redis_client, broker_url):
    app = application(broker_url)
    save(app, "off", schedule(30, app=app), enabled=False)

    assert entries(app)["off"].enabled is False
    assert see_schedule(app).entries == ()


def test_when_it_was_last_sent_is_read(redis_client, broker_url):
    app = application(broker_url)
    save(app, "sent", schedule(30, app=app))
    at = datetime(2025, 6, 1, 12, 0, 0, tzinfo=UTC)
    RedBeatSchedulerEntry.from_key("redbeat:sent", app=app).reschedule(at)

    assert entries(app)["sent"].last_run_at == at.timestamp()


def test_a_fixed_expiry_is_read_as_the_time_that_it_is(redis_client, broker_url):
    app = application(broker_url)
    at = datetime(2990, 1, 1, tzinfo=UTC)
    save(app, "fixed", schedule(30, app=app), options={"expires": at})

    assert entries(app)["fixed"].expires_at == at.timestamp()


@pytest.mark.parametrize("prefix", ["redbeat:", "other:", "a b\n:"])
def test_another_prefix_is_followed(prefix, redis_client, broker_url):
    app = application(broker_url, redbeat_key_prefix=prefix)
    save(app, "näme: with\x1b odd 'things'", schedule(30, app=app))

    assert list(entries(app)) == ["näme: with\x1b odd 'things'"]


def test_entries_of_the_settings_are_seen_once(redis_client, broker_url):
    static = {"kept": {"task": "proj.refresh", "schedule": timedelta(seconds=30), "options": {"expires": 10}}}
    app = application(broker_url, beat_schedule=static)
    RedBeatScheduler(app)
    save(app, "own", schedule(60, app=app))

    assert "redbeat:kept" in {key.decode() for key in redis_client.scan_iter()}
    assert set(entries(app)) == {"own", "celery.backend_cleanup"}
    assert entries(app, "beat_schedule")["kept"].expires_s == 10.0
    assert {entry.name for entry in see_schedule(app).entries} == {"kept", "own", "celery.backend_cleanup"}


def test_a_copy_that_was_switched_off_is_off(redis_client, broker_url):
    app = application(broker_url, beat_schedule={"kept": {"task": "proj.refresh", "schedule": 30}})
    save(app, "kept", schedule(30, app=app), enabled=False)

    assert entries(app, "beat_schedule")["kept"].enabled is False


def test_reading_writes_nothing(redis_client, broker_url):
    app = application(broker_url)
    save(app, "every", schedule(30, app=app))
    before = {key: redis_client.dump(key) for key in redis_client.scan_iter()}
    redis_client.config_resetstat()
    see_schedule(app)

    ran = {name for name, row in redis_client.info("commandstats").items() if row["calls"]}
    assert {key: redis_client.dump(key) for key in redis_client.scan_iter()} == before
    assert {
        name for name in ran if name.split("_")[1] in {"hset", "zadd", "zrem", "del", "set", "hsetnx", "sadd"}
    } == set()


HOSTILE = {
    "no JSON": b"{",
    "no object": b"[1]",
    "too deep": b"[" * 100_000,
    "no schedule": json.dumps({"name": "no schedule", "task": "proj.refresh"}).encode(),
    "odd type": json.dumps({"task": "proj.refresh", "schedule": {"__type__": "moon"}}).encode(),
    "odd interval": json.dumps({"task": "proj.refresh", "schedule": {"__type__": "interval", "every": "1"}}).encode(),
    "odd crontab": json.dumps({"task": "proj.refresh", "schedule": {"__type__": "crontab", "minute": "61"}}).encode(),
    "odd options": json.dumps(
        {"task": "proj.refresh", "schedule": {"__type__": "interval", "every": 1}, "options": 3}
    ).encode(),
    "bytes": b"\xff\xfe",
}


def test_what_somebody_else_wrote_there_is_trouble_of_that_entry_alone(redis_client, broker_url):
    app = application(broker_url)
    save(app, "good", schedule(30, app=app))
    for name, definition in HOSTILE.items():
        redis_client.hset(f"redbeat:{name}", "definition", definition)
        redis_client.zadd("redbeat::schedule", {f"redbeat:{name}": 1})
    redis_client.set("redbeat:no hash", "x")
    redis_client.zadd("redbeat::schedule", {"redbeat:no hash": 1, "redbeat:gone": 2})
    found = entries(app)

    assert set(found) == {"good", "no hash", *HOSTILE}
    assert [name for name, entry in found.items() if not entry.trouble] == ["odd options", "good"]


def test_a_key_of_another_kind_is_unknown(redis_client, broker_url):
    redis_client.set("redbeat::schedule", "x")

    assert "WRONGTYPE" in why(application(broker_url))


def test_a_user_who_may_not_is_told_what_to_grant(redis_client, broker_url):
    redis_client.acl_setuser("narrow", enabled=True, passwords=["+secret"], commands=["+ping", "+select"], keys=["*"])
    url = broker_url.replace("redis://", "redis://narrow:secret@")
    said = why(application(url))

    assert "ACL SETUSER narrow +zrange" in said
    assert "secret" not in said


def test_a_server_that_is_not_there_is_unknown_and_the_rest_is_still_read():
    app = application("redis://:hunter@127.0.0.1:1/0", beat_schedule={"kept": {"task": "proj.refresh", "schedule": 30}})
    seen = see_schedule(app, 1.0)

    assert "nothing listens" in why(app)
    assert "hunter" not in why(app)
    assert isinstance(seen.entries, Unknown)
    assert list(entries(app, "beat_schedule")) == ["kept"]


def test_without_a_url_of_its_own_it_is_at_the_broker(redis_client, broker_url):
    app = application(broker_url)
    save(app, "every", schedule(30, app=app))
    del app.conf["redbeat_redis_url"]
    app.conf.broker_url = broker_url

    assert set(entries(app)) == {"every"}


def test_sentinels_are_asked_where_its_options_name_them():
    options = {"sentinels": [("s1", 26379), ("s2", 26380)], "service_name": "main", "password": "p", "db": 3}
    address = redbeat_address(application("redis-sentinel://", redbeat_redis_options=options))

    assert address.hosts == (("s1", 26379), ("s2", 26380))
    assert (address.sentinel_master, address.password, address.db) == ("main", "p", 3)


@pytest.mark.parametrize(
    "options", [3, "x", {"sentinels": 3}, {"sentinels": [1]}, {"sentinels": [("a", 1)], "db": "x"}]
)
def test_options_of_another_kind_are_a_reason_and_no_crash(options):
    assert why(application("redis-sentinel://", redbeat_redis_options=options)).startswith(
        "RedBeat's entries can't be read"
    )


def test_it_is_not_looked_for_where_nothing_speaks_of_it():
    app = Celery("proj", broker="redis://127.0.0.1:1/0", set_as_current=False)

    assert [row.name for row in see_schedule(app).schedulers] == ["beat_schedule"]


def test_ten_thousand_entries_are_read_in_few_round_trips(redis_client, broker_url):
    app = application(broker_url)
    definition = {"task": "proj.refresh", "schedule": {"__type__": "interval", "every": 30.0}, "enabled": True}
    pipeline = redis_client.pipeline(transaction=False)
    for number in range(10_000):
        pipeline.hset(f"redbeat:e{number}", "definition", json.dumps({"name": f"e{number}", **definition}))
        pipeline.zadd("redbeat::schedule", {f"redbeat:e{number}": number})
    pipeline.execute()
    redis_client.config_resetstat()

    assert len(entries(app)) == 10_000
    assert redis_client.info("commandstats")["cmdstat_zrange"]["calls"] <= 11
