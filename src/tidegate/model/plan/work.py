"""What one firing costs: all runs that come of it, counted as a branching process, with the error of the mean.

Runs divided by firings would be wrong just where it matters: in an overloaded queue the children of the last firings have
not run yet. What a run publishes is known when it ends, so the expected runs of each task follow from the mean number of
children, N = r + N·M, whatever still waits.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.facts.measured import Key
from tidegate.facts.sketch import NS
from tidegate.model.plan.confidence import half_width
from tidegate.model.plan.spent import LEAST_RUNS, Account

_GENERATIONS = 1000
_SETTLED = 1e-9
#: A firing of more runs than this does not end by itself.
_ENDLESS = 1e7
_LEAST_FOLLOWED = 10
_COMPLETE = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """What one firing of an entry becomes.

    `runs` is the expected number of runs by key; `unseen` tasks were published and have not run; `endless` names a task
    that goes on publishing itself. `run_s` is all run time, give or take `error_s`; `scatter` its squared coefficient of
    variation from firing to firing.
    """

    entry: str
    runs: Mapping[Key, float]
    firings: int
    seen_runs: int
    run_s: float
    error_s: float
    scatter: float
    unseen: tuple[str, ...] = ()
    endless: str | None = None

    @property
    def enough(self) -> bool:
        """True where enough runs were seen for a number."""
        return self.seen_runs >= LEAST_RUNS

    @property
    def runs_per_firing(self) -> float:
        """How many runs a firing brings in the end."""
        return sum(self.runs.values())

    @property
    def tasks(self) -> frozenset[str]:
        """The tasks that run for it."""
        return frozenset(key.task for key in self.runs)


def firing_of(entry: str, keys: Sequence[Key], account: Account) -> Firing:
    """What a firing of the entry becomes, from everything counted under these keys."""
    tree = _Tree(keys, account)
    expected, endless = tree.expected()
    runs = {key: number for key, number in expected.items() if number > 0}
    mean = {key: account.ran[key].mean_s for key in runs if key in account.ran}
    run_s = sum(number * mean.get(key, 0.0) for key, number in runs.items())
    followed = account.whole.followed.get(entry, {})
    scattered = _relative_scatter([item.runs for item in followed.values()], sum(runs.values()))
    firings = sum(account.runs(key).firings for key in keys)
    return Firing(
        entry=entry,
        runs=runs,
        firings=firings,
        seen_runs=sum(account.count(key) for key in keys),
        run_s=run_s,
        error_s=math.hypot(_error_s(runs, mean, account), run_s * math.sqrt(scattered / max(1, firings)) * 2),
        scatter=_scatter(runs, mean, account, run_s) + scattered,
        unseen=tuple(sorted(tree.unseen)),
        endless=endless,
    )


@dataclass(slots=True)
class _Tree:
    keys: Sequence[Key]
    account: Account
    unseen: set[str] = field(default_factory=set)

    def expected(self) -> tuple[dict[Key, float], str | None]:
        """Runs by key that one firing brings in the end, and the task that never ends where one does not."""
        total: dict[Key, float] = defaultdict(float)
        born = self._roots()
        for _ in range(_GENERATIONS):
            for key, number in born.items():
                total[key] += number
            born = self._children(born)
            size = sum(born.values())
            if size < _SETTLED * max(1.0, sum(total.values())):
                return total, None
            if sum(total.values()) > _ENDLESS:
                break
        return total, max(born, key=lambda key: born[key]).task

    def _roots(self) -> dict[Key, float]:
        firings = {key: self.account.runs(key).firings for key in self.keys}
        all_of_them = sum(firings.values())
        return {key: number / all_of_them for key, number in firings.items() if number}

    def _children(self, parents: Mapping[Key, float]) -> dict[Key, float]:
        born: dict[Key, float] = defaultdict(float)
        for key, number in parents.items():
            runs = self.account.runs(key)
            count = self.account.count(key)
            if not count:
                continue
            for task, published in runs.children.items():
                for child, share in self._places(task).items():
                    born[child] += number * share * published / count
        return born

    def _places(self, task: str) -> dict[Key, float]:
        """Where the task runs, by share; it is noted where it never did."""
        counts = Counter({key: self.account.count(key) for key in self.keys if key.task == task})
        total = counts.total()
        if not total:
            self.unseen.add(task)
            return {}
        return {key: count / total for key, count in counts.items()}


def _error_s(runs: Mapping[Key, float], mean: Mapping[Key, float], account: Account) -> float:
    """The half-width for the sum of mean run times: residuals by tick, so that what slows all tasks at once is in it."""
    weights = {key: runs[key] / account.count(key) for key in mean}
    residuals = []
    for cell in account.timeline.cells:
        parts = [
            weights[key] * (cell.ticks[key].run_ns / NS - mean[key] * cell.ticks[key].runs)
            for key in mean
            if key in cell.ticks
        ]
        if parts:
            residuals.append(sum(parts))
    return half_width(residuals)


def _scatter(runs: Mapping[Key, float], mean: Mapping[Key, float], account: Account, run_s: float) -> float:
    """From firing to firing, if runs are independent: the variances add up."""
    if run_s <= 0:
        return 0.0
    variance = sum(runs[key] * account.ran[key].scatter * mean[key] ** 2 for key in mean)
    return variance / run_s**2


def _relative_scatter(followed: Sequence[int], expected: float) -> float:
    """Variance over squared mean of how many runs a firing brought, among those followed; 0 where they tell nothing.

    Firings that were cut off by the backlog have fewer runs than expected, and would pass for scatter.
    """
    if len(followed) < _LEAST_FOLLOWED:
        return 0.0
    mean = sum(followed) / len(followed)
    if mean < _COMPLETE * expected:
        return 0.0
    return sum((number - mean) ** 2 for number in followed) / (len(followed) - 1) / mean**2
