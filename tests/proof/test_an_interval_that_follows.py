"""Two hosts at 80 % load, one of them killed and back: the marks that an interval which follows has to keep.

`TIDEGATE_QUIET_MINUTES` says how long it is watched afterwards; 30 where it says nothing.
"""

import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "workers"))
from followed import APP, TARGET, TASK_S, Seen, kill, near

pytestmark = pytest.mark.proof
QUIET_S = 60 * float(os.environ.get("TIDEGATE_QUIET_MINUTES", "30"))
BOTH_S, ONE_S = TASK_S / (2 * TARGET), TASK_S / TARGET


@pytest.mark.timeout(QUIET_S + 300)
def test_it_keeps_its_marks_and_then_is_quiet(broker_url, redis_client, celery_worker, celery_beat):
    celery_worker(APP, broker_url, "-c", "1", "-n", "a@host1")
    second = celery_worker(APP, broker_url, "-c", "1", "-n", "b@host2")
    celery_beat(APP, broker_url, "-S", "tidegate")
    seen = Seen(redis_client)
    seen.until(near(BOTH_S), 60)
    kill(second)
    widened_s = seen.until(near(ONE_S), 15)
    began = time.monotonic()
    while time.monotonic() - began < 20:
        seen.look()
    began = time.monotonic()
    celery_worker(APP, broker_url, "-c", "1", "-n", "b@host2")
    narrowed_s = time.monotonic() - began + seen.until(near(BOTH_S), 30)
    deepest = seen.deepest()
    quiet = Seen(redis_client)
    began = time.monotonic()
    while time.monotonic() - began < 60:
        seen.look()
    began = time.monotonic()
    while time.monotonic() - began < QUIET_S:
        quiet.look()
    intervals = [interval_s for _, interval_s, _ in quiet.looks]
    swing = max(intervals) / min(intervals) - 1
    print(
        f"\nwidened in {widened_s:.1f} s, narrowed in {narrowed_s:.1f} s, deepest {deepest}/{quiet.deepest()}, swing {swing:.1%}"
    )
    assert max(seen.deepest(), quiet.deepest()) <= 2
    assert narrowed_s <= 30
    assert swing <= 0.1
