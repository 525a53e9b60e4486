"""What became of due times, in this process: counts, the signal, and a line in the log that comes once a minute."""

import logging
from collections import Counter
from typing import Any

from tidegate.act.beat.calendar import moment_of
from tidegate.act.beat.signals import beat_decided
from tidegate.act.gate.rarely import Rarely
from tidegate.facts.beat import BeatOutcome

log = logging.getLogger("tidegate.beat")

#: One line a minute of each kind.
rarely = Rarely(log)

#: What is failed or refused is said where the error is there.
_LOUD = (BeatOutcome.MISSED, BeatOutcome.EXPIRED)


class Tally:
    """Counts by outcome since this process started; a listener that fails never reaches the scheduler."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self.counts: Counter[BeatOutcome] = Counter()

    def note(self, entry: str, outcome: BeatOutcome, due_us: int, many: int = 1, why: str = "") -> None:
        """2 µs where nobody listens."""
        self.counts[outcome] += many
        if outcome in _LOUD:
            times = "a due time" if many == 1 else f"{many:,} due times"
            rarely.say(outcome, "%s: %s of %s%s", outcome, times, entry, f" ({why})" if why else "")
        if beat_decided.receivers:
            beat_decided.send(
                sender=self._scheduler, entry=entry, outcome=outcome, due=moment_of(due_us), many=many, why=why
            )
