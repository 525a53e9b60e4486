"""Slots are not capacity: processes that share cores slow one another down, so a run takes longer with more of them busy.

A machine is taken as a closed network: its busy slots are customers that compute, sharing the cores evenly, and wait for
something else (a database, the network) without disturbing one another. Mean run times depend on nothing but the means
of both parts (product form: Baskett, Chandy, Muntz, Palacios 1975), so two measured numbers do: run time, CPU time.
"""

import math
from dataclasses import dataclass

#: Up to here the network is solved exactly; beyond, the two bounds that it approaches are as good.
_EXACT = 512
_HALVINGS = 30


@dataclass(frozen=True, slots=True)
class Demand:
    """What a mean run asks for: seconds of a core, and seconds of waiting for something that is not shared."""

    cpu_s: float
    other_s: float


def run_s(busy: float, cores: float, demand: Demand) -> float:
    """The mean time of a run in seconds while so many slots are busy all the time; between whole numbers a straight line."""
    whole = max(1, int(busy))
    here = _run_s(whole, cores, demand)
    part = busy - whole
    return here if part <= 0 else here + part * (_run_s(whole + 1, cores, demand) - here)


def _run_s(busy: int, cores: float, demand: Demand) -> float:
    if demand.cpu_s <= 0:
        return demand.other_s
    if demand.other_s <= 0 or busy > _EXACT:
        return max(demand.cpu_s * max(1.0, busy / cores), demand.cpu_s / min(1.0, cores) + demand.other_s)
    return busy * math.exp(_weight(busy, cores, demand) - _weight(busy - 1, cores, demand))


def _weight(busy: int, cores: float, demand: Demand) -> float:
    """The logarithm of the network's normalising constant; the throughput is the ratio of two neighbours.

    All terms are positive, so nothing cancels, as it does in mean value analysis with several servers (Buzen 1973).
    """
    terms, served = [], 0.0
    for place in range(busy + 1):
        if place:
            served += math.log(demand.cpu_s / min(place, cores))
        waiting = busy - place
        terms.append(served + waiting * math.log(demand.other_s) - math.lgamma(waiting + 1))
    most = max(terms)
    return most + math.log(sum(math.exp(term - most) for term in terms))


def waiting_part(busy: float, cores: float, measured_s: float, cpu_s: float) -> float:
    """How long a run waits for something that is not shared, if with so many busy slots it was measured to take this.

    0 where computing alone explains more than was measured.
    """
    if run_s(busy, cores, Demand(cpu_s, 0.0)) >= measured_s:
        return 0.0
    low, high = 0.0, measured_s
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if run_s(busy, cores, Demand(cpu_s, middle)) < measured_s:
            low = middle
        else:
            high = middle
    return (low + high) / 2
