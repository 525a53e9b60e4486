"""What happens to an entry's queue at every interval around its edge: for the chart."""

import math
from collections.abc import Mapping

from tidegate.facts.measured import Key
from tidegate.facts.planned import Curve, Point
from tidegate.facts.unknown import Unknown, known
from tidegate.model.plan.demand import Entry
from tidegate.model.plan.entries import Found, mean_age_s, shortest
from tidegate.model.plan.situation import Situation

_POINTS = 41
_NOT_SHOWN = Unknown("with hosts lost only growth is worked out")


def curves_of(entry: Entry, now: Situation) -> list[Curve]:
    """Growth against the interval, with no host lost and with each number of them; empty where no interval is safe."""
    found = [shortest(entry, now, scene, 1.0) for scene in now.scenes]
    edges = [each.interval_s.estimate for each in found if known(each.interval_s)]
    if not edges:
        return []
    present = entry.interval_s if known(entry.interval_s) else edges[0]
    places = _spaced(0.5 * min(*edges, present), 2.0 * max(*edges, present))
    return [_curve(entry, now, lost, each, places) for lost, each in enumerate(found) if each.bound is not None]


def _curve(entry: Entry, now: Situation, lost: int, found: Found, places: list[float]) -> Curve:
    queues = found.bound.cut.queues if found.bound is not None else frozenset()
    without = _into(queues, now.demand.mix_with(entry, 0.0))
    own = _into(queues, entry.runs_per_s(1.0))
    points = tuple(_point(place, entry, now, found, lost, without, own) for place in places)
    return Curve(entry=entry.name, lost=lost, points=points)


def _into(queues: frozenset[str], mix: Mapping[Key, float]) -> float:
    """Messages per second, or per firing, that go into these queues."""
    return sum(rate for key, rate in mix.items() if key.queue in queues)


def _spaced(low: float, high: float) -> list[float]:
    """From low to high in even ratios."""
    return [low * (high / low) ** (number / (_POINTS - 1)) for number in range(_POINTS)]


def _point(
    interval_s: float, entry: Entry, now: Situation, found: Found, lost: int, rest_per_s: float, own: float
) -> Point:
    bound = found.bound
    assert bound is not None
    wanted, slots = bound.rest + bound.share / interval_s, bound.cut.slots
    messages_per_s = rest_per_s + own / interval_s
    return Point(
        interval_s=interval_s,
        utilisation=wanted / slots if slots > 0 else math.inf,
        growth_per_s=messages_per_s * max(0.0, 1 - slots / wanted) if wanted > 0 else 0.0,
        age_s=mean_age_s(entry, found, now.account, interval_s) if not lost else _NOT_SHOWN,
    )
