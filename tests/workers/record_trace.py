"""What a real worker did with visitors at random: when each task was published, when its run began, how long it took.

`python tests/workers/record_trace.py` records the fixtures of `test_simulated_traces.py` anew: some three minutes.
"""

import json
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from celery import Celery

from tidegate.demo.broker import PrivateBroker
from tidegate.demo.processes import WORKER_READY, celery

RECORDED = Path(__file__).with_name("recorded")
#: Every run writes down its own line; a process of the pool has a file of its own.
APP = """
import os, time
from pathlib import Path
from celery import Celery
from celery.signals import task_postrun, task_prerun

app = Celery("proj")
began = {}

@app.task(name="work")
def work(seconds, published):
    time.sleep(seconds)

@task_prerun.connect
def _begins(task_id, **_):
    began[task_id] = time.time()

@task_postrun.connect
def _ends(task_id, args, **_):
    with Path(f"runs-{os.getpid()}.txt").open("a") as file:
        file.write(f"{args[1]!r} {began.pop(task_id)!r} {time.time()!r} {os.getpid()}\\n")
"""
ENDS_S = 60.0


@dataclass(frozen=True)
class Trace:
    """One recording, in the order of publication. Times are seconds, `published_s` from the first publication.

    `slot` tells the processes of the pool apart.
    """

    slots: int
    prefetch: int
    published_s: list[float]
    wait_s: list[float]
    run_s: list[float]
    slot: list[int]

    @property
    def mean_wait_s(self) -> float:
        return sum(self.wait_s) / len(self.wait_s)


def record(slots: int, prefetch: int, utilisation: float, mean_s: float, count: int, seed: int) -> Trace:
    """Exponential gaps, runs that sleep between 0.2 and 3 times their mean, one prefork worker on a server of its own."""
    chance = random.Random(seed)
    with PrivateBroker() as broker, tempfile.TemporaryDirectory() as place:
        Path(place, "proj.py").write_text(APP)
        options = ["--loglevel", "INFO", "-c", str(slots), "--prefetch-multiplier", str(prefetch), "-n", "w@%h"]
        environment = {"CELERY_BROKER_URL": broker.url}
        worker = celery(
            "proj", "worker", *options, project=Path(place), log=Path(place, "log"), environment=environment
        )
        try:
            worker.wait_for_line(WORKER_READY, ENDS_S)
            _publish(broker.url, chance, slots * utilisation / mean_s, mean_s, count)
            lines = _lines(Path(place), count)
        finally:
            worker.stop()
    return _trace(lines, slots, prefetch)


def _publish(url: str, chance: random.Random, per_s: float, mean_s: float, count: int) -> None:
    with Celery("sender", broker=url) as app:
        for _ in range(2 * 8):
            app.send_task("work", (0.0, 0.0))  # the first connection, and the first run of every process, are slow
        time.sleep(2.0)
        due = time.time()
        for _ in range(count):
            due += chance.expovariate(per_s)
            time.sleep(max(0.0, due - time.time()))
            app.send_task("work", (min(3 * mean_s, max(0.2 * mean_s, chance.expovariate(1 / mean_s))), time.time()))


def _lines(place: Path, count: int) -> list[list[float]]:
    deadline = time.monotonic() + ENDS_S
    while True:
        text = "".join(file.read_text() for file in place.glob("runs-*.txt"))
        lines = [list(map(float, line.split())) for line in text.splitlines()]
        lines = [line for line in lines if len(line) == 4 and line[0]]
        if len(lines) >= count:
            return sorted(lines)
        assert time.monotonic() < deadline, f"{len(lines)} of {count} runs ended"
        time.sleep(0.1)


def _trace(lines: list[list[float]], slots: int, prefetch: int) -> Trace:
    first = lines[0][0]
    pids = sorted({line[3] for line in lines})
    return Trace(
        slots=slots,
        prefetch=prefetch,
        published_s=[round(published - first, 5) for published, _, _, _ in lines],
        wait_s=[round(began - published, 5) for published, began, _, _ in lines],
        run_s=[round(ended - began, 5) for _, began, ended, _ in lines],
        slot=[pids.index(line[3]) for line in lines],
    )


#: What the fixtures are: one process at three quarters of its capacity, and two that prefetch.
FIXTURES = {
    "one-slot": {"slots": 1, "prefetch": 4, "utilisation": 0.75, "mean_s": 0.08, "count": 800, "seed": 1},
    "two-slots": {"slots": 2, "prefetch": 4, "utilisation": 0.8, "mean_s": 0.08, "count": 1600, "seed": 2},
}


def load(name: str) -> Trace:
    return Trace(**json.loads((RECORDED / f"{name}.json").read_text()))


def main() -> None:
    for name, how in FIXTURES.items():
        trace = record(**how)
        rows = ",\n".join(f'"{key}": {json.dumps(value)}' for key, value in vars(trace).items())
        (RECORDED / f"{name}.json").write_text("{" + rows + "}\n")


if __name__ == "__main__":
    main()
