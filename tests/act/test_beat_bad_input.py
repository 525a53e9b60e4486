"""What is wrong with one entry is reported, and the others run."""

import logging

import pytest
from beat_desk import Desk
from celery import Celery
from celery.schedules import schedule

from tidegate.act.beat.outcomes import rarely
from tidegate.act.beat.policies import policy_of
from tidegate.act.beat.scheduler import TidegateMixin


class Raising(schedule):
    """A schedule that can't say when it is due."""

    def remaining_estimate(self, last_run_at):
        raise ValueError("no idea")

    is_due = remaining_estimate


class Saying(schedule):
    """A schedule that answers whatever it was given."""

    answer = None

    def remaining_estimate(self, last_run_at):
        return self.answer


def saying(answer):
    made = Saying(1)
    made.answer = answer
    return made


class Read(Desk):
    """With policies as they are read."""

    policy_of = TidegateMixin.policy_of


@pytest.fixture(autouse=True)
def _said_anew():
    rarely._kinds.clear()


def desk_of(entries, **settings):
    app = Celery("t", broker="memory://", set_as_current=False)
    app.conf.update(beat_schedule=entries, result_expires=None, **settings)
    return Read(app, dry=True)


def runs_for(desk, seconds=5.0):
    """Lets so many seconds pass; how often each entry was sent in them."""
    until_s = desk.stand.at_s + seconds
    for _ in range(2000):
        if desk.stand.at_s >= until_s:
            break
        desk.stand.at_s += max(desk.tick(), 0.01)
    return {name: sum(1 for one, _, _ in desk.sent if one == name) for name, _, _ in desk.sent}


GOOD = {"task": "t.good", "schedule": 1}
WRONG = [
    ({"schedule": 1, "options": {"min": 5, "max": 1}}, "min 5 is above max 1", True),
    ({"schedule": 1, "options": {"overlap": "skipp"}}, "unknown overlap 'skipp': did you mean 'skip'", True),
    ({"schedule": 1, "options": {"tidegate": {"evry": 1}}}, "did you mean 'every'", True),
    ({"schedule": Raising(1)}, "can't work out when bad is due (ValueError: no idea)", False),
    ({"schedule": saying("soon")}, "can't work out when bad is due", False),
    ({"schedule": saying(-5)}, "can't work out when bad is due", False),
    ({"schedule": "soon"}, "beat_schedule['bad'] is left out", False),
]


@pytest.mark.parametrize(("fields", "said", "runs"), WRONG)
def test_a_broken_entry_is_reported_and_the_others_run(fields, said, runs, caplog):
    caplog.set_level(logging.WARNING, logger="tidegate.beat")
    desk = desk_of({"bad": {"task": "t.bad", **fields}, "good": GOOD})
    sent = runs_for(desk)

    assert sent["good"] >= 4
    assert ("bad" in sent) is runs
    assert said in caplog.text


def test_a_schedule_that_says_it_never_comes_due_is_not_sent_and_the_others_run():
    sent = runs_for(desk_of({"bad": {"task": "t.bad", "schedule": saying(None)}, "good": GOOD}))

    assert set(sent) == {"good"}


@pytest.mark.parametrize("place", ["bad", "*"])
def test_a_wrong_word_in_the_settings_is_reported_by_the_entries_that_it_concerns(place, caplog):
    desk = desk_of({"bad": {"task": "t.bad", "schedule": 1}, "good": GOOD}, tidegate_entries={place: {"max": -1}})
    sent = runs_for(desk)

    assert min(sent["good"], sent["bad"]) >= 4
    assert "bad goes by its schedule alone: tidegate_entries" in caplog.text
    assert ("good goes by" in caplog.text) is (place == "*")


def test_an_entry_whose_task_nobody_has_is_sent_by_its_name_and_named_once(caplog):
    desk = desk_of({"lost": {"task": "t.lost", "schedule": 1}})

    assert runs_for(desk)["lost"] >= 4
    assert caplog.text.count("t.lost") == 1


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_wall_clock_that_is_set_changes_nothing_for_intervals(hours, caplog):
    desk = desk_of({"good": GOOD})
    before = runs_for(desk)["good"]
    desk.wall_ahead_s = hours * 3600.0
    after = runs_for(desk)["good"] - before

    assert 4 <= after <= 6
    assert "the clock of this machine was set by" in caplog.text


def test_the_policy_of_a_good_entry_beside_a_bad_one_holds():
    app = Celery("t", set_as_current=False)
    app.conf.tidegate_entries = {"bad": {"max": -1}, "good": {"jitter_s": 2}}
    entry = desk_of({"good": GOOD}).schedule["good"]

    assert policy_of(app, entry).jitter_s == 2
