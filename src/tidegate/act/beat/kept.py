"""What the scheduler keeps of one entry: what holds for it, and its due times."""

from dataclasses import dataclass
from typing import Any

from tidegate.facts.beat import AUTO, SHORTEST_S, EntryPolicy, Order

#: The shortest interval there is.
SHORTEST_US = int(SHORTEST_S * 1e6)


@dataclass(slots=True, eq=False)
class Kept:
    """One entry. Times are µs of the schedule's clock, those without a grid µs of the wall's; 0 for none.

    `interval_us` is what its due times are apart, 0 where its schedule has no such thing. `last_us` is the due time
    decided on last, `due_us` the next one, `cursor_us` what the server holds for it as far as is known. `place` is its
    only valid one in the agenda. There are many of these: no field more than must be.
    """

    entry: Any
    schedule: Any
    policy: EntryPolicy
    order: Order | None = None
    interval_us: int = 0
    cursor_us: int = 0
    last_us: int = 0
    due_us: int = 0
    place: "tuple[int, Kept] | None" = None

    def __lt__(self, other: "Kept") -> bool:
        """Any order will do, for what is due at one moment."""
        return id(self) < id(other)

    @property
    def cursor(self) -> str:
        """What the server holds for it, as it holds it: µs as text, empty where there is nothing."""
        return str(self.cursor_us) if self.cursor_us else ""

    @cursor.setter
    def cursor(self, text: str) -> None:
        us = int(text) if text else 0
        # Mostly the same number, and there are many entries.
        self.cursor_us = self.last_us if us == self.last_us else us

    @property
    def name(self) -> str:
        """The entry's name in the schedule."""
        return str(self.entry.name)

    @property
    def is_paused(self) -> bool:
        """Whether an operator has paused it."""
        return self.order is not None and self.order.paused

    @property
    def follows(self) -> bool:
        """Whether its interval follows the workers: by an order, or by its policy where no order says otherwise."""
        if self.order is not None and self.order.every is not None:
            return self.order.every == AUTO
        return self.policy.auto

    @property
    def ordered_us(self) -> int:
        """The interval that an order or the settings fix; 0 where neither does."""
        every = self.order.every if self.order is not None and self.order.every is not None else self.policy.every_s
        return max(round(every * 1e6), SHORTEST_US) if isinstance(every, (int, float)) else 0

    def bounds_s(self, declared_s: float) -> tuple[float, float]:
        """The least and the longest interval where it follows the workers."""
        order, policy = self.order, self.policy
        least_s = order.min_s if order is not None and order.min_s is not None else policy.min_s
        most_s = order.max_s if order is not None and order.max_s is not None else policy.max_s
        least_s = declared_s if least_s is None else least_s
        return least_s, max(least_s, declared_s * 10 if most_s is None else most_s)
