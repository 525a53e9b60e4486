"""What a worker's own processes spend on a run beside the task: fetching, acknowledging, logging, and this probe."""

import time
from collections import deque
from typing import NamedTuple

#: Folds looked back on: five minutes at the usual ten seconds.
_FOLDS = 30
_FEWEST_RUNS = 30


class _Fold(NamedTuple):
    elapsed_s: float
    runs: int
    spent_s: float


class Overhead:
    """CPU time of the worker outside of its tasks, by run; what it spends while idle is not counted."""

    def __init__(self) -> None:
        self._folds: deque[_Fold] = deque(maxlen=_FOLDS)
        self._last: tuple[float, float, int] | None = None
        self._idle_rate: float | None = None

    def per_run_s(self, runs: int, beside_s: float) -> float | None:
        """`runs` and `beside_s` since the start: the CPU time of all processes but for tasks. None under 30 runs."""
        now = (time.monotonic(), beside_s, runs)
        if self._last is not None:
            fold = _Fold(now[0] - self._last[0], runs - self._last[2], beside_s - self._last[1])
            if fold.runs:
                self._folds.append(fold)
            elif fold.elapsed_s > 1:
                self._idle_rate = min(fold.spent_s / fold.elapsed_s, self._idle_rate or 1.0)
        self._last = now
        counted = sum(fold.runs for fold in self._folds)
        if counted < _FEWEST_RUNS:
            return None
        idle_s = (self._idle_rate or 0.0) * sum(fold.elapsed_s for fold in self._folds)
        return max(0.0, sum(fold.spent_s for fold in self._folds) - idle_s) / counted
