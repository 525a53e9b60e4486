"""Which of the due times that have come is sent, and which of them are passed over.

A due time is late for up to a second before it counts as missed: a busy machine is no outage.
"""

from collections.abc import Sequence
from dataclasses import dataclass

SECOND_US = 1_000_000
#: A due time that is no older than this is sent, whatever else has come due since.
LATE_US = SECOND_US


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to be done for an entry now: `missed` due times up to `missed_us` are passed over, then `send_us` is sent.

    `send_us` is 0 where nothing is to be sent.
    """

    send_us: int
    missed: int = 0
    missed_us: int = 0


def turn_on_grid(due_us: int, interval_us: int, now_us: int, catchup_us: int | None) -> Turn:
    """For due times `due_us`, `due_us + interval_us`, … of which the first has come.

    With a catch-up window each one inside it is sent, the oldest first. Without one the newest alone is made up for, and
    that only where the next one is more than a second away.
    """
    if now_us - due_us <= LATE_US:
        return Turn(due_us)
    many = (now_us - due_us) // interval_us + 1
    window_us = max(catchup_us or 0, LATE_US)
    passed = -(-(now_us - window_us - due_us) // interval_us)
    if passed <= 0:
        return Turn(due_us)
    if passed >= many:
        newest_us = due_us + (many - 1) * interval_us
        keep = catchup_us is None and newest_us + interval_us - now_us > SECOND_US
        passed = many - 1 if keep else many
    send_us = due_us + passed * interval_us if passed < many else 0
    return Turn(send_us, passed, due_us + (passed - 1) * interval_us if passed else 0)


def turn_among(
    dues_us: Sequence[int],
    following_us: int | None,
    now_us: int,
    catchup_us: int | None,
    deadline_us: int | None = None,
) -> Turn:
    """The same for due times that have no grid: those that have come (one at least), and the one that follows.

    Nothing older than `deadline_us` is made up for, where one is given.
    """
    window_us = max(catchup_us or 0, LATE_US)
    if deadline_us is not None:
        window_us = max(min(window_us, deadline_us), LATE_US)
    passed = sum(1 for due_us in dues_us if due_us < now_us - window_us)
    if passed == len(dues_us) and _is_made_up_for(dues_us[-1], following_us, now_us, catchup_us, deadline_us):
        passed -= 1
    send_us = dues_us[passed] if passed < len(dues_us) else 0
    return Turn(send_us, passed, dues_us[passed - 1] if passed else 0)


def _is_made_up_for(
    newest_us: int, following_us: int | None, now_us: int, catchup_us: int | None, deadline_us: int | None
) -> bool:
    """Whether the newest due time is sent although it is older than what is simply late."""
    if catchup_us is not None or (deadline_us is not None and newest_us < now_us - deadline_us):
        return False
    return following_us is None or following_us - now_us > SECOND_US


def next_on_grid(last_us: int, interval_us: int, now_us: int) -> int:
    """The due time after the last one; anew from now where that lies so far ahead that the clock must have gone back."""
    if last_us > now_us + interval_us + SECOND_US:
        return now_us + interval_us
    return last_us + interval_us


def is_stale(due_us: int, following_us: int | None, now_us: int, expires_us: int) -> bool:
    """Whether a run for this due time would come later than it is good for, and a newer one is due within a second."""
    if not expires_us or now_us - due_us <= expires_us or following_us is None:
        return False
    return following_us - now_us <= SECOND_US
