"""A producer ten times faster than the worker: what is over the bound waits on the keeper's disk, Redis stays small, nothing
is lost, and everything runs in the order it was published, however often the keeper is killed.

`TIDEGATE_SPILL_S` is how long it floods (15). The keeper is killed by SIGKILL every few seconds and started again.
"""

import json
import os
import random
import subprocess
import sys
import time

import pytest
import redis

pytestmark = pytest.mark.proof

FLOOD_S = float(os.environ.get("TIDEGATE_SPILL_S", "15"))
BOUND = 500
#: Beside what the server takes empty: the queue at its bound, what waits in front of and behind the disk, and the worker's.
ROOM_BYTES = 24 << 20
APP = f"""
import os, time
import redis
from celery import Celery
import tidegate

app = Celery("proj")
app.conf.task_ignore_result = True
app.conf.worker_prefetch_multiplier = 1
app.conf.tidegate_queues = {{"celery": {{"max_length": {BOUND}, "x-overflow": "spill"}}}}
tidegate.install(app)
ledger = redis.Redis.from_url(os.environ["LEDGER"])

@app.task(name="work")
def work(number):
    ledger.rpush("ran", number)
    time.sleep(float(ledger.get("nap") or 0))
"""
PRODUCER = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from proj import app, work
ends, number, began = time.monotonic() + float(sys.argv[2]), 0, time.monotonic()
with app.connection_for_write() as connection:
    producer = app.amqp.Producer(connection)
    while time.monotonic() < ends:
        if number / float(sys.argv[3]) > time.monotonic() - began:
            time.sleep(0.001)
            continue
        work.apply_async((number,), producer=producer)
        number += 1
print(number)
"""


def keep(url, directory):
    return subprocess.Popen([sys.executable, "-m", "tidegate", "keep", "--dir", str(directory), url])


@pytest.mark.timeout(FLOOD_S * 10 + 300)
def test_a_flood_waits_on_disk_and_runs_in_its_order(private_broker, celery_worker, tmp_path):
    broker, referee = private_broker(), private_broker()
    ledger, client = redis.Redis.from_url(referee.url), redis.Redis.from_url(broker.url)
    ledger.set("nap", "0.01")
    celery_worker(APP, broker.url, "-P", "solo", environment={"LEDGER": referee.url})
    empty = client.info("memory")["used_memory"]
    environment = {**os.environ, "CELERY_BROKER_URL": broker.url, "LEDGER": referee.url}
    call = [sys.executable, "-c", PRODUCER, str(tmp_path / "w1"), str(FLOOD_S), "1000"]
    producer = subprocess.Popen(call, env=environment, stdout=subprocess.PIPE, text=True)
    keeper, worst, kills = keep(broker.url, tmp_path / "disk"), 0, 0
    next_kill = time.monotonic() + 2
    try:
        while producer.poll() is None:
            worst = max(worst, client.info("memory")["used_memory"] - empty)
            if time.monotonic() > next_kill:
                keeper.kill()
                keeper.wait()
                keeper, kills = keep(broker.url, tmp_path / "disk"), kills + 1
                next_kill = time.monotonic() + random.uniform(2, 6)
            time.sleep(0.02)
        published = int(producer.communicate()[0])
        ran_meanwhile = ledger.llen("ran")
        ledger.set("nap", "0")
        deadline = time.monotonic() + FLOOD_S * 8 + 120
        while ledger.llen("ran") < published and time.monotonic() < deadline:
            time.sleep(0.2)
    finally:
        keeper.terminate()
        keeper.wait()
    ran = [int(number) for number in ledger.lrange("ran", 0, -1)]
    print(json.dumps({"published": published, "ran": len(ran), "ran_meanwhile": ran_meanwhile, "kills": kills,
                      "worst_mb": round(worst / 1e6, 1)}))  # fmt: skip
    assert ran == list(range(published))
    assert published > 5 * ran_meanwhile
    assert worst < ROOM_BYTES
    assert kills >= 2
