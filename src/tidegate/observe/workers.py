"""Who consumes, seen without asking anybody: heartbeats on the event channel, and clients blocked in BRPOP.

Asking workers by remote control writes their answers into Redis, so that is done only on request (`--ask-workers`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tidegate.broker.client import Broker, Listener
from tidegate.broker.envelope import decode
from tidegate.broker.reads import clients
from tidegate.facts.seen import Heartbeat, WorkerAnswer, WorkersSeen
from tidegate.facts.unknown import Maybe, Unknown, known

#: Kombu's clients wait in BRPOP with a timeout of a second or more; while they wait the server marks them blocked.
_WAITING = {"brpop", "blpop", "bzmpop", "blmove"}
_MOST_WORKERS = 10_000
_MOST_COUNTED = 1e15


class _Beats:
    """The first and the last heartbeat of one worker; how many came in between may be anything."""

    def __init__(self, at_s: float, event: dict[str, Any]) -> None:
        self.first_at_s = self.last_at_s = at_s
        self.first = self.last = event
        self.count = 0

    def add(self, at_s: float, event: dict[str, Any]) -> None:
        self.last_at_s, self.last = at_s, event
        self.count += 1


@dataclass(slots=True)
class EventEar:
    """Collects heartbeats and counts task events while the look goes on; never waits, never raises for odd payloads."""

    listener: Listener
    beats: dict[str, _Beats] = field(default_factory=dict)
    task_events: int = 0

    def take(self, at_s: float) -> None:
        """Takes in what was published since the last call."""
        for channel, payload in self.listener.heard():
            kind = channel.rpartition("/")[2]
            if kind.startswith("task"):
                self.task_events += 1
            elif kind.startswith("worker"):
                for event in _events(payload):
                    self._note(at_s, event)

    def _note(self, at_s: float, event: dict[str, Any]) -> None:
        host = event.get("hostname")
        if isinstance(host, str) and (host in self.beats or len(self.beats) < _MOST_WORKERS):
            self.beats.setdefault(host, _Beats(at_s, event)).add(at_s, event)

    def heartbeats(self) -> Maybe[tuple[Heartbeat, ...]]:
        """One row a worker heard; unknown where the user may not subscribe."""
        if self.listener.refused is not None:
            return Unknown(
                f"the event channel can't be heard ({self.listener.refused}): grant +psubscribe and the channels &*celeryev*"
            )
        return tuple(_heartbeat(host, beats) for host, beats in sorted(self.beats.items()))


def _events(payload: bytes) -> Iterable[dict[str, Any]]:
    """The events of one pub/sub message: Kombu's envelope around JSON, base64 or not; odd ones are passed over."""
    body = decode(payload).body
    rows = body if isinstance(body, list) else [body]
    return [row for row in rows if isinstance(row, dict) and row.get("type") != "worker-offline"]


def _heartbeat(host: str, beats: _Beats) -> Heartbeat:
    return Heartbeat(
        hostname=host,
        first_at_s=beats.first_at_s,
        last_at_s=beats.last_at_s,
        first_processed=_number(beats.first.get("processed")),
        last_processed=_number(beats.last.get("processed")),
        active=_number(beats.last.get("active")),
        beats=beats.count,
        every_s=float(_number(beats.last.get("freq")) or 2),
    )


def _number(value: object) -> int:
    """The count in a heartbeat; 0 for what can't be one, as NaN or a number of a thousand digits."""
    return int(value) if isinstance(value, (int, float)) and 0 <= value < _MOST_COUNTED else 0


def blocked_consumers(broker: Broker) -> Maybe[int]:
    """How many clients wait for messages in this database; one CLIENT LIST."""
    rows = clients(broker)
    if not known(rows):
        return rows
    return sum(row.get("cmd") in _WAITING and row.get("db") == str(broker.address.db) for row in rows)


def seen_workers(
    broker: Broker, ear: EventEar, listened_s: float, answers: Maybe[tuple[WorkerAnswer, ...]]
) -> WorkersSeen:
    """Everything known of the workers after the window; one CLIENT LIST."""
    heard = ear.listener.refused is None
    return WorkersSeen(
        heartbeats=ear.heartbeats(),
        listened_s=listened_s,
        blocked_consumers=blocked_consumers(broker),
        task_events=ear.task_events if heard else Unknown("the event channel can't be heard"),
        answers=answers,
    )


def ask_workers(app: Any, timeout_s: float) -> tuple[WorkerAnswer, ...]:
    """What every worker answers to `stats` and `active_queues`; writes a reply list into Redis and removes it again."""
    inspector = app.control.inspect(timeout=timeout_s)
    stats = inspector.stats() or {}
    queues = inspector.active_queues() or {}
    return tuple(
        WorkerAnswer(
            hostname=host,
            slots=row.get("pool", {}).get("max-concurrency"),
            prefetch=row.get("prefetch_count"),
            queues=tuple(queue["name"] for queue in queues.get(host) or ()),
        )
        for host, row in sorted(stats.items())
    )
