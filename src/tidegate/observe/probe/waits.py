"""How long messages waited, with publishers whose clocks are wrong: told by what can't be, corrected by what is known.

A run that starts before its message was published says that the publisher's clock is ahead, by that much at least.
A smallest wait of seconds at a worker that had nothing to do says that it is behind.
"""

from collections import deque
from math import isfinite

from tidegate.facts.measured import Lag, Slice
from tidegate.facts.merging import merged_lag
from tidegate.observe.probe.run import NO_TIME, Flag, Run

#: Stamps beyond these are no clocks that are wrong, but wrong stamps.
_MOST_AHEAD_S = 86400.0
_MOST_WAIT_S = 366 * 86400.0
#: Clocks of machines in order differ by less.
_FUTURE_S = 1.0
#: So long a worker has done nothing where a message that comes counts as met by an idle one. Between the runs of a
#: backlog lie one or two milliseconds.
_IDLE_S = 0.1
#: Leads are believed for so long: clocks get set.
_MEMORY_S = 900.0
#: Publishing machines told apart, in a slice.
_MOST_MACHINES = 200
#: A lag below this is how long messages take.
_LEAST_LAG_S = 0.05
_ENOUGH_LAGS = 3
_NOT_TELLING = Flag.BROKER_CLOCK | Flag.REDELIVERED


class OddStamp(ValueError):
    """The message says when it was published, and that can't be."""


class Waits:
    """What is known of the clocks of publishers, and the waits that follow."""

    def __init__(self) -> None:
        self._leads: dict[str, deque[tuple[float, float]]] = {}
        self._lags: dict[str, Lag] = {}

    def due(self, run: Run, start_s: float, slice_: Slice) -> float | None:
        """When the message was published, or its ETA if that is later, by the broker's clock; None where it says nothing.

        `start_s` is when it started. What it tells of clocks goes into the slice. Raises OddStamp.
        """
        if run.flags & Flag.ODD_STAMP:
            raise OddStamp
        stamp_s = run.stamp_s
        if stamp_s == NO_TIME:
            return None
        ahead_s = stamp_s - start_s
        if ahead_s <= 0 and -ahead_s < _MOST_WAIT_S and run.eta_s == NO_TIME and run.machine not in self._leads:
            return stamp_s
        if not isfinite(stamp_s) or ahead_s > _MOST_AHEAD_S or -ahead_s > _MOST_WAIT_S:
            raise OddStamp
        machine = "" if run.flags & Flag.BROKER_CLOCK else run.machine
        lead_s = self._lead(machine, start_s) if machine else 0.0
        if ahead_s > lead_s and machine:
            self._note_lead(machine, start_s, ahead_s, slice_)
        if ahead_s > lead_s + _FUTURE_S:
            raise OddStamp
        return min(start_s, max(stamp_s, run.eta_s) - lead_s)

    def met_idle(self, run: Run, wait_us: int, idle_s: float, slice_: Slice) -> None:
        """Takes the wait of a message that met a worker with nothing to do for `idle_s` for its publisher's lag."""
        machine = run.machine
        if not machine or idle_s < _IDLE_S or run.busy != 1 or run.flags & _NOT_TELLING or run.eta_s != NO_TIME:
            return
        lag = Lag(1, wait_us / 1e6)
        if machine in slice_.lags or len(slice_.lags) < _MOST_MACHINES:
            slice_.lags[machine] = merged_lag(slice_.lags.get(machine), lag)
        if machine in self._lags or len(self._lags) < _MOST_MACHINES:
            self._lags[machine] = merged_lag(self._lags.get(machine), lag)

    def lag_of(self, run: Run) -> float:
        """How far the publisher's clock seems to be behind, in seconds; 0 where little is known."""
        lag = None if run.flags & Flag.BROKER_CLOCK else self._lags.get(run.machine)
        if lag is None or lag.messages < _ENOUGH_LAGS or lag.least_s < _LEAST_LAG_S:
            return 0.0
        return lag.least_s

    def forget_lags(self) -> None:
        """Starts anew, so that a clock that was set is believed again; called now and then."""
        self._lags.clear()

    def _lead(self, machine: str, at_s: float) -> float:
        seen = self._leads.get(machine)
        while seen and seen[0][0] < at_s - _MEMORY_S:
            seen.popleft()
        return seen[0][1] if seen else 0.0

    def _note_lead(self, machine: str, at_s: float, ahead_s: float, slice_: Slice) -> None:
        ahead_s = round(ahead_s, 6)
        if machine in slice_.ahead or len(slice_.ahead) < _MOST_MACHINES:
            slice_.ahead[machine] = max(ahead_s, slice_.ahead.get(machine, 0.0))
        if machine not in self._leads and len(self._leads) >= _MOST_MACHINES:
            return
        # A falling sequence: the first is the largest that is not forgotten yet.
        seen = self._leads.setdefault(machine, deque(maxlen=50))
        while seen and seen[-1][1] <= ahead_s:
            seen.pop()
        seen.append((at_s, ahead_s))
