"""Merging what probes counted: two processes of one stretch, two stretches in a row; associative and commutative."""

from operator import add
from typing import TypeVar

from tidegate.facts.measured import FIRINGS_FOLLOWED, OTHERS, TICKS, Busy, Depth, Followed, Lag, Runs, Slice, Tick
from tidegate.facts.sketch import Sketch

_Sums = TypeVar("_Sums", Busy, Tick, Followed, Depth)


def merge_runs(into: Runs, other: Runs) -> None:
    """Adds what the other counted; ticks have to be of the same length and start."""
    into.run.merge(other.run)
    into.wait.merge(other.wait)
    into.outcomes.update(other.outcomes)
    into.children.update(other.children)
    into.firings += other.firings
    into.odd_stamps += other.odd_stamps
    _add(into.busy, other.busy, Busy)
    _add(into.ticks, other.ticks, Tick)


def keep_followed(firings: dict[int, Followed]) -> None:
    """Forgets all followed firings but those of the smallest hashes, so every process follows the same ones."""
    while len(firings) > FIRINGS_FOLLOWED:
        del firings[max(firings)]


def merge_slice(into: Slice, other: Slice) -> None:
    """Adds another process's count of the same stretch, or of a part of it."""
    same = (into.start_s, into.length_s) == (other.start_s, other.length_s)
    for key, runs in other.runs.items():
        merge_runs(into.runs.setdefault(key, Runs()), runs if same else _retimed(runs, other, into))
    for queue, depths in other.depths.items():
        _add(into.depths.setdefault(queue, {}), depths if same else _moved(depths, other, into, Depth), Depth)
    for queue, sketch in other.turnaround.items():
        into.turnaround.setdefault(queue, Sketch()).merge(sketch)
    for entry, firings in other.followed.items():
        mine = into.followed.setdefault(entry, {})
        _add(mine, firings, Followed)
        keep_followed(mine)
    for machine, seconds in other.ahead.items():
        into.ahead[machine] = max(seconds, into.ahead.get(machine, 0.0))
    for machine, lag in other.lags.items():
        into.lags[machine] = merged_lag(into.lags.get(machine), lag)
    into.counts.update(other.counts)


def merged_lag(one: Lag | None, other: Lag) -> Lag:
    """Both together."""
    return other if one is None else Lag(one.messages + other.messages, min(one.least_s, other.least_s))


def coarsened(parts: list[Slice], start_s: int, length_s: int) -> Slice:
    """One slice of the stretch, with all that its parts counted."""
    whole = Slice(start_s, length_s)
    for part in sorted(parts, key=lambda part: part.start_s):
        merge_slice(whole, part)
    return whole


def keep_keys(slice_: Slice, most: int) -> None:
    """Counts all but the busiest keys under `OTHERS`, where there are more than `most`."""
    surplus = len(slice_.runs) - most
    if surplus <= 0:
        return
    ranked = sorted(slice_.runs, key=lambda key: (slice_.runs[key].run.total_ns, key))
    folded = [key for key in ranked if key != OTHERS][: surplus + 1]
    for key in folded:
        merge_runs(slice_.runs.setdefault(OTHERS, Runs()), _without_tree(slice_.runs.pop(key)))
        slice_.counts["keys_folded"] += 1


def _without_tree(runs: Runs) -> Runs:
    runs.children.clear()
    return runs


def _retimed(runs: Runs, part: Slice, whole: Slice) -> Runs:
    """The same runs with ticks of the whole."""
    return Runs(
        run=runs.run,
        wait=runs.wait,
        outcomes=runs.outcomes,
        firings=runs.firings,
        children=runs.children,
        busy=runs.busy,
        ticks=_moved(runs.ticks, part, whole, Tick),
        odd_stamps=runs.odd_stamps,
    )


def _moved(ticks: dict[int, _Sums], part: Slice, whole: Slice, kind: type[_Sums]) -> dict[int, _Sums]:
    """What was counted in ticks of the part, in ticks of the whole: each goes where its middle lies."""
    moved: dict[int, _Sums] = {}
    for number, item in ticks.items():
        at_s = part.start_s + (number + 0.5) * part.length_s / TICKS
        place = min(TICKS - 1, max(0, int((at_s - whole.start_s) * TICKS / whole.length_s)))
        _add(moved, {place: item}, kind)
    return moved


def _add(into: dict[int, _Sums], other: dict[int, _Sums], kind: type[_Sums]) -> None:
    for place, item in other.items():
        mine = into.get(place)
        into[place] = item if mine is None else kind(*map(add, mine, item))
