"""One queue of a simulated cluster, judged: its state, its rates, its load."""

from collections.abc import Mapping
from dataclasses import dataclass

from builders import simulated_look
from simulated import Cluster

from tidegate.facts.diagnosis import Diagnosis, QueueReport, State, TaskReport
from tidegate.facts.seen import FlowSeen, WorkersSeen
from tidegate.facts.unknown import Unknown
from tidegate.model.judgement import judge

#: Nobody could be heard, so the verdict rests on the flow alone.
UNHEARD = WorkersSeen(heartbeats=Unknown("not listened"), listened_s=10.0)


@dataclass(frozen=True)
class Judged:
    """The diagnosis of a window, and shorthands into it."""

    diagnosis: Diagnosis

    def queue(self, name: str = "celery") -> QueueReport:
        return next(queue for queue in self.diagnosis.queues if queue.name == name)

    def task(self, name: str, queue: str = "celery") -> TaskReport:
        return next(task for task in self.diagnosis.tasks if (task.name, task.queue) == (name, queue))

    @property
    def state(self) -> State:
        return self.queue().state


def judged(flows: Mapping[str, FlowSeen], workers: WorkersSeen = UNHEARD) -> Judged:
    return Judged(judge(simulated_look(flows, workers=workers), "0.1.0"))


def watched(cluster: Cluster, since: float, window_s: float = 10.0, workers: WorkersSeen = UNHEARD) -> Judged:
    return judged(cluster.watch(since, window_s), workers)
