"""Whether this beat leads, and what the beats that share a schedule keep together.

`Standing` is what the scheduler knows of it; `Alone` is the one for a broker that is no Redis, or without a lease.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tidegate.act.claim import Claim, Terms
from tidegate.facts.beat import Ask, BeatOutcome, Order

#: For an outcome that leaves the cursor as it is.
ANY_CURSOR = "*"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome that needs no message: `many` due times of an entry up to `due_us`, whose cursor was `before`."""

    entry: str
    due_us: int
    before: str
    outcome: BeatOutcome
    many: int = 1
    why: str = ""


class Standing(Protocol):
    """No call raises, and none waits for longer than a second.

    `term` changes with every leadership that begins: what was read before is to be read again (`cursors`). `edition`
    changes with every order or ask. Both are as of the last `check`.
    """

    leads: bool
    term: int
    edition: int

    @property
    def terms(self) -> Terms | None:
        """What a claim carries; None where nothing is claimed."""

    def check(self) -> bool:
        """Renews the lease, takes it or waits for it, where that is due (twice a second); whether this beat leads."""

    def now_s(self) -> float:
        """The time of the schedule in seconds since the epoch: the server's clock, moved on by the monotonic one."""

    def cursors(self, entries: Collection[str]) -> dict[str, str]:
        """The cursor (the last due time decided on, µs as text) of each of these entries that has one."""

    def orders(self) -> Mapping[str, Order]:
        """What operators have ordered, by entry.

        Where this beat leads, the key `seen` holds the edition that was read: what an act of an operator waits for.
        """

    def asks(self) -> Mapping[str, Ask]:
        """The runs that are asked for, by entry."""

    def record(self, verdicts: Sequence[Verdict]) -> bool:
        """Writes these outcomes and cursors, those that nobody was faster with; False where the server is away."""

    def claim(self, claims: Sequence[Claim]) -> None:
        """Claims due times whose messages do not pass the gate, before they are published; each gets its outcome."""

    def lost(self, why: str) -> None:
        """A claim was refused, for another beat leads: this one stands by from now on."""

    def close(self) -> None:
        """Gives the lease up, so that another beat takes it at once."""


class Alone:
    """Leads always, and shares nothing."""

    leads, term, edition = True, 1, 0
    terms: Terms | None = None

    def __init__(self) -> None:
        # Intervals go on as before where the clock of the machine is set.
        self._offset_s = time.time() - time.monotonic()

    def check(self) -> bool:
        """Always."""
        return True

    def now_s(self) -> float:
        """The clock of this machine as it stood at the beginning, moved on by the monotonic one."""
        return self._offset_s + time.monotonic()

    def cursors(self, entries: Collection[str]) -> dict[str, str]:
        """None."""
        return {}

    def orders(self) -> Mapping[str, Order]:
        """None."""
        return {}

    def asks(self) -> Mapping[str, Ask]:
        """None."""
        return {}

    def record(self, verdicts: Sequence[Verdict]) -> bool:
        """Nowhere to write them."""
        return True

    def claim(self, claims: Sequence[Claim]) -> None:
        """Nobody else has one."""

    def lost(self, why: str) -> None:
        """Nobody else leads."""

    def close(self) -> None:
        """Nothing to give up."""
