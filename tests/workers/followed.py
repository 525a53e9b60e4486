"""Two hosts whose workers an interval follows: the application, and what is seen of interval and queue from outside."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tidegate.broker.orders import decode_paced
from tidegate.facts.beat import Paced

ENTRY, TASK_S, TARGET = "crawl", 0.4, 0.8
PACED, QUEUE = "tidegate:beat:1:proj:paced", "celery"
APP = f"""
import time
from celery import Celery
import tidegate

app = Celery("proj")
app.conf.tidegate_probe_every_s = 1
app.conf.worker_prefetch_multiplier = 1
app.conf.tidegate_target_utilisation = {TARGET}
tidegate.install(app)

@app.task(name="crawl", ignore_result=True)
def crawl():
    time.sleep({TASK_S})

app.conf.beat_schedule = {{
    "{ENTRY}": {{"task": "crawl", "schedule": 0.35, "options": {{"every": "auto", "min": 0.1, "max": 5}}}},
}}
"""


@dataclass
class Seen:
    """What was looked at ten times a second: (seconds, interval, messages that wait)."""

    client: Any
    looks: list[tuple[float, float, int]] = field(default_factory=list)

    def paced(self) -> Paced | None:
        stored = self.client.hget(PACED, ENTRY)
        return decode_paced(stored) if stored is not None else None

    def until(self, is_so: Callable[[Paced], bool], within_s: float) -> float:
        """How long it took until it was so."""
        began = time.monotonic()
        while time.monotonic() - began < within_s:
            paced = self.look()
            if paced is not None and is_so(paced):
                return time.monotonic() - began
        raise AssertionError(f"not within {within_s} s: {self.paced()}; {self.looks[-1:]}")

    def look(self) -> Paced | None:
        time.sleep(0.1)
        paced = self.paced()
        if paced is not None:
            self.looks.append((time.monotonic(), paced.interval_s, self.client.llen(QUEUE)))
        return paced

    def deepest(self) -> int:
        return max(depth for _, _, depth in self.looks)


def by_plan(paced: Paced) -> bool:
    return paced.basis == "plan"


def near(interval_s: float) -> Callable[[Paced], bool]:
    """Within ten per cent of it, by the plan."""
    return lambda paced: by_plan(paced) and abs(paced.interval_s / interval_s - 1) <= 0.1


def kill(worker: Any) -> None:
    """SIGKILL, as a host that is gone: its pool processes notice, and end."""
    os.kill(worker.pid, signal.SIGKILL)
