"""The end of a run clears its mark in every pool, and in pool processes that are spawned or replaced."""

import signal

import pytest

from workers.guarded import APP, eventually, guarded

pytestmark = pytest.mark.proof

#: Of two intervals of a second each.
TWO_INTERVALS_S = 3.0
OPTIONS = ["--without-mingle", "--without-gossip"]
POOLS = {
    "prefork": (["-c", "1"], ""),
    "prefork, spawned": (["-c", "1"], "app.conf.worker_pool_start_method = 'spawn'\n"),
    "prefork, a process for each task": (["-c", "1", "--max-tasks-per-child", "1"], ""),
    "threads": (["-P", "threads", "-c", "1"], ""),
    "solo": (["-P", "solo"], ""),
    "gevent": (["-P", "gevent", "-c", "1"], ""),
    "eventlet": (["-P", "eventlet", "-c", "1"], ""),
}


@pytest.fixture
def site(broker_url, tmp_path):
    with guarded(broker_url, tmp_path) as site:
        yield site


@pytest.fixture(params=POOLS)
def pool(request, site, celery_worker):
    arguments, source = POOLS[request.param]
    celery_worker(APP + source, site.url, *OPTIONS, *arguments, environment=site.environment)
    yield request.param
    site.over()


def test_skip_and_buffer_one_are_what_they_are_in_every_pool(site, pool):
    for turn, task in enumerate(["early", "late", "early", "late"]):
        skipping, buffered = f"s{turn}", f"b{turn}"
        assert site.publish(task, skipping)
        site.started(skipping)
        assert not site.publish(task, skipping)
        site.go(skipping)
        site.becomes(f"{task}#k", "none")

        assert site.publish(task, buffered, "buffer_one")
        site.started(buffered)
        site.becomes(f"{task}#k", "none")
        assert site.publish(task, f"{buffered}b", "buffer_one")
        assert not site.publish(task, f"{buffered}c", "buffer_one")
        site.go(buffered, f"{buffered}b")
        site.becomes(f"{task}#k", "none")
        eventually(lambda: site.client.hlen("unacked") == 0)


def test_a_firing_ends_with_its_last_run_in_every_pool(site, pool):
    for turn in range(3):
        assert site.publish("spread", f"t{turn}", "skip", scope="firing")
        for number in range(3):
            assert not site.publish("spread", f"t{turn}", "skip", scope="firing")
            site.started(f"t{turn}child{number}")
            site.go(f"t{turn}child{number}")
        eventually(lambda: site.client.hlen("tidegate:gate:1:firings") == 0)


def test_the_firing_of_a_killed_worker_does_not_block_the_next_one(site, celery_worker):
    first = celery_worker(APP, site.url, *OPTIONS, "-c", "1", "-n", "one@%h", environment=site.environment)
    assert site.publish("spread", "a", "skip", scope="firing")
    site.started("achild0")
    assert not site.publish("spread", "a", "skip", scope="firing")
    first.signal(signal.SIGKILL)
    site.client.delete("celery")
    celery_worker(APP, site.url, *OPTIONS, "-n", "one@%h", "-Q", "nothing", environment=site.environment)

    site.admitted_within(TWO_INTERVALS_S, "spread", "a", overlap="skip", scope="firing")
    site.over()
