"""Many producers at once, and workers that take: the depth is never above the bound by a single message."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from gatehouse import list_of

PRODUCER = Path(__file__).parent / "bounded_producer.py"
BOUND, SECONDS = 20, 0.5


@pytest.mark.parametrize("overflow", ["reject-publish", "drop-head", "spill"])
def test_no_producer_is_ever_a_message_ahead_of_the_bound(broker_url, redis_client, overflow):
    producers = [
        subprocess.Popen(
            [sys.executable, str(PRODUCER), broker_url, f"p{number}", str(SECONDS), str(BOUND), overflow],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PRODUCER.parents[1]), *sys.path])},
            text=True,
        )
        for number in range(3)
    ]
    deepest, taken = 0, []
    while any(producer.poll() is None for producer in producers):
        deepest = max(deepest, depth(redis_client))
        taken += [raw for _ in range(3) if (raw := take(redis_client))]
        time.sleep(0.001)
    said = [json.loads(producer.communicate()[0]) for producer in producers]
    counts = {name.decode(): int(many) for name, many in redis_client.hgetall("tidegate:gate:1:counts").items()}
    let_in = sum(each.get("admitted", 0) + each.get("spilled", 0) for each in said)
    left = depth(redis_client) + sum(redis_client.llen(f"tidegate:gate:1:spill:{key}") for key in LISTS)
    assert deepest == BOUND
    assert let_in == len(taken) + left + counts.get("dropped_head|q", 0)
    assert counts.get("queue_full|q", 0) == sum(each.get("refused", 0) for each in said)
    assert len(set(taken)) == len(taken) > 0


LISTS = [list_of("q", step) for step in (0, 3, 6, 9)]


def depth(client: redis.Redis) -> int:
    with client.pipeline(transaction=True) as pipeline:
        for key in LISTS:
            pipeline.llen(key)
        return sum(pipeline.execute())


def take(client: redis.Redis) -> bytes | None:
    return next((raw for key in LISTS if (raw := client.rpop(key))), None)
