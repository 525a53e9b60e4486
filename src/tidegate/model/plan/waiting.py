"""How long a message waits on average, from utilisation and scatter; and how many slots keep that below a target.

Formulas for stations in balance: Erlang's C for M/M/c, scaled by the scatter of arrivals and run times (Allen and
Cunneen), and for regular arrivals the correction of Krämer and Langenbach-Belz (1976), which meets D/M/1 within 3 %
between utilisations of 0.3 and 0.9.
"""

import math

_MOST_SLOTS = 1_000_000


def erlang_c(slots: int, offered: float) -> float:
    """The probability that a message has to wait in M/M/c, for `offered` = arrival rate × run time below `slots`.

    By the recursion of Erlang's B, so without factorials; costs one step a slot.
    """
    if offered >= slots:
        return 1.0
    blocked = 1.0
    for number in range(1, slots + 1):
        blocked = offered * blocked / (number + offered * blocked)
    return blocked / (1 - (offered / slots) * (1 - blocked))


def mean_wait_s(
    slots: int, arrival_per_s: float, run_s: float, scatter_arrivals: float = 1.0, scatter_runs: float = 1.0
) -> float:
    """The mean wait in G/G/c in seconds; infinite from the edge on.

    Scatter is the squared coefficient of variation: 1 for Poisson arrivals or exponential runs, 0 for regular ones.
    """
    offered = arrival_per_s * run_s
    if offered >= slots:
        return math.inf
    if offered <= 0:
        return 0.0
    poisson = erlang_c(slots, offered) * run_s / (slots - offered)
    both = scatter_arrivals + scatter_runs
    return poisson * both / 2 * _regular(offered / slots, scatter_arrivals, both)


def _regular(utilisation: float, arrivals: float, both: float) -> float:
    """The correction for arrivals more regular than Poisson."""
    if arrivals >= 1 or both <= 0:
        return 1.0
    return math.exp(-2 * (1 - utilisation) * (1 - arrivals) ** 2 / (3 * utilisation * both))


def slots_for_wait(target_s: float, arrival_per_s: float, run_s: float, scatter_runs: float = 1.0) -> int | None:
    """The fewest slots whose mean wait is at most the target, with Poisson arrivals; None beyond a million."""
    least = math.floor(arrival_per_s * run_s) + 1
    step = 1
    while least + step - 1 <= _MOST_SLOTS:
        if mean_wait_s(least + step - 1, arrival_per_s, run_s, 1.0, scatter_runs) <= target_s:
            return _between(least + step // 2 - 1, least + step - 1, target_s, arrival_per_s, run_s, scatter_runs)
        step *= 2
    return None


def _between(too_few: int, enough: int, target_s: float, rate: float, run_s: float, scatter: float) -> int:
    """Halves the distance until no slot can be spared; the wait only falls with more slots."""
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if mean_wait_s(middle, rate, run_s, 1.0, scatter) <= target_s:
            enough = middle
        else:
            too_few = middle
    return enough
