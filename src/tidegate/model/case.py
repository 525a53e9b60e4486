"""What the rules are given: the look, and the reports drawn from it so far."""

from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.facts.diagnosis import MemoryReport, QueueReport, TaskReport
from tidegate.facts.gated import GateReport
from tidegate.facts.scheduled import EntryRow
from tidegate.facts.seen import AppSeen, CensusSeen, Look
from tidegate.facts.unknown import Maybe, known
from tidegate.model.firing import Firing


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One look and what was drawn from it; every rule is a function of this alone."""

    look: Look
    queues: Sequence[QueueReport]
    tasks: Sequence[TaskReport]
    memory: MemoryReport
    firings: Sequence[Firing]
    gate: GateReport
    schedule: Maybe[tuple[EntryRow, ...]]

    @property
    def waiting(self) -> Sequence[QueueReport]:
        """The queues in which messages wait."""
        return [queue for queue in self.queues if known(queue.depth) and queue.depth > 0]

    @property
    def app(self) -> AppSeen | None:
        """The application, where `-A` named one."""
        return self.look.app

    @property
    def served(self) -> Sequence[QueueReport]:
        """The queues in which messages wait for a worker, which those of dead letters do not."""
        dead = {queue.dead_letter for queue in self.gate.queues if known(queue.dead_letter)}
        return [queue for queue in self.waiting if queue.name not in dead]

    def census(self, queue: str) -> CensusSeen | None:
        """The composition of the queue, where it was looked at."""
        return self.look.censuses.get(queue)

    def tasks_of(self, queue: str) -> Sequence[TaskReport]:
        """The tasks of the queue, the one that makes most of it first."""
        return [task for task in self.tasks if task.queue == queue]

    def workers_alive(self) -> Maybe[int]:
        """Workers whose heartbeats were heard."""
        beats = self.look.workers.heartbeats
        return len(beats) if known(beats) else beats
