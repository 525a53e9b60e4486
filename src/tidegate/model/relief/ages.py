"""How old a message is, by its stamp, else by how many were published after it; pure."""

from tidegate.facts.relief import Ages
from tidegate.facts.unknown import Maybe, known


class AgeRule:
    """Whether messages are older than so many seconds.

    Without a stamp, a message behind which `newer` stand was published about `newer` / arrivals per second ago.
    Where nothing arrives, or it is not known how much, such a message is not old. Of a queue with several priorities
    each list gets only a part of the arrivals, so its messages pass for younger than they are, never for older.
    """

    def __init__(self, older_than_s: float, now_s: float, arrival_per_s: Maybe[float]) -> None:
        self._published_before_s = now_s - older_than_s
        measured = known(arrival_per_s) and arrival_per_s > 0
        self._newer_needed = older_than_s * arrival_per_s if measured and known(arrival_per_s) else None
        #: How many messages were told by a stamp, by their place, and not at all.
        self.stamped = self.placed = self.ageless = 0

    def is_old(self, published_s: float | None, newer: int) -> bool:
        """True where it was published so long ago; `newer` messages were published after it."""
        if published_s is not None:
            self.stamped += 1
            return published_s <= self._published_before_s
        if self._newer_needed is None:
            self.ageless += 1
            return False
        self.placed += 1
        return newer >= self._newer_needed

    @property
    def told_by(self) -> Ages | None:
        """By what ages were told: by position as soon as one was, None where none was told."""
        if self.placed:
            return Ages.POSITION
        return Ages.STAMPS if self.stamped else None
