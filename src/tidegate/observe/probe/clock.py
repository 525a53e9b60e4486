"""The broker's clock, kept by this machine's monotonic one: a wall clock that jumps changes nothing."""

import time
from collections import deque
from typing import NamedTuple

#: Samples among which the one with the shortest round trip is believed.
_SAMPLES = 6
#: Beyond what round trips explain, a difference is the broker's own clock having been set.
_SET_S = 0.25


class _Sample(NamedTuple):
    round_trip_s: float
    anchor_s: float


class BrokerClock:
    """Broker time = monotonic time + anchor. Until the first answer of TIME the anchor is this machine's own clock."""

    def __init__(self) -> None:
        self.anchor_s = time.time() - time.monotonic()
        self.known = False
        self._samples: deque[_Sample] = deque(maxlen=_SAMPLES)

    def now(self) -> float:
        """Seconds since the epoch, by the broker."""
        return time.monotonic() + self.anchor_s

    def at(self, monotonic_us: int) -> float:
        """The broker's time of a moment of the monotonic clock."""
        return monotonic_us / 1e6 + self.anchor_s

    def learn(self, asked_s: float, answered_s: float, broker_s: float) -> None:
        """Takes in one answer of TIME, with the monotonic times of question and answer: right within half a round trip."""
        sample = _Sample(answered_s - asked_s, broker_s - (asked_s + answered_s) / 2)
        slack = _SET_S + sample.round_trip_s + sum(one.round_trip_s for one in self._samples)
        if self._samples and abs(sample.anchor_s - self.anchor_s) > slack:
            self._samples.clear()
        self._samples.append(sample)
        self.anchor_s = min(self._samples).anchor_s
        self.known = True

    def ahead_s(self) -> float:
        """How far this machine's wall clock is ahead of the broker's."""
        return time.time() - self.now()
