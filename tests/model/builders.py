"""Facts as tests want them: a healthy look, and everything about it that can be changed in a word."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from simulated import FLUSH

from tidegate.facts.diagnosis import Diagnosis, Finding
from tidegate.facts.gate import Bound
from tidegate.facts.gated import GateSeen, GateSettings, SideSeen, WorkerGated
from tidegate.facts.message import Label
from tidegate.facts.seen import (
    AppSeen,
    CensusSeen,
    Cost,
    EntrySeen,
    FlowSeen,
    Heartbeat,
    KeyFamily,
    KeyspaceSeen,
    Look,
    QueueSeen,
    ServerSeen,
    SetAside,
    Sighting,
    Step,
    TaskCount,
    UnackedSeen,
    WorkerAnswer,
    WorkersSeen,
)
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.judgement import judge

NOW = 1_790_000_000.0
MB, GB = 1 << 20, 1 << 30
HIDDEN = Unknown("NOPERM: this user may not")


def a_server(**changes: Any) -> ServerSeen:
    """A Valkey with 1 of 4 GB in use, a limit, no eviction and nothing on disk."""
    facts: dict[str, Any] = {
        "url": "redis://localhost:6379/0", "db": 0, "server": "Valkey", "version": "9.1.0",
        "used_memory_bytes": 10 * MB, "rss_bytes": 12 * MB, "buffers_bytes": 2 * MB,
        "maxmemory_bytes": 4 * GB, "system_memory_bytes": 8 * GB, "maxmemory_policy": "noeviction",
        "aof_enabled": False, "rdb_save": "", "evicted_keys": 0,
        "keys_by_db": {0: 12},
    }  # fmt: skip
    return ServerSeen(**facts | changes)


@dataclass(frozen=True)
class QueueBuilder:
    """One queue with its flow and its composition."""

    name: str = "celery"
    depth: Maybe[int] = 0
    flow: FlowSeen = field(default_factory=lambda: a_flow(waiting=False))
    census: CensusSeen | None = None
    bytes_per_message: Maybe[float] = 800.0
    oldest: Label | None = None
    set_aside: Maybe[SetAside | None] = None

    def with_depth(self, depth: Maybe[int]) -> "QueueBuilder":
        return replace(self, depth=depth)

    def with_flow(self, flow: FlowSeen) -> "QueueBuilder":
        """The flow, and the depth that it ends with."""
        return replace(self, flow=flow, depth=flow.steps[-1].depth if flow.steps else self.depth)

    def with_census(self, *rows: TaskCount, **changes: Any) -> "QueueBuilder":
        return replace(self, census=a_census(self.name, self.depth, *rows, **changes))

    def weighing(self, bytes_per_message: Maybe[float]) -> "QueueBuilder":
        return replace(self, bytes_per_message=bytes_per_message)

    def aside(self, set_aside: Maybe[SetAside | None]) -> "QueueBuilder":
        return replace(self, set_aside=set_aside)

    def since(self, age_s: float) -> "QueueBuilder":
        """The oldest message was stamped so long ago."""
        return replace(self, oldest=a_label(enqueued_at=NOW - age_s))

    def seen(self) -> QueueSeen:
        weight = self.bytes_per_message
        total = round(self.depth * weight) if known(self.depth) and known(weight) else weight
        return QueueSeen(
            name=self.name,
            depth=self.depth,
            by_priority={0: self.depth} if known(self.depth) and self.depth else {},
            bytes=total if isinstance(total, (int, Unknown)) else HIDDEN,
            bytes_per_message=weight,
            oldest=self.oldest,
            set_aside=self.set_aside,
        )


def a_queue(name: str = "celery") -> QueueBuilder:
    """A queue in which nothing waits and through which a message a second passes."""
    return QueueBuilder(name)


def a_label(task: str | None = FLUSH, **changes: Any) -> Label:
    return Label(**{"task": task, "id": "id-1", "root_id": "id-1", "size_bytes": 750} | changes)


def a_flow(
    arrivals: float = 1.0,
    departures: float = 1.0,
    *,
    depth: int = 0,
    window_s: float = 10.0,
    task: str | None = FLUSH,
    labels: Sequence[Label] = (),
    seen: bool = True,
    **changes: Any,
) -> FlowSeen:
    """A window of even steps: so many arrivals and departures per second, `depth` messages waiting at its start.

    Where they were not `seen`, the messages were counted by the server and taken before anybody could read them.
    """
    steps: list[Step] = []
    for number in range(round(window_s * 10)):
        came, left = (int(rate * (number + 1) / 10) - int(rate * number / 10) for rate in (arrivals, departures))
        depth = max(0, depth + came - left)
        steps.append(Step(number / 10, (number + 1) / 10, depth, came, left, **changes))
    came_in = [Sighting(s.until_s, a_label(task)) for s in steps for _ in range(s.arrivals)]
    came_in = [Sighting(s.at_s, label) for s, label in zip(came_in, labels, strict=False)] if labels else came_in
    left_out = [Sighting(s.until_s, a_label(task)) for s in steps for _ in range(s.departures)]
    return FlowSeen(
        steps=tuple(steps),
        arrived=tuple(came_in) if seen else (),
        departed=tuple(left_out) if seen else (),
        arrivals_sampled_from=sum(step.arrivals for step in steps),
        departures_sampled_from=sum(step.departures for step in steps),
    )


def unread_flow(why: str = "the key is no list") -> FlowSeen:
    return FlowSeen(problem=Unknown(why))


def a_task(name: str = FLUSH, count: int = 100, share: float = 1.0, **changes: Any) -> TaskCount:
    facts: dict[str, Any] = {"share_error": 0.0, "bytes": 750 * count, "expired": 0, "duplicates": 0}
    return TaskCount(name=name, count=count, share=share, **facts | changes)


def a_census(queue: str, depth: Maybe[int], *rows: TaskCount, **changes: Any) -> CensusSeen:
    messages = depth if known(depth) else 0
    by_task = rows or (a_task(count=messages),)
    facts: dict[str, Any] = {"messages": messages, "exact": True, "looked_at": messages, "undecodable": 0}
    return CensusSeen(queue=queue, by_task=by_task, **facts | changes)


def a_heartbeat(hostname: str = "celery@one", active: int = 0, last_at_s: float = 9.5) -> Heartbeat:
    return Heartbeat(
        hostname=hostname, first_at_s=0.5, last_at_s=last_at_s, first_processed=10, last_processed=20,
        active=active, beats=5, every_s=2.0,
    )  # fmt: skip


def some_workers(*heartbeats: Heartbeat, **changes: Any) -> WorkersSeen:
    facts: dict[str, Any] = {"listened_s": 10.0, "blocked_consumers": 1, "task_events": 0}
    return WorkersSeen(heartbeats=heartbeats or (a_heartbeat(),), **facts | changes)


def no_workers(**changes: Any) -> WorkersSeen:
    facts: dict[str, Any] = {"listened_s": 10.0, "blocked_consumers": 0, "task_events": 0, "heartbeats": ()}
    return WorkersSeen(**facts | changes)


def an_answer(*queues: str, hostname: str = "celery@one") -> WorkerAnswer:
    return WorkerAnswer(hostname=hostname, slots=1, prefetch=4, queues=queues)


def unacked(count: Maybe[int] = 0, **changes: Any) -> UnackedSeen:
    held = bool(known(count) and count)
    facts: dict[str, Any] = {
        "looked_at": count if known(count) else 0, "deferred": 0, "by_queue": {"celery": count} if held else {},
        "oldest_age_s": 1.0 if held else None, "oldest_running_age_s": 1.0 if held else None,
        "furthest_eta_s": None, "growth_per_s": 0.0,
    }  # fmt: skip
    return UnackedSeen(count=count, **facts | changes)


def a_keyspace(*families: KeyFamily, **changes: Any) -> KeyspaceSeen:
    facts: dict[str, Any] = {"total": 12, "scanned": 12, "complete": True, "orphaned_replies": 0}
    return KeyspaceSeen(families=families, **facts | changes)


def an_app(*entries: EntrySeen, **changes: Any) -> AppSeen:
    facts: dict[str, Any] = {"entries": entries, "debug": False, "result_expires_s": 86400.0}
    return AppSeen(name="proj", **facts | changes)


def an_entry(name: str = "refresh", task: str = FLUSH, every_s: float | None = 1.0, expires: bool = True) -> EntrySeen:
    return EntrySeen(name=name, task=task, interval_s=every_s, expires=expires)


def no_gate() -> GateSeen:
    """Nothing was ever published through the gate here."""
    return GateSeen(in_use=False, counts={}, counts_before={}, marks=(), marks_total=0, firings=(), workers=())


def a_gate(
    bounds: Mapping[str, Bound] | None = None,
    *,
    ceiling: float = 0.0,
    beside: Mapping[str, Any] | None = None,
    **changes: Any,
) -> GateSeen:
    """A gate in use, with these bounds and nothing to complain of; `beside`: what a queue has beside itself, by name."""
    settings = GateSettings(on=True, bound_of=(bounds or {}).get, ceiling=ceiling)
    facts: dict[str, Any] = {
        "settings": settings, "counts": {("dropped_head", "celery"): 3}, "counts_before": {("dropped_head", "celery"): 3},
        "marks": (), "marks_total": 0, "firings": (), "workers": (WorkerGated(node="celery@one", id="w1", alive=True),),
        "sides": {name: SideSeen(**{"spilled": 0} | side) for name, side in (beside or {}).items()}, "keeper": None,
    }  # fmt: skip
    return GateSeen(in_use=True, **facts | changes)


def a_look(*queues: QueueBuilder, **changes: Any) -> Look:
    """A look at a healthy broker, with these queues instead of the one that is idle."""
    chosen = queues or (a_queue(),)
    facts: dict[str, Any] = {
        "at": NOW, "window_s": 10.0, "server": a_server(), "queues": tuple(queue.seen() for queue in chosen),
        "flows": {queue.name: queue.flow for queue in chosen},
        "censuses": {queue.name: queue.census for queue in chosen if queue.census is not None},
        "unacked": unacked(), "workers": some_workers(), "keyspace": a_keyspace(), "pushes_per_s": HIDDEN,
        "cost": Cost(commands=300, server_ms=12.0, elapsed_s=10.4), "app": an_app(),
        "gate": no_gate(),
    }  # fmt: skip
    return Look(**facts | changes)


def diagnosed(look: Look) -> Diagnosis:
    return judge(look, "0.1.0")


def simulated_look(flows: Mapping[str, FlowSeen], **changes: Any) -> Look:
    """The look at a simulated cluster."""
    return a_look(*(a_queue(name).with_flow(flow).with_census() for name, flow in flows.items()), **changes)


def said(look: Look, rule: str) -> list[Finding]:
    """What that rule says of the look."""
    return [finding for finding in diagnosed(look).findings if finding.rule == rule]
