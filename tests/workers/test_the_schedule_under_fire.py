"""Two real beats on one schedule: the leading one is killed, the next one stopped, and no due time is sent twice."""

import pytest

from beats_under_fire import SAVES_ALL, Fire, project


@pytest.mark.calm
def test_no_due_time_is_sent_twice_and_none_is_late_whoever_of_two_beats_is_killed_or_stopped(
    celery_beat, private_broker
):
    broker = private_broker(**SAVES_ALL)
    fire = Fire(broker, [celery_beat(project(20), broker.url) for _ in range(2)])
    fire.watch(10, lambda: len(fire.referee.dues) == 20)
    fire.kill()
    fire.watch(1)
    fire.stop(4)
    fire.watch(2)
    fire.end()
    fire.judge(longest_s=5)
