"""A queue with a bound as one thinks of it: what may be in its lists after every message, and what each was told."""

from dataclasses import dataclass, field

from tidegate.facts.gate import Bound, Outcome, Overflow

STEPS = (0, 3, 6, 9)
MOST_DROPPED, LOOKED_AT = 10, 50


@dataclass(frozen=True)
class Sent:
    """A message: an exempt one says so in its header, and neither is ever dropped."""

    name: str
    step: int
    exempt: bool = False
    kept: bool = False


@dataclass
class ModelQueue:
    """The lists, oldest first."""

    bound: Bound
    lists: dict[int, list[Sent]] = field(default_factory=lambda: {step: [] for step in STEPS})
    side: dict[int, list[Sent]] = field(default_factory=lambda: {step: [] for step in STEPS})
    dead: list[Sent] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        return sum(map(len, self.lists.values()))

    @property
    def has_room(self) -> bool:
        return self.bound.max_length is None or self.depth < self.bound.max_length

    def publish(self, message: Sent) -> tuple[Outcome, list[Sent]]:
        """What became of it, and what was dropped for it."""
        overflow, dropped = self.bound.overflow, []
        if message.exempt:
            return self._push(message), dropped
        if overflow is Overflow.SPILL:
            return self._publish_or_spill(message), dropped
        if not self.has_room:
            dropped = self._dropped() if overflow is Overflow.DROP_HEAD else []
            if not dropped:
                return self._refuse(message), dropped
        return self._push(message), dropped

    def take(self) -> Sent | None:
        """What a worker gets next."""
        return next((messages.pop(0) for messages in self.lists.values() if messages), None)

    def _push(self, message: Sent) -> Outcome:
        self.lists[message.step].append(message)
        return Outcome.ADMITTED

    def _refuse(self, message: Sent) -> Outcome:
        outcome = Outcome.QUEUE_FULL
        if self.bound.overflow is Overflow.REJECT_PUBLISH_DLX:
            outcome = Outcome.DEAD_LETTERED
            self.dead.append(message)
        self._count(outcome)
        return outcome

    def _publish_or_spill(self, message: Sent) -> Outcome:
        for step, waiting in self.side.items():
            while waiting and self.has_room:
                self.lists[step].append(waiting.pop(0))
        if self.side[message.step] or not self.has_room:
            self.side[message.step].append(message)
            self._count(Outcome.SPILLED)
            return Outcome.SPILLED
        return self._push(message)

    def _dropped(self) -> list[Sent]:
        wanted = min(MOST_DROPPED, self.depth - (self.bound.max_length or 0) + 1)
        seen = [message for step in reversed(STEPS) for message in self.lists[step]][:LOOKED_AT]
        going = [message for message in seen if not (message.exempt or message.kept)][:wanted]
        for message in going:
            self.lists[message.step].remove(message)
            self._count(Outcome.DROPPED_HEAD)
        return going

    def _count(self, outcome: Outcome) -> None:
        name = f"{outcome.value}|q"
        self.counts[name] = self.counts.get(name, 0) + 1
