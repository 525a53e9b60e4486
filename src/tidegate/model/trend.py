"""The state of a queue, judged by how it moves and not by how long it is.

No fixed length, no threshold on depth: a queue of two million that shrinks is `draining`, one of thirty that gets
one longer every second is `growing`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import hypot

from tidegate.facts.diagnosis import State
from tidegate.facts.seen import FlowSeen, Step, WorkersSeen
from tidegate.facts.unknown import known
from tidegate.model.load import Load
from tidegate.model.rates import Flow, duration_s
from tidegate.units import plural

#: A trend needs at least this part of the window behind it.
LEAST_PART = 1 / 3
#: A burst brings at least half of all arrivals within an eighth of the window.
BURST_SHARE, BURST_PART = 0.5, 1 / 8
_FEW = 8


@dataclass(frozen=True, slots=True)
class Trend:
    """The state and, in half a sentence, why."""

    state: State
    reason: str


def trend(seen: FlowSeen, flow: Flow, load: Load, workers: WorkersSeen) -> Trend:
    """The state of one queue over the window, worst evidence first; `unknown` where it can't be told."""
    if seen.problem is not None:
        return Trend(State.UNKNOWN, seen.problem.why)
    if len(seen.steps) < 2:
        return Trend(State.UNKNOWN, "it was not watched long enough")
    overloaded = _overloaded(seen.steps, flow, load)
    if seen.steps[-1].depth == 0:
        # Between two waves of firings nothing may wait, and the next wave be higher all the same.
        return overloaded or Trend(State.OK, "nothing waits")
    return _stalled(seen.steps, workers) or overloaded or _moving(seen.steps, flow)


def _overloaded(steps: Sequence[Step], flow: Flow, load: Load) -> Trend | None:
    """Where tasks fire others, work is judged instead of depth, which swings with every firing that gets its turn."""
    surplus = load.surplus()
    if not load.firings or surplus is None or surplus.per_s <= surplus.error_per_s:
        return None
    pause = max(_pauses([steps[0].since_s, *load.fired_at_s, steps[-1].until_s]))
    if pause > flow.window_s * LEAST_PART:
        return None
    return Trend(State.GROWING, "each firing brings more work than the workers do until the next one")


def alive(workers: WorkersSeen) -> int | None:
    """Workers heard until the end of the window, None where they could not be heard."""
    if not known(workers.heartbeats):
        return None
    # A worker that missed two heartbeats in a row is not counted on.
    return sum(beat.last_at_s >= workers.listened_s - 2.5 * beat.every_s for beat in workers.heartbeats)


def busy(workers: WorkersSeen) -> int:
    """Tasks running in the workers still heard at the end of the window."""
    if not known(workers.heartbeats):
        return 0
    return sum(b.active for b in workers.heartbeats if b.last_at_s >= workers.listened_s - 2.5 * b.every_s)


def _stalled(steps: Sequence[Step], workers: WorkersSeen) -> Trend | None:
    window = steps[-1].until_s - steps[0].since_s
    idle_s = _since_last_departure(steps)
    if idle_s < window * LEAST_PART or (idle_s < 0.95 * window and idle_s < 5 * _usual_gap(steps)):
        return None
    if any(step.restores for step in steps):
        return Trend(State.UNKNOWN, "messages of a lost worker are being put back")
    if busy(workers):
        return Trend(
            State.UNKNOWN,
            f"none left for {idle_s:.0f} s while {plural(busy(workers), 'task')} run: they may take longer than the window",
        )
    return Trend(State.STALLED, f"messages wait and none left for {idle_s:.0f} s")


def _since_last_departure(steps: Sequence[Step]) -> float:
    """For how long messages have waited without a break while none left."""
    end = since = steps[-1].until_s
    for step in reversed(steps):
        if step.depth == 0 or step.departures:
            break
        since = step.since_s
    return end - since


