"""What the pacing of a beat knows of the workers, and how often it asks."""

from collections.abc import Mapping
from dataclasses import replace

from tidegate.broker.client import Broker
from tidegate.facts.measured import WorkerSeen
from tidegate.facts.planned import Question
from tidegate.facts.seen import EntrySeen
from tidegate.facts.unknown import known
from tidegate.model.pacing.aims import Aim, Bounds, aims_of
from tidegate.observe.pacing import Living, depths_of
from tidegate.observe.question import DEFAULT_SINCE_S, Options, ask

LIVING_EVERY_S = 1.0
PLAN_EVERY_S = 10.0
#: Measurements of so long say what is now; where they are too few, of as long as a plan takes.
_RECENT_S = 600.0
#: Before anything is known it is asked this often.
_FIRST_EVERY_S = 3.0


class Watched:
    """Who lives, what waits, and what the plan aims at; `aims` and `depths` are replaced as wholes."""

    def __init__(self, target: float, wait_target_s: float | None) -> None:
        self._target, self._wait_target_s = target, wait_target_s
        self._living = Living()
        self._workers: tuple[WorkerSeen, ...] = ()
        self._question: Question | None = None
        self._looked_s = self._planned_s = float("-inf")
        self.aims: Mapping[str, Aim] = {}
        self.depths: Mapping[str, int] = {}

    def look(
        self, broker: Broker, intervals: Mapping[str, tuple[str, float]], bounds: Mapping[str, Bounds], now_s: float
    ) -> bool:
        """Looks at what is due to be looked at; whether other workers live than before. Raises CannotLook."""
        changed = False
        if now_s - self._looked_s >= LIVING_EVERY_S:
            self._looked_s = now_s
            changed = self._look_at_workers(broker)
        ready = all(name in self.aims and self.aims[name].work for name in bounds)
        if now_s - self._planned_s >= (PLAN_EVERY_S if ready else _FIRST_EVERY_S):
            self._planned_s = now_s
            self._question = self._ask(broker, intervals)
            self._aim(intervals, bounds)
        elif changed:
            self._aim(intervals, bounds)
        self.depths = depths_of(broker, sorted({queue for aim in self.aims.values() for queue in aim.work}))
        return changed

    def _look_at_workers(self, broker: Broker) -> bool:
        before, self._workers = self._workers, self._living.look(broker)
        return _who(before) != _who(self._workers)

    def _ask(self, broker: Broker, intervals: Mapping[str, tuple[str, float]]) -> Question:
        """Recent measurements; those of hours where there are too few of one of the entries."""
        recent = ask(broker, Options(since_s=_RECENT_S, hosts_lost=0))
        ran = {key.entry for slice_ in recent.measured.slices for key in slice_.runs}
        if set(intervals) <= ran and _are_enough(recent, intervals):
            return recent
        return ask(broker, Options(since_s=DEFAULT_SINCE_S, hosts_lost=0))

    def _aim(self, intervals: Mapping[str, tuple[str, float]], bounds: Mapping[str, Bounds]) -> None:
        if self._question is None:
            return
        entries = tuple(
            EntrySeen(name=name, task=task, interval_s=interval_s, expires=False, mean_interval_s=interval_s)
            for name, (task, interval_s) in intervals.items()
        )
        question = replace(
            self._question,
            entries=entries,
            measured=replace(self._question.measured, workers=self._workers),
            target_utilisation=self._target,
            wait_target_s=self._wait_target_s,
        )
        found = aims_of(question, bounds)
        # What was known once holds on while measurements are too few, as after a pause.
        self.aims = {
            name: aim if known(aim.interval_s) else self.aims.get(name, aim)
            for name, aim in found.items()
            if name in bounds
        }


def _who(workers: tuple[WorkerSeen, ...]) -> list[tuple[str, int, tuple[str, ...]]]:
    return [(one.node, one.slots, one.queues) for one in workers if not one.gone]


def _are_enough(question: Question, intervals: Mapping[str, tuple[str, float]]) -> bool:
    runs = dict.fromkeys(intervals, 0)
    for slice_ in question.measured.slices:
        for key, ran in slice_.runs.items():
            if key.entry in runs:
                runs[key.entry] += ran.run.count
    return all(count >= 30 for count in runs.values())
