"""A scheduler whose clock the test moves: time passes only where its tick says that it may sleep."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from celery import Celery, beat

from tidegate.act.beat.outcomes import rarely
from tidegate.act.beat.scheduler import TidegateMixin
from tidegate.act.beat.signals import beat_decided
from tidegate.act.beat.standing import Alone, Verdict
from tidegate.act.claim import current_claim
from tidegate.facts.beat import Ask, BeatOutcome, EntryPolicy, Order, Paced


class Stand(Alone):
    """What beats share, in memory: cursors that are compared and set, orders and asks; and the clock."""

    def __init__(self, at_s: float) -> None:
        super().__init__()
        self.at_s = at_s
        self.held: dict[str, str] = {}
        self.verdicts: list[Verdict] = []
        self.order_of: dict[str, Order] = {}
        self.ask_of: dict[str, Ask] = {}
        self.was_lost: list[str] = []
        self.answers = True

    def check(self) -> bool:
        return self.leads

    def now_s(self) -> float:
        return self.at_s

    def cursors(self, entries: Collection[str]) -> dict[str, str]:
        return {name: self.held[name] for name in entries if name in self.held}

    def orders(self) -> Mapping[str, Order]:
        return self.order_of

    def asks(self) -> Mapping[str, Ask]:
        return self.ask_of

    def record(self, verdicts: Sequence[Verdict]) -> bool:
        if not self.answers:
            return False
        for verdict in verdicts:
            if self.held.get(verdict.entry, "") == verdict.before:
                self.held[verdict.entry] = str(verdict.due_us)
                self.verdicts.append(verdict)
        return True

    def lost(self, why: str) -> None:
        self.was_lost.append(why)
        self.leads = False


class Steps:
    """A pacer that says what the test wrote down."""

    def __init__(self) -> None:
        self.paced: dict[str, Paced] = {}
        self.held_back: dict[str, str] = {}
        self.followed: list[Any] = []

    def follow(self, followers: Collection[Any]) -> None:
        self.followed.append(list(followers))

    def pace(self, entry: str) -> Paced | None:
        return self.paced.get(entry)

    def holds(self, entry: str) -> str:
        return self.held_back.get(entry, "")

    def close(self) -> None:
        """Nothing."""


@dataclass
class Decided:
    """One outcome as the signal tells it."""

    entry: str
    outcome: BeatOutcome
    due: datetime
    many: int
    why: str
    at_s: float


class Desk(TidegateMixin, beat.Scheduler):
    """`policies` by entry; what it sends goes to the broker, or with `dry` only into `sent`, as (entry, due time, when)."""

    def __init__(self, app: Celery, *, policies: dict[str, EntryPolicy] | None = None, dry: bool = False) -> None:
        self.policies, self.dry = policies or {}, dry
        self.sent: list[tuple[str, float, float]] = []
        self.decided: list[Decided] = []
        self.wall_ahead_s = 0.0
        super().__init__(app)
        self.stand = self.standing = Stand(self.wall_s())
        self.wall_s = lambda: self.stand.at_s + self.wall_ahead_s  # type: ignore[method-assign]
        self.pacer: Any = Steps()
        self.looked = 0
        beat_decided.connect(self._note, sender=self)

    def _note(self, entry: str, outcome: BeatOutcome, due: datetime, many: int, why: str, **_: Any) -> None:
        self.decided.append(Decided(entry, outcome, due, many, why, self.stand.at_s))

    def policy_of(self, entry: Any) -> EntryPolicy:
        return self.policies.get(entry.name, EntryPolicy(spread=False))

    def send_entry(self, entry: Any) -> None:
        claim = current_claim()
        self.sent.append((entry.name, claim.due_us / 1e6, self.stand.at_s))
        if not self.dry:
            super().send_entry(entry)

    def look_now(self) -> None:
        """What it looks at once a second of its machine's time, it looks at in the next tick."""
        self._watch._looked_s = float("-inf")

    def run(self, seconds: float) -> None:
        """So much time passes."""
        end_s = self.stand.at_s + seconds
        while self.stand.at_s < end_s:
            self.look_now()
            self.stand.at_s += min(self.tick() or 0.0, max(end_s - self.stand.at_s, 0.000_001))

    def outcomes(self, entry: str) -> list[BeatOutcome]:
        """One for each due time, in order."""
        return [one.outcome for one in self.decided if one.entry == entry for _ in range(one.many)]

    def dues(self, entry: str) -> list[float]:
        """The due times that were sent."""
        return [due_s for name, due_s, _ in self.sent if name == entry]


@contextmanager
def desk(url: str, schedule: dict[str, Any], **options: Any) -> Iterator[Desk]:
    """A scheduler over an application with the task `work`; `settings` are the application's."""
    with Celery("desk", broker=url, backend=options.pop("backend", None), set_as_current=False) as app:
        app.conf.update(options.pop("settings", {}), beat_schedule=schedule)

        @app.task(name="work", shared=False)
        def work(*args: Any) -> None:
            """Something to do."""

        rarely._kinds.clear()  # what an earlier test heard
        scheduler = Desk(app, **options)
        try:
            yield scheduler
        finally:
            scheduler.close()


def every(seconds: float, **more: Any) -> dict[str, Any]:
    """An entry with that interval."""
    return {"task": "work", "schedule": seconds, **more}
