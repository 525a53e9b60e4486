"""The story's application with `buffer_one` over its firings: whatever the interval, the workers set the pace.

A parent comes due every second and fans out into 30 children; the slots take longer than a second for that. Without
the gate hundreds wait in the end. `TIDEGATE_PROOF_S` shortens the ten minutes.
"""

import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

pytestmark = pytest.mark.proof

LASTS_S = float(os.environ.get("TIDEGATE_PROOF_S", "600"))
SLOTS, CHILDREN, CHILD_S = 2, 30, 0.12
SETTLED_S = 10.0
LOOK_EVERY_S = 0.1

APP = f"""
import os
import time
from pathlib import Path

from celery import Celery

import tidegate

app = Celery("proj")
if os.environ.get("GATE"):
    tidegate.install(app)
    app.conf.tidegate_entries = {{"refresh": {{"overlap": "buffer_one", "scope": "firing"}}}}
app.conf.beat_schedule = {{"refresh": {{"task": "story.refresh_all", "schedule": 1.0}}}}
app.conf.task_ignore_result = True
RUNS = os.open(os.environ["RUNS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(task, began):
    os.write(RUNS, f"{{task.name}} {{task.request.root_id}} {{began}} {{time.time()}}\\n".encode())


@app.task(name="story.refresh_all", bind=True)
def refresh_all(self):
    began = time.time()
    for cluster in range({CHILDREN}):
        refresh.delay(cluster)
    note(self, began)


@app.task(name="story.refresh", bind=True)
def refresh(self, cluster):
    began = time.time()
    time.sleep({CHILD_S})
    note(self, began)
"""


@dataclass
class Story:
    """What a run of the story showed after it had settled."""

    most_roots_waiting: int
    most_firings_waiting: int
    depth: int
    busy: float
    firings_per_s: float


def play(place: Path, broker_url: str, celery_worker, celery_beat, gate: str) -> Story:
    runs = place / f"runs{gate}"
    environment = {"RUNS": str(runs), "GATE": gate}
    celery_worker(APP, broker_url, "-c", str(SLOTS), "--prefetch-multiplier", "1", environment=environment)
    celery_beat(APP, broker_url, environment=environment)
    most_roots = most_firings = 0
    with redis.Redis.from_url(broker_url) as client:
        begin = time.monotonic()
        while time.monotonic() < begin + LASTS_S:
            waiting = [json.loads(raw)["headers"] for raw in client.lrange("celery", 0, 2000)]
            roots = sum(headers["id"] == headers["root_id"] for headers in waiting)
            most_roots = max(most_roots, roots)
            most_firings = max(most_firings, len({headers["root_id"] for headers in waiting}))
            time.sleep(LOOK_EVERY_S)
        depth = client.llen("celery")
    return seen(runs, most_roots, most_firings, depth)


def seen(runs: Path, most_roots: int, most_firings: int, depth: int) -> Story:
    rows = [line.split() for line in runs.read_text().splitlines()]
    times = [(float(began), float(ended)) for _, _, began, ended in rows]
    since, until = min(times)[0] + SETTLED_S, max(ended for _, ended in times)
    busy = sum(max(0.0, min(ended, until) - max(began, since)) for began, ended in times) / (SLOTS * (until - since))
    done = Counter(root for name, root, _, ended in rows if name == "story.refresh" and float(ended) > since)
    return Story(most_roots, most_firings, depth, busy, sum(done.values()) / CHILDREN / (until - since))


@pytest.mark.timeout(LASTS_S * 2 + 120)
def test_at_most_one_firing_is_pending_and_the_workers_are_never_idle(tmp_path, broker_url, celery_worker, celery_beat):
    story = play(tmp_path, broker_url, celery_worker, celery_beat, gate="1")
    print(story)

    able_per_s = SLOTS / (CHILDREN * CHILD_S)
    assert story.most_roots_waiting <= 1
    assert story.most_firings_waiting <= 2
    assert story.busy >= 0.95
    assert story.firings_per_s == pytest.approx(able_per_s, rel=0.05)


@pytest.mark.timeout(LASTS_S * 2 + 120)
def test_without_the_gate_the_same_ends_with_hundreds_waiting(tmp_path, broker_url, celery_worker, celery_beat):
    story = play(tmp_path, broker_url, celery_worker, celery_beat, gate="")
    print(story)

    # What comes due and can't be served waits as parents, which fan out only when their turn has come.
    too_many_per_s = 1 - SLOTS / (CHILDREN * CHILD_S)
    assert story.most_firings_waiting > 0.9 * LASTS_S * too_many_per_s
    assert story.depth > story.most_firings_waiting