def _usual_gap(steps: Sequence[Step]) -> float:
    """The longest time between two departures so far, 0 where fewer than two were seen."""
    left = [step.until_s for step in steps if step.departures]
    return max(_pauses(left), default=0.0)


def _moving(steps: Sequence[Step], flow: Flow) -> Trend:
    run = flow.counted
    if duration_s(run) < flow.window_s * LEAST_PART:
        return _rarely_empty(steps) or _by_depth(steps, flow)
    if _is_burst(run, flow.window_s):
        rose = run[-1].depth > steps[0].depth
        return Trend(State.SURGE, "it rose in a burst") if rose else Trend(State.DRAINING, "it shrinks after a burst")
    return _by_rates(run, flow)


def _rarely_empty(steps: Sequence[Step]) -> Trend | None:
    """The verdict on a queue that was empty a short while ago: fine, unless what came since is out of the ordinary."""
    empty = [index for index, step in enumerate(steps) if step.depth == 0]
    if not empty:
        return None
    if steps[-1].until_s - steps[empty[-1]].until_s > (steps[-1].until_s - steps[0].since_s) * (1 - LEAST_PART):
        return None
    before = max((step.depth for step in steps[: empty[-1]]), default=0)
    if steps[-1].depth > max(2 * before, _FEW):
        return Trend(State.SURGE, "it was empty a moment ago and rose in a burst")
    return Trend(State.OK, "it empties again and again")


def _by_depth(steps: Sequence[Step], flow: Flow) -> Trend:
    """The verdict where messages could not be counted: the depth must move one way in every third of the window."""
    third = max(1, len(steps) // 3)
    marks = [steps[0].depth, steps[third].depth, steps[min(2 * third, len(steps) - 1)].depth, steps[-1].depth]
    changes = [b - a for a, b in pairwise(marks)]
    if all(change > 0 for change in changes):
        return Trend(State.GROWING, "its depth rose throughout")
    if all(change < 0 for change in changes):
        return Trend(State.DRAINING, "its depth fell throughout")
    return Trend(State.UNKNOWN, f"{flow.window_s:.0f} s show no trend: look longer with --window")


def _is_burst(run: Sequence[Step], window_s: float) -> bool:
    total = sum(step.arrivals for step in run)
    if total < _FEW:
        return False
    width = window_s * BURST_PART
    return any(
        sum(s.arrivals for s in run if step.since_s <= s.since_s < step.since_s + width) >= BURST_SHARE * total
        for step in run
        if step.arrivals
    )


def _by_rates(run: Sequence[Step], flow: Flow) -> Trend:
    if not known(flow.arrival) or not known(flow.service):
        return Trend(State.UNKNOWN, "its rates could not be measured")
    net = flow.arrival.per_s - flow.service.per_s
    error = hypot(flow.arrival.error_per_s, flow.service.error_per_s)
    if net > error:
        steady = _longest_pause(run) <= flow.window_s * LEAST_PART
        return (
            Trend(State.GROWING, "more arrives than leaves, throughout")
            if steady
            else Trend(State.SURGE, "it rose in a burst")
        )
    if net < -error:
        return Trend(State.DRAINING, "more leaves than arrives")
    # A backlog that never was empty and rose may well go on rising, only too slowly to show.
    rose = run[-1].depth > run[0].depth and all(step.depth for step in run)
    if not rose and flow.service.per_s > 0 and run[-1].depth / flow.service.per_s <= flow.window_s:
        return Trend(State.OK, "what waits is taken within the window")
    return Trend(
        State.UNKNOWN, f"arrivals and departures balance within the error of {flow.window_s:.0f} s: look longer"
    )


def _longest_pause(run: Sequence[Step]) -> float:
    """The longest time without an arrival, the ends of the run included."""
    return max(_pauses([run[0].since_s, *(step.until_s for step in run if step.arrivals), run[-1].until_s]))


def _pauses(marks: Sequence[float]) -> list[float]:
    return [b - a for a, b in pairwise(marks)]
