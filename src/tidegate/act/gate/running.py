"""Around every run of a guarded message: says that it has started, or ended, where nothing else tells.

A message that is acknowledged when its run begins (the default) leaves no trace in Redis while it runs, so `skip` and
firings are told the end. With `acks_late` the acknowledgement is the end, and `buffer_one` is told the start; in the solo
pool every acknowledgement comes after the run. Every other run costs 0.2 µs here.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tidegate.act.gate.header import read
from tidegate.act.gate.holding import said
from tidegate.act.gate.openings import openings
from tidegate.broker.address import Address
from tidegate.broker.line import Line
from tidegate.broker.scripts import Script
from tidegate.facts.gate import HEADER, Guard
from tidegate.facts.overlap import Overlap

TOLD = Script("marks", "firings", "hands", "told")

Trace = Callable[..., Any]


class Teller:
    """Says it, on a connection of this process; never raises, and takes a second at most."""

    def __init__(self, address: Address) -> None:
        self._line = Line(address)
        self._prefix = address.layout.prefix
        self._keys = [address.layout.unacked_index_key()]

    def tell(self, what: str, guard: Guard, request: Mapping[str, Any]) -> None:
        """`what` is "started" or "ended"."""
        try:
            tag = request["properties"]["delivery_tag"]
            why = self._line.run(TOLD, self._keys, [self._prefix, tag, what, *said(guard, request)])
        except Exception as error:  # noqa: BLE001  the user's task never notices
            why = f"{type(error).__name__}: {error}"
        if why:
            # The worker says once a second what it runs, so its mark does not wait for this.
            openings.note("told", f"a run has {what}: {why}", "some marks are only right again in a moment")


def watch(tasks: Mapping[str, Any], teller: Teller, *, solo: bool = False) -> int:
    """From now on the runs of these tasks in this process are told; how many tasks there are."""
    watched = 0
    for task in tasks.values():
        trace = getattr(task, "__trace__", None)
        if trace is not None:
            task.__trace__ = _telling(trace, task, teller, solo)
            watched += 1
    return watched


def _telling(trace: Trace, task: Any, teller: Teller, solo: bool) -> Trace:
    inner = getattr(trace, "tidegate", None)
    if hasattr(trace, "tidegate_gate") or hasattr(inner, "tidegate_gate"):
        return trace

    def told(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
        value = request.get(HEADER) if request else None
        guard = read(value) if value is not None else None
        if guard is None:
            return trace(uuid, args, kwargs, request)
        late = task.acks_late
        if (late or solo) and guard.key and guard.overlap is Overlap.BUFFER_ONE:
            teller.tell("started", guard, request)
        try:
            return trace(uuid, args, kwargs, request)
        finally:
            if not late and (guard.firing or guard.overlap is Overlap.SKIP):
                teller.tell("ended", guard, request)

    told.tidegate_gate = True  # type: ignore[attr-defined]
    if inner is not None:
        # The probe takes its own wrapper off before it puts on another.
        told.tidegate = _telling(inner, task, teller, solo)  # type: ignore[attr-defined]
    return told
