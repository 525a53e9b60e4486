"""The intervals that follow the workers: what the scheduler asks, and the answer of a beat that measures nothing."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from tidegate.facts.beat import Paced


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """An entry whose interval is `auto`: its declared interval, the bounds, and the interval it has at present."""

    entry: str
    task: str
    declared_s: float
    min_s: float
    max_s: float
    now_s: float


class Pacer(Protocol):
    """No call raises or waits: what takes time is done in a thread of its own."""

    def follow(self, followers: Collection[Follower]) -> None:
        """These entries are to be paced from now on, and no others; called when one comes or goes."""

    def pace(self, entry: str) -> Paced | None:
        """The interval that the entry should have now; None for one that is not followed."""

    def holds(self, entry: str) -> str:
        """Why the run that is due now should be held back; empty where it should not."""

    def close(self) -> None:
        """Ends the thread."""
