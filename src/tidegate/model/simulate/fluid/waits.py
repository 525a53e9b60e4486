"""The wait that chance makes while the workers keep up: what a fluid alone would call zero.

G/G/c as in `model.plan.waiting`; with hundreds of slots the probability of waiting is that of Halfin and Whitt (1981),
which needs no step per slot. Near the edge the balance of these formulas takes longer to reach than anybody simulates:
until then the depth is at most that of a reflected random walk, √(2/π·variance·time).
"""

from math import erf, exp, pi, sqrt

from tidegate.model.plan.waiting import mean_wait_s

#: Up to here Erlang's C is worked out exactly.
_EXACT_SLOTS = 200


def scattered_wait_s(
    slots: int, per_s: float, run_s: float, scatter_arrivals: float, scatter_runs: float, for_s: float
) -> float:
    """The mean wait in seconds in balance, or what chance has made of it after so long; 0 from the edge on."""
    offered = per_s * run_s
    if slots <= 0 or per_s <= 0 or run_s <= 0 or offered >= slots:
        return 0.0
    if slots <= _EXACT_SLOTS:
        balanced = mean_wait_s(slots, per_s, run_s, scatter_arrivals, scatter_runs)
    else:
        both = (scatter_arrivals + scatter_runs) / 2
        balanced = waits_probability(slots, offered) * run_s / (slots - offered) * both
    walk = sqrt(2 / pi * per_s * (scatter_arrivals + scatter_runs) * for_s) / per_s
    return min(balanced, walk)


def waits_probability(slots: int, offered: float) -> float:
    """That a message has to wait in M/M/c with many slots: 1/(1 + β·Φ(β)/φ(β)), where β = (c − a)/√a."""
    beta = (slots - offered) / sqrt(offered)
    if beta > 30:
        return 0.0
    below, density = (1 + erf(beta / sqrt(2))) / 2, exp(-(beta**2) / 2) / sqrt(2 * pi)
    return 1 / (1 + beta * below / density) if density > 0 else 0.0
