"""Messages that were taken before they could be counted, found again in the server's own count of pushes.

A queue that runs empty shows only part of what passes through it. The server counts every LPUSH; what the counted
queues leave of a step's pushes belongs to the one that could not be counted. Where several could not, it stays open.

The lists are read a moment before the server's count, so a push between the two belongs to the next step's messages:
what a step has too many or too few is carried over to the next one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tidegate.facts.seen import Step

#: More pushes than messages, over all steps in which every message was counted, than the moments between the reads
#: explain: somebody else pushes to lists of this server.
_MOST_FOREIGN, _SKEW_PER_RUN = 0.1, 3


def attribute(steps: Mapping[str, Sequence[Step]], pushes: Sequence[int]) -> dict[str, list[Step]]:
    """The steps of every queue with what the server counted filled in; `pushes` holds the pushes of every step.

    All queues have the same steps. Filled-in steps are exact, and not `waiting`: their queue was empty in between.
    """
    result = {name: list(rows) for name, rows in steps.items()}
    if not result or any(len(rows) != len(pushes) for rows in result.values()) or _is_foreign(result, pushes):
        return result
    carried = 0
    for index, pushed in enumerate(pushes):
        rest = pushed - sum(rows[index].arrivals for rows in result.values()) + carried
        open_ones = [name for name, rows in result.items() if not rows[index].exact]
        settled = rest == 0 or (rest > 0 and len(open_ones) == 1)
        for name in open_ones if settled else ():
            before = steps[name][index - 1].depth if index else None
            result[name][index] = _filled(result[name][index], rest, before)
        carried = rest if not open_ones or rest < 0 else 0
    return result


def _filled(step: Step, rest: int, depth_before: int | None) -> Step:
    """The step with `rest` messages more that came and left again; what the depth gained beyond them was put back."""
    arrivals, departures = step.arrivals + rest, step.departures + rest
    missing = 0 if depth_before is None else step.depth - depth_before - arrivals - step.restores + departures
    return replace(
        step,
        arrivals=arrivals,
        departures=departures,
        restores=step.restores + max(missing, 0),
        exact=True,
        waiting=False,
    )


def _is_foreign(steps: Mapping[str, Sequence[Step]], pushes: Sequence[int]) -> bool:
    counted = [all(rows[index].exact for rows in steps.values()) for index in range(len(pushes))]
    runs = sum(now and not before for before, now in zip([False, *counted], counted, strict=False))
    surplus = sum(
        pushed - sum(rows[index].arrivals for rows in steps.values())
        for index, pushed in enumerate(pushes)
        if counted[index]
    )
    return surplus > _MOST_FOREIGN * sum(pushes) + _SKEW_PER_RUN * runs
