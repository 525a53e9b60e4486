"""No mark stays stuck and no second run waits, whatever is killed: workers and producers by SIGKILL, the queue by DEL.

`TIDEGATE_PROOF_KILLS` is how many processes are killed (200).
"""

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from tidegate.demo.processes import WORKER_READY, Guarded, python_environment

pytestmark = pytest.mark.proof

KILLS = int(os.environ.get("TIDEGATE_PROOF_KILLS", "200"))
DELETED_EVERY = 10
INTERVAL_S, RUN_S = 0.5, 0.3
STARTS_S = 30.0
#: What a start, a look and a busy machine add to "within two intervals".
MARGIN_S = 1.0

APP = f"""
import os
import sys
import time

from celery import Celery

import tidegate

app = Celery("proj")
tidegate.install(app)
app.conf.task_ignore_result = True
app.conf.worker_prefetch_multiplier = 4
app.conf.broker_transport_options = {{"visibility_timeout": 30}}
RUNS = os.open(os.environ["RUNS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def work(name):
    os.write(RUNS, f"{{name}} {{time.time()}}\\n".encode())
    time.sleep({RUN_S})


@app.task(name="work.early", overlap="buffer_one")
def early():
    work("work.early")


@app.task(name="work.late", overlap="buffer_one", acks_late=True)
def late():
    work("work.late")


@app.task(name="work.skipping", overlap="skip")
def skipping():
    work("work.skipping")


if __name__ == "__main__":
    print("producing", flush=True)
    while True:
        for task in (early, late, skipping):
            try:
                task.apply_async(retry=False)
            except Exception as error:
                print(type(error).__name__, error, flush=True)
        time.sleep({INTERVAL_S})
"""
TASKS = ("work.early", "work.late", "work.skipping")


class Cluster:
    """Two workers and two producers, each to be killed and started again."""

    def __init__(self, place: Path, broker_url: str, stack: ExitStack) -> None:
        self.runs = place / "runs"
        self.runs.touch()
        (place / "proj.py").write_text(APP)
        environment = python_environment(place, {"CELERY_BROKER_URL": broker_url, "RUNS": str(self.runs)})
        self.workers = [self._worker(place, environment, stack, f"w{number}@here") for number in (1, 2)]
        command = [sys.executable, "proj.py"]
        self.producers = [
            stack.enter_context(Guarded(command, place / f"p{n}.log", environment=environment, directory=place))
            for n in (1, 2)
        ]

    def _worker(self, place: Path, environment: dict[str, str], stack: ExitStack, name: str) -> Guarded:
        command = [sys.executable, "-m", "celery", "-A", "proj", "worker", "-c", "1", "-n", name, "--loglevel", "INFO"]
        log = place / f"{name}.log"
        worker = stack.enter_context(Guarded(command, log, environment=environment, directory=place))
        worker.wait_for_line(WORKER_READY, STARTS_S)
        return worker

    def kill_one(self, chance: random.Random) -> str:
        victim = chance.choice([*self.workers, *self.producers])
        victim.signal(signal.SIGKILL)
        assert victim.wait(STARTS_S) is not None
        victim.log.unlink(missing_ok=True)
        victim.start()
        victim.wait_for_line(WORKER_READY if victim in self.workers else "^producing$", STARTS_S)
        return victim.log.name

    def run_after(self, task: str, since: float, timeout_s: float) -> float | None:
        """When the first run of the task began after that moment; None where none did in time."""
        deadline = time.time() + timeout_s
        while time.time() < deadline:
            for line in self.runs.read_text().splitlines()[-200:]:
                name, _, began = line.partition(" ")
                if name == task and began and float(began) > since:
                    return float(began)
            time.sleep(0.02)
        return None


def waiting(client: redis.Redis) -> Counter[str]:
    """How many messages of every task wait in the queue."""
    return Counter(json.loads(raw)["headers"]["task"] for raw in client.lrange("celery", 0, -1))


@pytest.mark.timeout(KILLS * 15 + 120)
def test_after_every_kill_the_next_run_comes_within_two_intervals_and_never_do_two_wait(tmp_path, private_broker):
    chance = random.Random(20260)
    broker = private_broker()
    slow: list[str] = []
    with ExitStack() as stack, redis.Redis.from_url(broker.url) as client:
        cluster = Cluster(tmp_path, broker.url, stack)
        for number in range(KILLS):
            if number % DELETED_EVERY == DELETED_EVERY - 1:
                victim = "DEL celery"
                client.delete("celery")
            else:
                victim = cluster.kill_one(chance)
            recovered = time.time()
            for task in TASKS:
                began = cluster.run_after(task, recovered, 10.0)
                if began is None or began - recovered > 2 * INTERVAL_S + len(TASKS) * RUN_S + MARGIN_S:
                    late_s = None if began is None else round(began - recovered, 2)
                    slow.append(f"{number}: after {victim}: {task}: {late_s} s")
            assert all(count <= 1 for count in waiting(client).values()), waiting(client)
    print(f"{KILLS} kills, {len(slow)} runs late", *slow, sep="\n")

    assert not slow
