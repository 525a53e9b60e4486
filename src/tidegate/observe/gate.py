"""The gate as it shows in Redis: what it counted, which marks and firings are open, who of the workers has it.

Read only and bounded: where the gate is not in use four commands, else a dozen, and twenty LLEN and ten HMGET a queue.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.broker import gate as keys
from tidegate.broker.client import Broker
from tidegate.broker.keys import Layout
from tidegate.broker.spilled import OnDisk, keeper_said, on_disk
from tidegate.facts.gate import Outcome
from tidegate.facts.gated import FiringsSeen, GateSeen, GateSettings, MarkSeen, MarkState, SideSeen, WorkerGated
from tidegate.facts.unknown import Maybe, known
from tidegate.observe.measured import broker_time

Counts = Mapping[tuple[str, str], int]
#: What is put behind a queue's name for its dead letters, where no application says another one.
_DEAD = ".dead"
#: `<worker>/<session>`; what is no name of ours may not even be encodable.
_HOLDER = re.compile(r"[\w./:@-]{0,200}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Before:
    """What was there when the window began."""

    counts: Maybe[Counts]
    spilled: Mapping[str, Maybe[int]]


def before(broker: Broker, queues: Sequence[str]) -> Before:
    """What is compared with the end of the window; see the module for the cost."""
    used = keys.in_use(broker)
    if not known(used):
        return Before(used, {})
    return Before(_counts(broker) if used else {}, _spilled(broker, queues, on_disk(broker, queues)) if used else {})


def see_gate(broker: Broker, queues: Sequence[str], settings: Maybe[GateSettings], was: Before) -> GateSeen:
    """Everything the gate left there, with what changed since `was`; see the module for the cost."""
    used = keys.in_use(broker)
    if not known(used):
        return GateSeen(in_use=used, settings=settings)
    counts: Maybe[Counts] = _counts(broker) if used else {}
    dead = _dead_letter_queues(queues, settings, counts)
    keeper, store = _keeper(broker) if used else (None, "")
    nodes = keys.fields_of(broker, keys.NODES) if used else {}
    marks, unreadable = _marks(broker, nodes) if used else ((), 0)
    return GateSeen(
        in_use=used,
        settings=settings,
        counts=counts,
        counts_before=was.counts,
        sides=_sides(broker, queues, dead, used, store),
        spilled_before=was.spilled,
        marks=marks,
        marks_total=keys.size_of(broker, keys.MARKS) if used else 0,
        unreadable=unreadable,
        firings=_firings(broker) if used else (),
        workers=_workers(broker, nodes) if known(nodes) else nodes,
        keeper=keeper,
    )


def _counts(broker: Broker) -> Maybe[Counts]:
    """Counts by (outcome, queue), and by (`open`, why)."""
    fields = keys.fields_of(broker, keys.COUNTS)
    if not known(fields):
        return fields
    parted = ((field.partition("|"), value) for field, value in fields.items())
    return {(what, where): int(value) for (what, bar, where), value in parted if bar and value.isdigit()}


def _dead_letter_queues(
    queues: Iterable[str], settings: Maybe[GateSettings], counts: Maybe[Counts]
) -> Mapping[str, str]:
    """The dead-letter queue of every queue that has one, as far as it shows."""
    if known(settings):
        bounds = {queue: settings.bound_of(queue) for queue in queues}
        return {queue: bound.dead_letter for queue, bound in bounds.items() if bound is not None and bound.dead_letter}
    if not known(counts):
        return {}
    return {queue: queue + _DEAD for what, queue in counts if what == Outcome.DEAD_LETTERED}


def _sides(
    broker: Broker, queues: Sequence[str], dead: Mapping[str, str], used: bool, store: str
) -> Mapping[str, SideSeen]:
    disks = on_disk(broker, queues) if used else {}
    spilled = _spilled(broker, queues, disks) if used else {}
    depths = keys.depths_of(broker, list(dict.fromkeys(dead.values())))
    return {
        queue: SideSeen(
            spilled=spilled.get(queue, 0),
            **_of_disk(disks.get(queue, OnDisk()), store),
            dead_letter=dead.get(queue, ""),
            dead_letters=depths[dead[queue]] if queue in dead else None,
        )
        for queue in queues
    }


def _spilled(broker: Broker, queues: Sequence[str], disks: Mapping[str, Maybe[OnDisk]]) -> dict[str, Maybe[int]]:
    """Everything that waits beside each queue: in its side lists, on disk, and back from there."""
    sides = keys.spilled(broker, queues)
    return {queue: _with(side, disks[queue]) for queue, side in sides.items()}


def _with(side: Maybe[int], disk: Maybe[OnDisk]) -> Maybe[int]:
    if not known(disk):
        return disk
    return side + disk.messages + disk.in_front if known(side) else side


def _of_disk(disk: Maybe[OnDisk], store: str) -> dict[str, Any]:
    """`store` is the one of the keeper that acts, "" where that is not known."""
    if not known(disk):
        return {"on_disk": disk}
    others = [each for each in disk.disks if store and each.store and each.store != store]
    return {
        "on_disk": disk.messages,
        "where": disk.where,
        "disk_full": disk.full,
        "elsewhere": sum(each.messages for each in others),
        "elsewhere_at": next((each.where for each in others), ""),
    }


def _keeper(broker: Broker) -> tuple[Maybe[str | None], str]:
    """`node:directory` of the keeper that acts, and the id of its store ("" where it does not say)."""
    said = keeper_said(broker)
    if not known(said) or said is None:
        return said, ""
    value = _object(said.encode("utf-8", "surrogateescape")) or {}
    return f"{value.get('node', '?')}:{value.get('dir', '?')}", str(value.get("store", ""))


def _marks(broker: Broker, nodes: Maybe[Mapping[str, bytes]]) -> tuple[Maybe[tuple[MarkSeen, ...]], int]:
    """The marks, those first whose holder is dead, then the oldest; and how many can't be read."""
    fields = keys.fields_of(broker, keys.MARKS)
    if not known(fields):
        return fields, 0
    now_s = broker_time(broker)
    rows = [(key, _mark(_object(value))) for key, value in fields.items()]
    read = {key: mark for key, mark in rows if mark is not None}
    said = keys.workers_said(broker, sorted({mark.worker for mark in read.values() if mark.worker}))
    names = _names(nodes)
    seen = [mark.seen(key, broker.layout, now_s, names, said) for key, mark in read.items()]
    seen.sort(key=lambda mark: (mark.alive is not False, -mark.age_s, mark.key))
    return tuple(seen), len(rows) - len(read)


