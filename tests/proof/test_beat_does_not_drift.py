"""A real beat sends ten thousand runs at a tenth of a second, and the last one comes when it should: 17 minutes."""

import time

import pytest

PROJECT = """
import os
from celery import Celery

app = Celery("proj", broker=os.environ["CELERY_BROKER_URL"])
app.conf.beat_scheduler = "tidegate"
app.conf.beat_schedule = {"often": {"task": "none.such", "schedule": 0.1}}
"""
INTERVAL_S, FIRINGS = 0.1, 10_000


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_ten_thousand_firings_end_within_one_interval_of_the_ideal_time(celery_beat, broker_url, redis_client):
    celery_beat(PROJECT, broker_url)
    began = ended = 0.0
    count = 0
    give_up = time.monotonic() + 1.2 * INTERVAL_S * FIRINGS + 30
    while count <= FIRINGS:
        assert time.monotonic() < give_up, f"{count} firings"
        taken = redis_client.brpop("celery", timeout=10)
        assert taken is not None
        ended = time.monotonic()
        began = began or ended
        count += 1
    late_s = (ended - began) - INTERVAL_S * FIRINGS
    print(f"{FIRINGS:,} firings at {INTERVAL_S} s ended {late_s * 1e3:+.0f} ms from the ideal time")
    assert abs(late_s) < INTERVAL_S
