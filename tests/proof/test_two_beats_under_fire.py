"""Ten minutes with two beats: the leading one killed every 20 s, stopped or without its server in between.

`TIDEGATE_FIRE_S` is how long it is under fire.
"""

import os
import random
import time

import pytest

from beats_under_fire import SAVES_ALL, Fire, project

pytestmark = [pytest.mark.proof, pytest.mark.timeout(0)]

LASTS_S = float(os.environ.get("TIDEGATE_FIRE_S", "600"))
KILLED_EVERY_S = 20.0
ENTRIES = 100


def test_no_due_time_is_sent_twice_lost_or_late_under_fire(celery_beat, private_broker):
    by_chance = random.Random(1)
    broker = private_broker(**SAVES_ALL)
    fire = Fire(broker, [celery_beat(project(ENTRIES), broker.url) for _ in range(2)])
    fire.watch(30, lambda: len(fire.referee.dues) == ENTRIES)
    end_s = time.monotonic() + LASTS_S
    number = 0
    while time.monotonic() < end_s:
        began_s = time.monotonic()
        fire.watch(KILLED_EVERY_S / 2 - 3)
        if number % 2:
            fire.restart()
        else:
            fire.stop(by_chance.uniform(1, 6))
        number += 1
        fire.watch(began_s + KILLED_EVERY_S - time.monotonic())
        fire.kill()
    fire.watch(5)
    fire.end()
    fire.judge(longest_s=5)
