"""How long messages waited, with publishers whose clocks are wrong: told by what can't be, corrected by what is known.

A run that starts before its message was published says that the publisher's clock is ahead, by that much at least.
A smallest wait of seconds at a worker that had nothing to do says that it is behind.
"""

from collections import deque
from math import isfinite
from typing import NamedTuple

from tidegate.broker.envelope import epoch
from tidegate.facts.measured import Lag, Slice
from tidegate.facts.merging import merged_lag
from tidegate.observe.probe.run import Flag, Started

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


class Waited(NamedTuple):
    """The wait of one message: `wait_s` None where it can't be told, `published_s` by the broker's clock."""

    wait_s: float | None = None
    published_s: float | None = None
    odd: bool = False


NOTHING = Waited()
ODD = Waited(odd=True)


class Waits:
    """What is known of the clocks of publishers, and the waits that follow."""

    def __init__(self) -> None:
        self._leads: dict[str, deque[tuple[float, float]]] = {}
        self._lags: dict[str, Lag] = {}

    def wait(self, started: Started, start_s: float, slice_: Slice) -> Waited:
        """The wait of a message that started then, by the broker's clock; what it tells of clocks goes into the slice."""
        if started.stamp is None:
            return NOTHING
        stamp_s = started.stamp if isinstance(started.stamp, float) else _number(started.stamp)
        ahead_s = stamp_s - start_s
        if not isfinite(stamp_s) or ahead_s > _MOST_AHEAD_S or -ahead_s > _MOST_WAIT_S:
            return ODD
        machine = "" if started.flags & Flag.BROKER_CLOCK else machine_of(started.origin)
        lead_s = self._lead(machine, start_s) if machine else 0.0
        if ahead_s > lead_s and machine:
            self._note_lead(machine, start_s, ahead_s, slice_)
        if ahead_s > lead_s + _FUTURE_S:
            return ODD
        published_s = min(stamp_s - lead_s, start_s)
        due_s = _eta(started.eta, lead_s)
        return Waited(max(0.0, start_s - max(published_s, due_s)), max(published_s, due_s))

    def met_idle(self, started: Started, waited: Waited, idle_s: float, slice_: Slice) -> None:
        """Takes the wait of a message that met a worker with nothing to do since `idle_s` for its publisher's lag."""
        machine = machine_of(started.origin)
        told = waited.wait_s is not None and machine and idle_s >= _IDLE_S and started.busy == 1
        first = started.flags & (Flag.BROKER_CLOCK | Flag.REDELIVERED) == 0 and started.eta is None
        if not told or not first or waited.wait_s is None:
            return
        lag = Lag(1, round(waited.wait_s, 6))
        if machine in slice_.lags or len(slice_.lags) < _MOST_MACHINES:
            slice_.lags[machine] = merged_lag(slice_.lags.get(machine), lag)
        if machine in self._lags or len(self._lags) < _MOST_MACHINES:
            self._lags[machine] = merged_lag(self._lags.get(machine), lag)

    def lag_of(self, started: Started) -> float:
        """How far the publisher's clock seems to be behind, in seconds; 0 where little is known."""
        lag = None if started.flags & Flag.BROKER_CLOCK else self._lags.get(machine_of(started.origin))
        return lag.least_s if lag and lag.messages >= _ENOUGH_LAGS and lag.least_s > _LEAST_LAG_S else 0.0

    def forget_lags(self) -> None:
        """Starts anew, so that a clock that was set is believed again; called now and then."""
        self._lags.clear()

    def _lead(self, machine: str, at_s: float) -> float:
        seen = self._leads.get(machine)
        if not seen:
            return 0.0
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


def machine_of(origin: str) -> str:
    """The machine in an origin, as in `gen123@host`."""
    return origin.rpartition("@")[2]


def _number(stamp: float | str) -> float:
    seconds = epoch(stamp)
    return float("nan") if seconds is None else seconds


def _eta(eta: str | None, lead_s: float) -> float:
    if eta is None:
        return 0.0
    due_s = epoch(eta)
    return 0.0 if due_s is None else due_s - lead_s
