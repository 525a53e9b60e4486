"""The thread behind an interval that follows the workers: what it writes, and that nothing that fails reaches beat."""

import time

import pytest
from celery import Celery

from tidegate.act.beat import following
from tidegate.act.beat.following import Following, pacer_of
from tidegate.act.beat.pacing import Follower
from tidegate.act.beat.watched import Watched
from tidegate.broker.orders import decode_paced
from tidegate.model.pacing.aims import Aim

PACED = "tidegate:beat:1:proj:paced"


def a_follower(**changes):
    return Follower(
        **{"entry": "e", "task": "t", "declared_s": 5.0, "min_s": 1.0, "max_s": 50.0, "now_s": 5.0} | changes
    )


@pytest.fixture
def pacer(request, broker_url):
    with Celery("proj", broker=getattr(request, "param", None) or broker_url) as app:
        made = pacer_of(app)
        yield made
        made.close()


def once(is_so, pacer, within_s=10.0):
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline
        pacer.pace("e")
        time.sleep(0.05)


def test_without_measurements_the_interval_is_as_declared_and_says_so(pacer, redis_client):
    pacer.follow([a_follower()])
    once(lambda: redis_client.hexists(PACED, "e"), pacer)
    paced = decode_paced(redis_client.hget(PACED, "e"))
    assert (paced.interval_s, paced.basis) == (5.0, "declared")
    assert paced.why.startswith("no measurements yet")
    assert pacer.pace("e") == paced
    assert pacer.holds("e") == ""


def test_the_declared_interval_is_clipped_to_the_bounds(pacer):
    pacer.follow([a_follower(min_s=8.0)])
    once(lambda: pacer.pace("e") is not None, pacer)
    assert pacer.pace("e").interval_s == 8.0


def test_an_entry_that_is_not_followed_has_no_pace_and_leaves_nothing(pacer, redis_client):
    pacer.follow([a_follower()])
    once(lambda: redis_client.hexists(PACED, "e"), pacer)
    pacer.follow([])
    assert pacer.pace("e") is None
    pacer.follow([a_follower(entry="other")])
    once(lambda: redis_client.hkeys(PACED) == [b"other"], pacer)


@pytest.mark.parametrize("pacer", ["redis://127.0.0.1:1/0"], indirect=True)
def test_a_server_that_is_away_changes_nothing_and_delays_nothing(pacer):
    pacer.follow([a_follower()])
    began = time.monotonic()
    assert pacer.pace("e") is None
    assert pacer.holds("e") == ""
    assert time.monotonic() - began < 0.1


def test_whatever_fails_is_said_once_and_the_last_interval_stays(pacer, caplog, monkeypatch):
    pacer.follow([a_follower()])
    once(lambda: pacer.pace("e") is not None, pacer)
    before = pacer.pace("e")
    failures = []

    def stumbles(self, now_s):
        failures.append(now_s)
        raise RuntimeError("on purpose")

    monkeypatch.setattr(Following, "_turn", stumbles)
    once(lambda: len(failures) >= 2, pacer)
    assert pacer.pace("e") == before
    assert len([one for one in caplog.records if "on purpose" in one.getMessage()]) == 1


def test_a_look_that_keeps_failing_holds_nothing_back(pacer, monkeypatch):
    pacer.follow([a_follower()])
    once(lambda: pacer.pace("e") is not None, pacer)
    one = Aim(interval_s=1.0, why="", work={"q": 1.0}, per_message={"q": 1.0})
    monkeypatch.setattr(following, "_SEEN_S", 1.0)

    def stumbles(self, *given):
        raise RuntimeError("on purpose")

    monkeypatch.setattr(Watched, "look", stumbles)
    pacer._watched.aims, pacer._watched.depths = {"e": one}, {"q": 9}
    assert "wait in front of it" in pacer.holds("e")
    once(lambda: pacer.holds("e") == "", pacer)
    assert [pacer.holds("e") for _ in range(5)] == [""] * 5
