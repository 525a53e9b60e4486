"""Whoever puts back is killed at any moment, and so are workers, again and again: nothing is lost, and nothing doubled."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from act.overlap_lua import Told
from tidegate.broker.address import parse_address
from tidegate.broker.client import connect
from tidegate.broker.unacked import portions
from tidegate.observe.process import machine
from tidegate.returning import put_back_at
from workers.guarded import APP, eventually, guarded

pytestmark = pytest.mark.proof

WORKERS, EACH, KILLS = 20, 1000, 25
LOGGED = """
@app.task(name="counted", ignore_result=True, acks_late=True)
def counted(name):
    with (HERE / "begun").open("a") as log:
        log.write(f"{name}\\n")
    time.sleep(0.05)
    with (HERE / "ended").open("a") as log:
        log.write(f"{name}\\n")
"""


def held_by_dead_workers(client):
    """Twenty workers that died with a thousand messages each, as the gate records it; the oldest first."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    tags = []
    for worker in range(WORKERS):
        said = {"at": time.time(), "node": f"w{worker}@here", "machine": machine(), "pid": child.pid, "started": "1"}
        client.hset("tidegate:gate:1:processes", f"w{worker}", json.dumps(said))
        pipe = client.pipeline(transaction=False)
        for number in range(EACH):
            # Every second one is guarded, with a key of its own.
            key = f"k{worker}-{number}" if number % 2 else ""
            m, score = Told(key=key, overlap="buffer_one" if key else "allow_all"), 1.79e9 + number + worker / 100
            pipe.zadd("unacked_index", {m.tag: score})
            pipe.hset("unacked", m.tag, json.dumps([m.message, "", "celery"]))
            pipe.lpush(f"tidegate:gate:1:took:w{worker}", f"{score!r} {m.tag} celery")
            tags.append((score, m.tag))
        pipe.execute()
    return [tag for _, tag in sorted(tags)]


def test_killed_at_any_moment_every_message_is_in_one_place_and_in_its_order(broker_url, redis_client):
    tags, rng, kills = held_by_dead_workers(redis_client), random.Random(6), 0
    put_back = [sys.executable, "-m", "tidegate", "unacked", "put-back", broker_url, "--all-dead", "--yes"]
    while kills < KILLS and redis_client.zcard("unacked_index"):
        before = redis_client.zcard("unacked_index")
        running = subprocess.Popen(put_back, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until_s = time.monotonic() + 30
        while redis_client.zcard("unacked_index") == before and running.poll() is None:
            assert time.monotonic() < until_s
        time.sleep(rng.random() * 0.03)
        running.send_signal(signal.SIGKILL)
        running.wait()
        kills += 1
        waiting = [json.loads(raw)["properties"]["delivery_tag"] for raw in redis_client.lrange("celery", 0, -1)]
        with connect(parse_address(broker_url)) as broker:
            held = [row.tag for portion in portions(broker) for row in portion]
        assert held + waiting[::-1] == tags
    assert put_back_at(parse_address(broker_url), yes=True).unreadable == 0
    assert redis_client.llen("celery") == len(tags)
    assert kills > 5


def test_workers_that_are_killed_again_and_again_do_everything_and_hardly_anything_twice(
    broker_url, tmp_path, celery_worker
):
    rng, names, kills = random.Random(6), [str(number) for number in range(600)], 0
    with guarded(broker_url, tmp_path) as site:

        def start(number):
            options = ["-c", "2", "--without-mingle", "--without-gossip", "-n", f"w{number}@here"]
            return celery_worker(APP + LOGGED, site.url, *options, environment=site.environment)

        workers = {number: start(number) for number in range(2)}
        for name in names:
            site.app.send_task("counted", args=(name,))
        while site.client.llen("celery") or site.client.zcard("unacked_index"):
            time.sleep(rng.random())
            number = rng.choice(list(workers))
            workers[number].signal(signal.SIGKILL)
            workers[number].wait(10)
            kills += 1
            put_back_at(parse_address(site.url), f"w{number}@here", yes=True)
            workers[number] = start(number)
            if kills >= 12:
                break
        eventually(lambda: not site.client.llen("celery") and not site.client.zcard("unacked_index"), 60)
        ended = Counter((site.here / "ended").read_text().split())
    assert set(ended) == set(names)
    # Celery itself runs again what ended in the moment before its acknowledgement: two at most for each kill.
    assert sum(many - 1 for many in ended.values()) <= 2 * kills
    assert kills >= 5
