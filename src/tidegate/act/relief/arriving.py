"""How fast messages arrive in a queue, measured where the age of a message can be told by nothing else."""

import math
import time
from collections.abc import Sequence

from tidegate.broker.client import Broker
from tidegate.broker.envelope import open_label
from tidegate.broker.reads import elements
from tidegate.facts.message import Label
from tidegate.facts.relief import Filter
from tidegate.facts.seen import Step
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.observe.flow import FlowMeter

#: How long arrivals are counted, and after what time so many of them are enough.
WINDOW_S = 3.0
_ENOUGH_S, _ENOUGH = 1.0, 150
_LOOKED_AT = 50


def arrival_of(
    broker: Broker, queue: str, keys: Sequence[str], wanted: Filter, window_s: float | None = None
) -> Maybe[float]:
    """Messages a second that arrive in the queue, rather too many than too few, so that ages come out too low.

    Measured only where an age is asked for and some message at an end of its lists carries no stamp; else at once.
    """
    if wanted.older_than_s is None or all(_is_stamped(broker, key) for key in keys):
        return Unknown("not asked for")
    meter, whole_s = FlowMeter(broker, {queue: keys}), WINDOW_S if window_s is None else window_s
    began = time.monotonic()
    while (at_s := time.monotonic() - began) < whole_s:
        meter.poll(at_s)
        if at_s > _ENOUGH_S and sum(step.arrivals for step in meter.flows()[queue].steps) > _ENOUGH:
            break
        time.sleep(min(meter.interval_s, max(0.0, whole_s - at_s)))
    meter.poll(at_s)
    seen = meter.flows()[queue]
    return seen.problem if seen.problem is not None else _rate(seen.steps)


def _rate(steps: Sequence[Step]) -> Maybe[float]:
    """Two standard errors above what was counted: of few arrivals nobody can say that they are not more."""
    if not steps or not all(step.exact for step in steps):
        return Unknown("messages left faster than their arrival could be counted")
    arrivals, took_s = sum(step.arrivals for step in steps), steps[-1].until_s - steps[0].since_s
    return (arrivals + 2 * math.sqrt(arrivals)) / max(took_s, 1e-3)


def _is_stamped(broker: Broker, key: str) -> bool:
    for start, stop in ((0, _LOOKED_AT - 1), (-_LOOKED_AT, -1)):
        found = elements(broker, key, start, stop)
        labels = [open_label(element) for element in found] if known(found) else []
        if not all(isinstance(label, Label) and label.enqueued_at is not None for label in labels):
            return False
    return True
