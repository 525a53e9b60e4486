"""Whatever one entry, the settings or the schedule file are like, it is reported and the other entries run."""

import os
from datetime import timedelta

import pytest
from beat_desk import desk, every
from celery import Celery
from celery.beat import Service
from celery.schedules import BaseSchedule, schedule

from tidegate.facts.beat import BeatOutcome


class Raises(schedule):
    """A schedule whose author did not foresee this."""

    def remaining_estimate(self, last_run_at):
        raise ZeroDivisionError("no time")

    def is_due(self, last_run_at):
        raise ZeroDivisionError("no time")


class OnlyDue(BaseSchedule):
    """A schedule of the kind that says only whether it is due."""

    def is_due(self, last_run_at):
        gone_s = (self.now() - last_run_at).total_seconds()
        return gone_s >= 5, max(5 - gone_s, 0.1)


@pytest.mark.parametrize(
    "bad",
    [
        7,
        None,
        [],
        {},
        {"task": "work"},
        {"schedule": 10.0},
        {"task": "work", "schedule": "often"},
        {"task": "", "schedule": 10.0},
        {"task": "work", "schedule": 10.0, "option": {}},
        {"task": "work", "schedule": 10.0, "options": 7},
    ],
)
def test_an_entry_that_is_none_is_named_and_the_others_run(broker_url, caplog, bad):
    with desk(broker_url, {"bad": bad, "good": every(10)}, dry=True) as beat:
        beat.run(11)
        assert beat.outcomes("good") == [BeatOutcome.SENT]
        assert "bad" not in beat.schedule
    assert [
        one.getMessage() for one in caplog.records if one.getMessage().startswith("beat_schedule['bad'] is left out")
    ]


def test_a_schedule_that_raises_is_reported_once_a_minute_and_the_others_run(broker_url, caplog):
    entries = {"bad": {"task": "work", "schedule": Raises(timedelta(seconds=1))}, "good": every(1)}
    with desk(broker_url, entries, dry=True) as beat:
        beat.run(150)
        assert len(beat.outcomes("good")) >= 148
    assert len([one for one in caplog.records if "no time" in one.getMessage()]) == 1


def test_a_schedule_that_says_only_whether_it_is_due_is_asked(broker_url):
    with desk(broker_url, {"a": {"task": "work", "schedule": OnlyDue()}}, dry=True) as beat:
        beat.app.now = lambda: beat.app.__class__.now(beat.app)
        beat.run(21)
        assert 3 <= len(beat.dues("a")) <= 4


def test_a_task_that_is_not_here_is_sent_by_its_name_and_named_once(broker_url, caplog):
    with desk(broker_url, {"a": {"task": "elsewhere", "schedule": 1.0}}) as beat:
        beat.run(3)
        assert set(beat.outcomes("a")) == {BeatOutcome.SENT}
    assert len([one for one in caplog.records if "elsewhere" in one.getMessage() and one.name == "tidegate.beat"]) == 1


def test_a_part_that_fails_ends_no_beat(broker_url, caplog):
    with desk(broker_url, {"a": every(10)}, dry=True) as beat:
        beat.stand.check = lambda: 1 / 0
        assert beat.tick() == 0.5
    assert "a tick failed" in caplog.text


def started(place):
    app = Celery("filed", broker="redis://127.0.0.1:1/0", set_as_current=False)
    app.conf.beat_schedule = {"a": {"task": "x", "schedule": 10.0}, "b": {"task": "y", "schedule": 20.0}}
    return Service(app, scheduler_cls="tidegate", schedule_filename=str(place / "schedule")).scheduler


def ended(beat):
    beat.sync()
    beat._store.close()


@pytest.fixture
def filed(tmp_path):
    """The files of a schedule that beat has written."""
    ended(started(tmp_path))
    return [file for file in tmp_path.iterdir() if file.stat().st_size]


DAMAGE = {
    "garbage": lambda data: b"no schedule " * 100,
    "half": lambda data: data[: len(data) // 2],
    "noise": lambda data: data[:64] + os.urandom(max(len(data) - 64, 64)),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_schedule_file_is_put_aside_and_beat_starts(tmp_path, filed, kind, caplog):
    for file in filed:
        file.write_bytes(DAMAGE[kind](file.read_bytes()))
    damaged = {file.read_bytes() for file in filed}
    beat = started(tmp_path)
    try:
        assert set(beat.schedule) >= {"a", "b"}
        aside = [file for file in tmp_path.iterdir() if file.name.startswith("schedule.corrupt")]
        assert damaged <= {file.read_bytes() for file in aside}
    finally:
        ended(beat)
    assert "can't be read" in caplog.text


def test_an_entry_in_the_file_that_can_not_be_loaded_is_no_reason_to_end(tmp_path, caplog):
    beat = started(tmp_path)
    beat.sync()
    beat._store.cache.clear()
    beat._store.dict[b"entries"] = b"\x80\x04cno_such_module\nGone\n."
    beat._store.dict.close()
    beat._store.dict = {}
    beat = started(tmp_path)
    assert set(beat.schedule) >= {"a", "b"}
    ended(beat)
    assert "no_such_module" in caplog.text


def test_last_runs_are_kept_over_a_restart(tmp_path):
    beat = started(tmp_path)
    entry = beat.reserve(beat.schedule["a"])
    ended(beat)
    again = started(tmp_path)
    assert again.schedule["a"].total_run_count == 1
    assert again.schedule["a"].last_run_at == entry.last_run_at
    ended(again)


def test_a_schedule_file_that_can_not_be_written_leaves_the_last_runs_in_memory(tmp_path, monkeypatch, caplog):
    def refused(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("shelve.open", refused)
    beat = started(tmp_path)
    assert set(beat.schedule) >= {"a", "b"}
    ended(beat)
    assert "kept in memory" in caplog.text
