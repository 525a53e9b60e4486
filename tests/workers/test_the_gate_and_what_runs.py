"""What a real worker makes of marks: runs that wait, go on, end, are retried, revoked, rejected, or cut short."""

import itertools
import os
import signal

import pytest
from guarded import APP, eventually, guarded

from tidegate.demo.broker import PrivateBroker
from tidegate.demo.processes import celery

#: Of two intervals of a second each.
TWO_INTERVALS_S = 3.0
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """One worker for all tests here, each of which has a key of its own: (URL of its broker, where the signs are)."""
    here = tmp_path_factory.mktemp("site")
    (here / "proj.py").write_text(APP)
    with PrivateBroker() as broker:
        environment = {"CELERY_BROKER_URL": broker.url, "GUARDED_HERE": str(here)}
        options = ["--loglevel", "INFO", "-c", "6", "--without-mingle", "--without-gossip"]
        with celery("proj", "worker", *options, project=here, log=here / "log", environment=environment) as worker:
            worker.wait_for_line(r"ready\.$", 30)
            yield broker.url, here
            worker.signal(signal.SIGKILL)


@pytest.fixture
def site(workplace):
    with guarded(*workplace) as site:
        yield site


@pytest.fixture
def name():
    return f"n{next(_numbers)}"


def key_of(task: str, name: str) -> str:
    return f"{task}#{name}"


def test_skip_keeps_the_next_run_out_until_this_one_has_ended(site, name):
    assert site.publish("early", name, overlap_key=name)
    site.started(name)
    site.becomes(key_of("early", name), "running")
    assert not site.publish("early", name, overlap_key=name)
    site.go(name)
    site.becomes(key_of("early", name), "none")

    assert site.publish("early", name, overlap_key=name)


def test_with_late_acknowledgement_skip_keeps_the_next_run_out_until_this_one_has_ended(site, name):
    assert site.publish("late", name, overlap_key=name)
    site.started(name)
    assert site.state(key_of("late", name)) == "held"
    assert not site.publish("late", name, overlap_key=name)
    site.go(name)
    site.becomes(key_of("late", name), "none")

    assert site.publish("late", name, overlap_key=name)


@pytest.mark.parametrize("task", ["early", "late"])
def test_buffer_one_lets_one_wait_while_one_runs(site, name, task):
    assert site.publish(task, name, "buffer_one", overlap_key=name)
    site.started(name)
    site.becomes(key_of(task, name), "none")
    assert site.publish(task, f"{name}b", "buffer_one", overlap_key=name, countdown=2)
    eventually(lambda: site.state(key_of(task, name)) == "held")

    assert not site.publish(task, f"{name}c", "buffer_one", overlap_key=name)
    site.go(name)


def test_the_mark_follows_a_retry(site, name):
    assert site.publish("again", name, overlap_key=name)
    first = site.last
    site.go(f"{name}0")
    site.started(f"{name}1")
    assert not site.publish("again", name, overlap_key=name)
    assert site.last == first
    site.go(f"{name}1")

    eventually(lambda: site.state(key_of("again", name)) == "none")


@pytest.mark.parametrize("task", ["early", "late"])
def test_a_run_whose_process_is_killed_is_over(site, name, task):
    assert site.publish(task, name, overlap_key=name)
    process = site.started(name)
    site.becomes(key_of(task, name), "running" if task == "early" else "held")
    os.kill(process, signal.SIGKILL)
    site.go(name)

    site.admitted_within(TWO_INTERVALS_S, task, name, overlap_key=name)


def test_a_run_that_is_cut_short_by_its_time_limit_is_over(site, name):
    assert site.publish("limited", name, overlap_key=name)
    site.started(name)
    site.becomes(key_of("limited", name), "running")
    site.go(name)

    site.admitted_within(1.0 + TWO_INTERVALS_S, "limited", name, overlap_key=name)


def test_a_run_that_was_revoked_before_it_began_is_over(site, name):
    site.publish("early", name, overlap_key=name, countdown=1)
    site.becomes(key_of("early", name), "held")
    site.app.control.revoke(site.last)
    site.go(name)

    site.admitted_within(1.0 + TWO_INTERVALS_S, "early", name, overlap_key=name)


def test_a_run_that_was_terminated_is_over(site, name):
    site.publish("early", name, overlap_key=name)
    site.started(name)
    site.becomes(key_of("early", name), "running")
    site.app.control.revoke(site.last, terminate=True)
    site.go(name)

    site.admitted_within(TWO_INTERVALS_S, "early", name, overlap_key=name)


def test_one_that_has_expired_or_is_unknown_or_is_rejected_is_over(site, name):
    site.go(name, f"{name}r")
    assert site.publish("early", name, overlap_key=name, expires=0.01, countdown=0.5)
    site.admitted_within(TWO_INTERVALS_S, "early", name, overlap_key=name)
    assert site.publish("unknown", name, overlap_key=name)
    site.admitted_within(TWO_INTERVALS_S, "unknown", name, overlap_key=name)
    assert site.publish("rejecting", f"{name}r", overlap_key=name)
    site.started(f"{name}r")
    site.admitted_within(TWO_INTERVALS_S, "rejecting", f"{name}r", overlap_key=name)


def test_one_for_later_is_pending_until_its_time(site, name):
    assert site.publish("early", name, "buffer_one", overlap_key=name, countdown=1)
    site.becomes(key_of("early", name), "held")
    assert not site.publish("early", name, "buffer_one", overlap_key=name)
    site.started(name)
    site.becomes(key_of("early", name), "none")
    site.go(name)


def test_a_firing_with_skip_ends_with_its_last_child(site, name):
    options = {"overlap": "skip", "scope": "firing", "overlap_key": name}
    assert site.publish("spread", name, **options)
    for number in range(3):
        site.started(f"{name}child{number}")
    for number in range(3):
        assert not site.publish("spread", name, **options)
        site.go(f"{name}child{number}")

    eventually(lambda: site.client.hlen("tidegate:gate:1:firings") == 0)
    assert site.publish("spread", name, **options)


def test_nothing_is_left_behind_when_all_have_ended(site, name):
    site.over()
    eventually(lambda: site.client.hlen("tidegate:gate:1:marks") == 0 and not site.client.hlen("unacked"))

    assert site.client.hlen("tidegate:gate:1:bodies") == 0
    assert not [what for what in site.client.hkeys("tidegate:gate:1:counts") if what.startswith("open")]
