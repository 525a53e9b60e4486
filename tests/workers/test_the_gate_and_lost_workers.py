"""Workers and servers that die, queues that are deleted: the next run enters soon, and never a second one is pending."""

import signal

import pytest
from guarded import APP, eventually, guarded

#: Of two intervals of a second each.
TWO_INTERVALS_S = 3.0
OPTIONS = ["-c", "1", "--without-mingle", "--without-gossip"]


@pytest.fixture
def site(broker_url, tmp_path):
    with guarded(broker_url, tmp_path) as site:
        yield site


@pytest.fixture
def worker(site, celery_worker):
    def start(*arguments, source=""):
        return celery_worker(APP + source, site.url, *OPTIONS, *arguments, environment=site.environment)

    yield start
    site.over()


def test_what_a_killed_worker_held_does_not_block_and_is_dropped_when_it_comes_back_beside_a_newer_one(site, worker):
    first = worker("-n", "one@%h")
    assert site.publish("late", "a", overlap="buffer_one")
    site.started("a")
    assert site.publish("late", "b", overlap="buffer_one")
    held = site.last
    eventually(lambda: site.state("late#k") == "held")
    first.signal(signal.SIGKILL)
    assert not site.publish("late", "c", overlap="buffer_one")
    worker("-n", "one@%h", "-Q", "nothing")

    site.admitted_within(TWO_INTERVALS_S, "late", "d", overlap="buffer_one")
    newer = site.last
    with site.app.connection() as connection:
        qos = connection.channel().qos
        qos.channel.visibility_timeout = 0
        qos.restore_visible()
    assert site.client.hlen("unacked") == 0
    assert site.client.hget("tidegate:gate:1:counts", "superseded|celery") == "2"
    assert site.client.llen("celery") == 1
    journal = [fields for _, fields in site.client.xrange("tidegate:journal") if fields["what"] == "superseded"]
    assert held in {fields["id"] for fields in journal}
    assert {fields["why"] for fields in journal} == {newer}


def test_a_queue_that_is_deleted_and_a_database_that_is_flushed_block_nobody(site):
    for forget in (lambda: site.client.delete("celery"), site.client.flushdb, lambda: site.app.control.purge()):
        assert site.publish("early", "a")
        assert not site.publish("early", "a")
        forget()
        site.admitted_within(TWO_INTERVALS_S, "early", "a")
        assert site.client.llen("celery") == 1
        site.client.flushdb()


def test_a_worker_that_ends_puts_back_what_it_did_not_begin_and_that_goes_on_counting(site, worker):
    first = worker("-n", "one@%h")
    assert site.publish("late", "a", overlap="buffer_one", overlap_key="other")
    site.started("a")
    assert site.publish("late", "b", overlap="buffer_one")
    eventually(lambda: site.state("late#k") == "held")
    first.signal(signal.SIGTERM)
    site.go("a")
    assert first.wait(20) == 0

    assert site.state("late#k") == "waiting"
    assert site.client.llen("celery") == 1
    assert not site.publish("late", "c", overlap="buffer_one")
    assert site.client.keys("tidegate:gate:1:worker:*") == []
    assert site.client.exists("tidegate:gate:1:nodes") == 0


def test_after_a_restart_of_the_server_without_persistence_runs_go_on(private_broker, tmp_path, celery_worker):
    broker = private_broker()
    with guarded(broker.url, tmp_path) as site:
        worker = celery_worker(APP, site.url, *OPTIONS, environment=site.environment)
        assert site.publish("early", "a")
        site.started("a")
        broker.kill()
        broker.restart()
        worker.wait_for_line("Connected to.*\n(.*\n)*.*Connected to", 30)
        site.go("a")
        site.admitted_within(TWO_INTERVALS_S, "early", "b")
        site.started("b")
        site.becomes("early#k", "running")
        site.over()
