"""Runs for tests of counting: one of a minute that is easy to calculate with."""

from tidegate.observe.probe.clock import BrokerClock
from tidegate.observe.probe.counting import Counting
from tidegate.observe.probe.run import Flag, Kind, Names, Run

#: A whole hour, so a whole minute.
START_S = 1_700_002_800
KIND = Kind(Names("proj.task", "", "celery", ""))


class SetClock(BrokerClock):
    """The broker's clock, standing where it is put; the monotonic one is the same."""

    def __init__(self, now_s: float = START_S + 30.0) -> None:
        super().__init__()
        self.anchor_s, self.now_s = 0.0, now_s

    def now(self) -> float:
        return self.now_s


def a_run(start_s: float, run_s: float = 0.1, wait_s: float | None = 0.5, **more: object) -> Run:
    """A run that starts so many seconds after START_S."""
    start = START_S + start_s
    fields = {
        "slot": 0,
        "kind": KIND,
        "machine": "web-1",
        "children": None,
        "flags": 0,
        "busy": 1,
        "busy_at_end": 1,
        "outcome": 0,
        "root": 1,
        "serial": int(start_s * 1000) + 1,
        "start_us": round(start * 1e6),
        "end_us": round((start + run_s) * 1e6),
        "cpu_us": 50_000,
        "outside_us": 100,
        "stamp_s": 0.0 if wait_s is None else start - wait_s,
        "eta_s": 0.0,
        **more,
    }
    return Run(**fields)


def a_firing(start_s: float, **more: object) -> Run:
    """The same of a message that is its own root."""
    return a_run(start_s, flags=Flag.FIRST, **more)


def counted(*runs: Run, clock: SetClock | None = None, limited: bool = False) -> Counting:
    """Those runs, counted together."""
    counting = Counting(clock or SetClock(), lambda exchange, key: key or exchange, lambda _: limited)
    counting.add(list(runs))
    return counting
