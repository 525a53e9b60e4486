"""How an interval gets to what the plan aims at: wider at once, narrower gently, and not at all for a trifle."""

import math
from dataclasses import dataclass, replace

from tidegate.model.pacing.aims import Bounds

#: Nearer to the aim than this an interval stays.
DEAD_BAND = 0.03
#: An aim that is further off than this is another situation, and no noise.
_JUMP = 0.20
#: How long it takes to go 63 % of the way: to a shorter interval in another situation, and after what may be noise.
_NARROWS_S = 5.0
_SMOOTHS_S = 60.0
#: The share of due runs held back, smoothed over so long, from which on the plan is taken for too hopeful.
_HELD_S = 60.0
_HELD_MUCH = 0.5
_WIDENS_A_S = math.log(1.05) / 10
_DECAYS_A_S = math.log(1.05) / 30
_MOST_FACTOR = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """Where one interval is: the one in force, the smooth one behind it, and by how much waits have widened it.

    `factor` ≥ 1 is on top of the plan; `held` the share of due runs that were held back of late.
    """

    interval_s: float
    smooth_s: float
    at_s: float
    factor: float = 1.0
    held: float = 0.0


def begun(interval_s: float, bounds: Bounds, now_s: float) -> Track:
    """At the start: the interval as it is."""
    interval_s = bounds.clipped(interval_s)
    return Track(interval_s=interval_s, smooth_s=interval_s, at_s=now_s)


def stepped(
    track: Track, aim_s: float, bounds: Bounds, now_s: float, *, held: float | None = None, changed: bool = False
) -> Track:
    """A step on, some time after the last one. `held` is the share of the runs that came due since then and were held
    back, None where none came due; `changed` where other workers live than before.
    """
    took_s = max(0.0, now_s - track.at_s)
    share = track.held if held is None else _toward(track.held, held, took_s, _HELD_S)
    factor = _factor(track.factor, share, took_s)
    aim_s = bounds.clipped(aim_s * factor)
    smooth_s = _smoothed(track.smooth_s, aim_s, took_s, changed=changed)
    interval_s = track.interval_s
    if abs(smooth_s / interval_s - 1) > DEAD_BAND or (
        smooth_s != interval_s and smooth_s in (bounds.min_s, bounds.max_s)
    ):
        interval_s = smooth_s
    return replace(
        track, interval_s=bounds.clipped(interval_s), smooth_s=smooth_s, at_s=now_s, factor=factor, held=share
    )


def _smoothed(smooth_s: float, aim_s: float, took_s: float, *, changed: bool) -> float:
    off = aim_s / smooth_s - 1
    if off > _JUMP or (changed and off > 0):
        return aim_s
    pace_s = _NARROWS_S if off < -_JUMP or changed else _SMOOTHS_S
    moved = _toward(smooth_s, aim_s, took_s, pace_s)
    # The last little bit of a way down is no noise where it began as a change.
    return aim_s if abs(aim_s / moved - 1) < 1e-3 else moved


def _toward(value: float, aim: float, took_s: float, pace_s: float) -> float:
    return aim + (value - aim) * math.exp(-took_s / pace_s)


def _factor(factor: float, held: float, took_s: float) -> float:
    rate = _WIDENS_A_S if held > _HELD_MUCH else -_DECAYS_A_S
    return min(_MOST_FACTOR, max(1.0, factor * math.exp(rate * took_s)))
