"""An interval that follows real workers: one host is lost and comes back, and nobody touches the schedule."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "workers"))
from followed import APP, TARGET, TASK_S, Seen, by_plan, kill, near

from tidegate.act.journal import entries_since
from tidegate.broker.address import parse_address
from tidegate.broker.client import connect

pytestmark = pytest.mark.proof


def test_the_interval_widens_when_a_host_is_lost_and_narrows_when_it_is_back(
    broker_url, redis_client, celery_worker, celery_beat
):
    celery_worker(APP, broker_url, "-c", "1", "-n", "a@host1")
    second = celery_worker(APP, broker_url, "-c", "1", "-n", "b@host2")
    celery_beat(APP, broker_url, "-S", "tidegate")
    seen = Seen(redis_client)
    seen.until(lambda paced: paced.why.startswith("no measurements yet"), 10)
    assert seen.paced().interval_s == 0.35
    both_s, one_s = TASK_S / (2 * TARGET), TASK_S / TARGET
    seen.until(near(both_s), 40)
    assert seen.paced().why.startswith("2 hosts, 2 slots: a firing takes 0.4")
    kill(second)
    assert seen.until(near(one_s), 15) < 15
    assert by_plan(seen.paced()) and seen.paced().why.startswith("1 host, 1 slot")
    celery_worker(APP, broker_url, "-c", "1", "-n", "b@host2", ready=False)
    assert seen.until(near(both_s), 30) < 30
    assert seen.deepest() <= 2
    with connect(parse_address(broker_url)) as broker:
        changes = [one for one in entries_since(broker) if one.act == "beat" and one.what == "paced"]
    assert {one.key for one in changes} == {"crawl"} and all(one.was and one.now and one.why for one in changes)
