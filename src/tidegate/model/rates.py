"""Arrival, service and capacity of a queue in messages per second, each with its uncertainty; from the flow meter's steps.

While a queue never runs empty, what leaves it is what its workers can do: that service rate *is* their capacity.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from tidegate.facts.diagnosis import Rate
from tidegate.facts.seen import FlowSeen, Step
from tidegate.facts.unknown import Maybe, Unknown, known

#: Batches of consecutive events; their means are nearly independent even where the events are not.
BATCHES = 10
#: Student's t for a 95 % interval, by degrees of freedom from one to nine.
T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
#: The normal's for the same.
Z_95 = 1.96
#: A stream whose rate is less certain than this is no regular one.
IRREGULAR = 0.1
#: A capacity from less than this would be a guess.
LEAST_SATURATED_S, LEAST_DEPARTURES = 1.0, 5


@dataclass(frozen=True, slots=True)
class Tally:
    """Messages counted between two moments, in seconds of the look's clock."""

    since_s: float
    until_s: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """How a queue moved: rates over the watched time, and the capacity where it showed."""

    window_s: float
    arrival: Maybe[Rate]
    service: Maybe[Rate]
    capacity: Maybe[Rate]
    growth_per_s: Maybe[float]
    #: The part of the window, ending with it, in which every message was counted.
    counted: tuple[Step, ...]


def event_rate(tallies: Sequence[Tally]) -> Rate:
    """Events per second with the half-width of a 95 % interval.

    Counted from the first event to the last, (n − first)/(t_last − t_first): unlike n/window this does not depend on
    where the window cuts a regular stream, so ten firings a second apart give exactly 1/s. An irregular stream gains
    nothing from that and is counted plainly. The error is from batch
    means of consecutive events (Law, *Simulation Modeling and Analysis*, §9.5.3), plus the resolution of the polls.
    Fewer than three events, or all within a quarter of the window, get a Poisson error.
    Without tallies, or with no event, the rate is 0 and the error the rule of three, 3/window.
    """
    window = tallies[-1].until_s - tallies[0].since_s if tallies else 0.0
    events = [tally for tally in tallies if tally.count]
    if window <= 0 or not events:
        return Rate(per_s=0.0, error_per_s=3 / window if window > 0 else math.inf)
    span = events[-1].until_s - events[0].until_s
    total = sum(event.count for event in events)
    if len(events) < 3 or span < window / 4:
        return Rate(per_s=total / window, error_per_s=_few_error(events) / window)
    per_s = (total - events[0].count) / span
    error = _batch_error(events, per_s, span)
    if error > IRREGULAR * per_s:
        return Rate(per_s=total / window, error_per_s=error)
    return Rate(per_s=per_s, error_per_s=error + per_s * _resolution(events) / span)


def _few_error(events: Sequence[Tally]) -> float:
    """How far the true mean may lie above a count, in messages: n heaps of k messages, each heap one independent event.

    Gehrels (1986, equation 9): the upper limit of a Poisson mean after n events is n + S·√(n + 3/4) + (S² + 3)/4.
    """
    total = sum(event.count for event in events)
    heap = sum(event.count**2 for event in events) / total
    return heap * (Z_95 * math.sqrt(total / heap + 0.75) + (Z_95**2 + 3) / 4)


def _batch_error(events: Sequence[Tally], per_s: float, span: float) -> float:
    """Each gap between events should have brought per_s × gap messages; batches of what it brought too many or too few.

    Polls see an event up to one poll late: at both ends of every batch that adds a uniform error of min(1, per_s ×
    resolution) events, of variance 1/12. It belongs to the batches and not to the whole, so it is taken off.
    """
    surplus = [b.count - per_s * (b.until_s - a.until_s) for a, b in pairwise(events)]
    batches = min(BATCHES, len(surplus))
    if batches < 2:
        return per_s
    bounds = [round(i * len(surplus) / batches) for i in range(batches + 1)]
    sums = [sum(surplus[a:b]) for a, b in pairwise(bounds)]
    rounding = min(1.0, per_s * _resolution(events)) ** 2 / 6
    variance = max(0.0, sum(s * s for s in sums) / (batches - 1) - rounding)
    return T_95[batches - 2] * math.sqrt(variance * batches) / span