@dataclass(frozen=True, slots=True)
class _Mark:
    """A mark as it is stored; times in milliseconds."""

    id: str
    list: str
    state: MarkState
    at: float
    changed: float
    worker: str

    def seen(
        self, key: str, layout: Layout, now_s: float, names: Mapping[str, str], said: Maybe[Mapping[str, bytes]]
    ) -> MarkSeen:
        """As a look saw it; the worker by its node where that is known."""
        alive: Maybe[bool | None] = None
        if self.worker:
            alive = self.worker in said if known(said) else said
        return MarkSeen(
            key=key,
            id=self.id,
            queue=layout.without_step(self.list.removeprefix(layout.prefix)),
            state=self.state,
            age_s=max(0.0, now_s - self.at / 1000),
            since_s=max(0.0, now_s - self.changed / 1000),
            worker=names.get(self.worker, self.worker) or None,
            alive=alive,
        )


def _mark(stored: Mapping[str, Any] | None) -> _Mark | None:
    """None for what nobody of ours wrote."""
    if stored is None:
        return None
    texts = [stored.get(name) for name in ("id", "list", "state")]
    at, changed = _number(stored.get("at")), _number(stored.get("changed"))
    if at is None or not all(isinstance(text, str) for text in texts) or texts[2] not in list(MarkState):
        return None
    who = stored.get("who") or ""
    if not isinstance(who, str) or not _HOLDER.fullmatch(who):
        return None
    return _Mark(
        id=str(texts[0]),
        list=str(texts[1]),
        state=MarkState(texts[2]),
        at=at,
        changed=at if changed is None else changed,
        worker=who.partition("/")[0],
    )


def _firings(broker: Broker) -> Maybe[tuple[FiringsSeen, ...]]:
    fields = keys.fields_of(broker, keys.FIRINGS)
    if not known(fields):
        return fields
    now_s = broker_time(broker)
    rows = [_firing(entry, _object(value) or {}, now_s) for entry, value in fields.items()]
    return tuple(sorted(rows, key=lambda row: (-row.open, row.entry)))


def _firing(entry: str, open_ones: Mapping[str, Any], now_s: float) -> FiringsSeen:
    since = [at for value in open_ones.values() if (at := _number(value)) is not None]
    return FiringsSeen(
        entry=entry, open=len(open_ones), oldest_age_s=max(0.0, now_s - min(since) / 1000) if since else None
    )


def _workers(broker: Broker, nodes: Mapping[str, bytes]) -> Maybe[tuple[WorkerGated, ...]]:
    ids = {node: value.decode("utf-8", "replace") for node, value in nodes.items()}
    said = keys.workers_said(broker, sorted(set(ids.values())))
    if not known(said):
        return said
    return tuple(_worker(node, id_, said.get(id_)) for node, id_ in sorted(ids.items()))


def _worker(node: str, id_: str, said: bytes | None) -> WorkerGated:
    running = (_object(said) or {}).get("running") if said is not None else None
    return WorkerGated(
        node=node, id=id_, alive=said is not None, running=len(running) if isinstance(running, (list, dict)) else 0
    )


def _names(nodes: Maybe[Mapping[str, bytes]]) -> Mapping[str, str]:
    """Worker id → node name."""
    return {value.decode("utf-8", "replace"): node for node, value in nodes.items()} if known(nodes) else {}


def _object(value: bytes) -> Mapping[str, Any] | None:
    try:
        decoded = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return decoded if isinstance(decoded, dict) else None


def _number(value: object) -> float | None:
    """The milliseconds of a time; None for what is none."""
    fits = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e15
    return float(value) if fits else None  # type: ignore[arg-type]
