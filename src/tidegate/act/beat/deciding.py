"""What becomes of an entry whose time has come: which due times are passed over and why, and which one is sent."""

from dataclasses import dataclass
from typing import Any

from tidegate.act.beat import calendar
from tidegate.act.beat.kept import Kept
from tidegate.act.beat.standing import Verdict
from tidegate.facts.beat import BeatOutcome
from tidegate.facts.overlap import Overlap
from tidegate.model.beat.due import SECOND_US, Turn, is_stale, turn_among, turn_on_grid


@dataclass(frozen=True, slots=True)
class Decision:
    """`verdicts` in order, then `send_us`: the due time to send, 0 for none.

    `expires_s`: after how long nobody wants that run, None where its options say it themselves, or nothing does.
    """

    verdicts: tuple[Verdict, ...] = ()
    send_us: int = 0
    expires_s: float | None = None

    def before(self, kept: Kept) -> str:
        """The cursor that stands when it comes to the due time that is sent."""
        return str(self.verdicts[-1].due_us) if self.verdicts else kept.cursor

    def passing_over(self, kept: Kept, outcome: BeatOutcome, why: str) -> "Decision":
        """The same, but that due time is not sent."""
        verdict = Verdict(kept.name, self.send_us, self.before(kept), outcome, why=why)
        return Decision((*self.verdicts, verdict))


@dataclass(frozen=True, slots=True)
class Moment:
    """When it is decided: by the clock of the schedule and by that of the wall, both in µs."""

    now_us: int
    wall_us: int

    def earlier(self, by_us: int) -> "Moment":
        """So much before."""
        return Moment(self.now_us - by_us, self.wall_us - by_us) if by_us else self


def decide(kept: Kept, moment: Moment, app: Any, *, why_held: str, gated: bool) -> Decision:
    """For an entry whose `due_us` has come. Raises what its schedule raises.

    `why_held`: why what follows the workers should wait; `gated`: the gate sees to its overlap.
    """
    now_us = moment.now_us if kept.interval_us else moment.wall_us
    catchup_us = None if kept.policy.catchup_s is None else int(kept.policy.catchup_s * 1e6)
    if kept.interval_us:
        turn = turn_on_grid(kept.due_us, kept.interval_us, now_us, catchup_us)
        following_us: int | None = (turn.send_us or turn.missed_us) + kept.interval_us
    else:
        turn, following_us = _turn_by_calendar(kept, now_us, catchup_us, app)
    verdicts = _verdicts(kept, turn)
    if not turn.send_us:
        return Decision(verdicts)
    expires_s = expires_of(kept, following_us, turn.send_us, gated=gated)
    outcome, why = _not_sent(kept, turn.send_us, following_us, now_us, expires_s, why_held)
    decision = Decision(verdicts, turn.send_us, None if "expires" in kept.entry.options else expires_s)
    return decision if outcome is None else decision.passing_over(kept, outcome, why)


def _turn_by_calendar(kept: Kept, wall_us: int, catchup_us: int | None, app: Any) -> tuple[Turn, int | None]:
    try:
        dues_us, following_us = calendar.between(kept.schedule, kept.due_us - 1, wall_us)
    except NotImplementedError:
        return Turn(kept.due_us), None
    deadline_us = calendar.deadline_of(kept.schedule, app)
    return turn_among(dues_us or [kept.due_us], following_us, wall_us, catchup_us, deadline_us), following_us


def _verdicts(kept: Kept, turn: Turn) -> tuple[Verdict, ...]:
    """Of the due times that are passed over."""
    if not turn.missed:
        return ()
    outcome = BeatOutcome.PAUSED if kept.is_paused else BeatOutcome.MISSED
    return (Verdict(kept.name, turn.missed_us, kept.cursor, outcome, turn.missed),)


def _not_sent(
    kept: Kept, due_us: int, following_us: int | None, now_us: int, expires_s: float | None, why_held: str
) -> tuple[BeatOutcome | None, str]:
    """Why this due time is not sent; None where it is."""
    if kept.is_paused:
        return BeatOutcome.PAUSED, f"by {kept.order.who}" if kept.order is not None and kept.order.who else ""
    if why_held:
        return BeatOutcome.HELD_BACK, why_held
    good_for_us = int(expires_s * 1e6) if expires_s is not None and kept.policy.catchup_s is None else 0
    if is_stale(due_us, following_us, now_us, good_for_us):
        return BeatOutcome.EXPIRED, f"beat came to it {(now_us - due_us) / 1e6:.1f} s late"
    return None, ""


def expires_of(kept: Kept, following_us: int | None, due_us: int, *, gated: bool) -> float | None:
    """Seconds after which nobody wants the run any more; None for never, and where the guard bounds it.

    What the entry's own options say; else what the settings say; else its interval, a second at least.
    """
    own = kept.entry.options.get("expires")
    if own is not None:
        return float(own) if isinstance(own, (int, float)) else None
    if kept.policy.expires_s is not None:
        return kept.policy.expires_s or None
    if gated and kept.policy.overlap not in (None, Overlap.ALLOW_ALL):
        return None
    gap_us = kept.interval_us or ((following_us or due_us) - due_us)
    return max(gap_us, SECOND_US) / 1e6 if gap_us > 0 else None
