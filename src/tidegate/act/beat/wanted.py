"""Which orders fit which entry: an interval only where there is one, bounds only where it follows the workers."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tidegate.errors import UsageError
from tidegate.facts.beat import AUTO, SHORTEST_S, EntryPolicy, Order
from tidegate.facts.seen import EntrySeen
from tidegate.units import duration

#: Shorter than any tick of beat; longer than anybody's schedule.
LEAST_S, MOST_S = SHORTEST_S, 10 * 365 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What `set` is given; None: not named."""

    every: float | str | None = None
    min_s: float | None = None
    max_s: float | None = None


def setting(entry: EntrySeen, policy: EntryPolicy, wanted: Wanted) -> Callable[[Order], Order]:
    """The change that `set` makes; it raises UsageError where what comes of it can't hold."""
    _fits(entry, wanted)

    def change(before: Order) -> Order:
        after = _merged(before, wanted)
        _can_hold(entry, policy, after, wanted)
        return after

    return change


def _fits(entry: EntrySeen, wanted: Wanted) -> None:
    if entry.interval_s is None:
        raise UsageError(
            f"{entry.name} comes due by {entry.schedule or 'no interval'}, which has no interval to set: "
            "pause, resume, run-now and reset fit it; other times need its schedule changed where it is written"
        )
    if wanted == Wanted():
        raise UsageError("set changes an interval: give --every, --min or --max, as in: --every 1.2s")
    for name, value in (("--every", wanted.every), ("--min", wanted.min_s), ("--max", wanted.max_s)):
        if isinstance(value, float) and not LEAST_S <= value <= MOST_S:
            raise UsageError(f"{name}: expected {LEAST_S:g} s up to ten years, got {value:g} s; `pause` sends nothing")


def _merged(before: Order, wanted: Wanted) -> Order:
    if isinstance(wanted.every, float) and wanted.min_s is None and wanted.max_s is None:
        # Bounds are of an interval that follows the workers, and this one does not any more.
        return replace(before, every=wanted.every, min_s=None, max_s=None)
    return replace(
        before,
        every=before.every if wanted.every is None else wanted.every,
        min_s=before.min_s if wanted.min_s is None else wanted.min_s,
        max_s=before.max_s if wanted.max_s is None else wanted.max_s,
    )


def _can_hold(entry: EntrySeen, policy: EntryPolicy, after: Order, wanted: Wanted) -> None:
    follows = after.every == AUTO or (after.every is None and policy.auto)
    if not follows and (wanted.min_s is not None or wanted.max_s is not None):
        raise UsageError(
            f"--min and --max bound an interval that follows the workers, and that of {entry.name} does not: add --every auto"
        )
    least, most = after.min_s or policy.min_s, after.max_s or policy.max_s
    if follows and least is not None and most is not None and least > most:
        raise UsageError(
            f"the interval of {entry.name} can't be at least {duration(least)} and at most {duration(most)}: "
            "give --min and --max that leave room"
        )