def regular_rate(times: Sequence[float], resolution_s: float) -> Rate | None:
    """The rate of a sender that keeps an interval, some of whose messages may have been missed; None where it keeps none.

    The usual gap must be three times the resolution at least, or it would not show which gaps are two intervals. Every
    moment must lie on the grid of that interval to within one and a half times the resolution or a seventh of the
    interval; the interval is then the whole span by the number of intervals in it.
    """
    gaps = [b - a for a, b in pairwise(times)]
    usual = sorted(gaps)[len(gaps) // 2] if gaps else 0.0
    if len(gaps) < 3 or usual < 2.9 * resolution_s:
        return None
    places = list(accumulate((max(1, round(gap / usual)) for gap in gaps), initial=0))
    span = times[-1] - times[0]
    interval = span / places[-1]
    slack = max(1.5 * resolution_s, interval / 7)
    if any(abs(at - times[0] - place * interval) > slack for at, place in zip(times, places, strict=True)):
        return None
    return Rate(per_s=1 / interval, error_per_s=resolution_s / span / interval, basis="regular")


def _resolution(events: Sequence[Tally]) -> float:
    """Seconds between polls: no event is known in time better than that."""
    widths = sorted(event.until_s - event.since_s for event in events)
    return widths[len(widths) // 2]


def counted_run(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The longest run of consecutive steps in which every message was counted."""
    best: list[Step] = []
    run: list[Step] = []
    for step in steps:
        run = [*run, step] if step.exact else []
        if len(run) > len(best):
            best = run
    return tuple(best)


def trailing_run(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The run of counted steps that lasts until the end of the window."""
    start = len(steps)
    while start and steps[start - 1].exact:
        start -= 1
    return tuple(steps[start:])


def duration_s(steps: Sequence[Step]) -> float:
    """Seconds that the steps cover."""
    return sum(step.until_s - step.since_s for step in steps)


def measure(flow: FlowSeen, pushes_per_s: Maybe[float]) -> Flow:
    """The rates of one queue. `pushes_per_s` is what the server's statistics leave for it where it can't be counted."""
    steps = flow.steps
    if flow.problem is not None or not steps:
        why = Unknown("the queue was not watched") if flow.problem is None else flow.problem
        return Flow(window_s=0.0, arrival=why, service=why, capacity=why, growth_per_s=why, counted=())
    window = steps[-1].until_s - steps[0].since_s
    run = counted_run(steps)
    if duration_s(run) >= window / 2:
        arrival: Maybe[Rate] = event_rate([Tally(s.since_s, s.until_s, s.arrivals) for s in run])
        service: Maybe[Rate] = event_rate([Tally(s.since_s, s.until_s, s.departures) for s in run])
    else:
        arrival, service = _uncounted(steps, window, pushes_per_s)
    return Flow(
        window_s=window,
        arrival=arrival,
        service=service,
        capacity=_capacity(steps),
        growth_per_s=_growth(steps, arrival, service, window),
        counted=trailing_run(steps),
    )


def _growth(steps: Sequence[Step], arrival: Maybe[Rate], service: Maybe[Rate], window: float) -> Maybe[float]:
    if known(arrival) and known(service) and arrival.basis == "counted":
        return arrival.per_s - service.per_s
    return (steps[-1].depth - steps[0].depth) / window if window else Unknown("not watched long enough")


def _uncounted(steps: Sequence[Step], window: float, pushes_per_s: Maybe[float]) -> tuple[Maybe[Rate], Maybe[Rate]]:
    """Rates of a queue that is mostly empty: its messages are taken before they can be counted."""
    seen = sum(step.arrivals for step in steps)
    if not known(pushes_per_s):
        why = Unknown(
            f"messages are taken as they come: at least {seen} arrived in {window:.1f} s ({pushes_per_s.why})"
        )
        return why, why
    arrival = max(pushes_per_s, seen / window)
    change = (steps[-1].depth - steps[0].depth) / window
    error = Z_95 * math.sqrt(max(arrival * window, 1.0)) / window
    basis = "server statistics"
    return Rate(per_s=arrival, error_per_s=error, basis=basis), Rate(
        per_s=max(0.0, arrival - change), error_per_s=error, basis=basis
    )


def _capacity(steps: Sequence[Step]) -> Maybe[Rate]:
    """What the workers can do, from the time in which messages waited without a break."""
    tallies = while_waiting(steps, {step.until_s: step.departures for step in steps})
    if not tallies or tallies[-1].until_s < LEAST_SATURATED_S or sum(t.count for t in tallies) < LEAST_DEPARTURES:
        return Unknown("the workers' capacity shows only while messages wait")
    return event_rate(tallies)


def while_waiting(steps: Sequence[Step], counts: Mapping[float, int]) -> list[Tally]:
    """The counts, by end of step, of the steps in which messages waited, on a clock that stands still in between."""
    clock, tallies = 0.0, []
    for step in steps:
        if step.exact and step.waiting:
            until = clock + step.until_s - step.since_s
            tallies.append(Tally(clock, until, counts.get(step.until_s, 0)))
            clock = until
    return tallies
