"""One instant of the broker: the server, the depth and weight of every queue, what workers hold unacknowledged."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tidegate.broker.client import Broker
from tidegate.broker.envelope import open_label, open_unacked
from tidegate.broker.keys import PRIORITY_STEPS
from tidegate.broker.reads import bytes_of, config, lengths, taken
from tidegate.facts.message import Label
from tidegate.facts.seen import QueueSeen, ServerSeen, SetAside, UnackedSeen
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.observe.aside import lists_aside, see_aside
from tidegate.observe.keyspace import Binding

#: Unacknowledged messages that are read; beyond it the rest is scaled up from the oldest.
_MOST_UNACKED = 500


def see_server(broker: Broker, fields: Maybe[Mapping[str, str]]) -> ServerSeen:
    """The server's account of itself from INFO; two CONFIG GET on top."""
    settings = config(broker, "save", "maxmemory-policy")
    number = _Numbers(fields)
    return ServerSeen(
        url=broker.address.shown,
        db=broker.address.db,
        server=_name(fields),
        version=_version(fields),
        used_memory_bytes=number("used_memory"),
        rss_bytes=number("used_memory_rss"),
        buffers_bytes=number("used_memory_overhead"),
        maxmemory_bytes=number("maxmemory"),
        system_memory_bytes=number("total_system_memory"),
        maxmemory_policy=_text(fields, settings, "maxmemory_policy", "maxmemory-policy"),
        aof_enabled=_flag(number("aof_enabled")),
        rdb_save=settings.get("save", "") if known(settings) else settings,
        evicted_keys=number("evicted_keys"),
        keys_by_db=_keys_by_db(fields),
    )


class _Numbers:
    def __init__(self, fields: Maybe[Mapping[str, str]]) -> None:
        self._fields = fields

    def __call__(self, name: str) -> Maybe[int]:
        text = _field(self._fields, name)
        if not known(text):
            return text
        return int(text) if text.isdigit() else Unknown(f"INFO says {name}:{text}")


def _field(fields: Maybe[Mapping[str, str]], name: str) -> Maybe[str]:
    if not known(fields):
        return fields
    return fields.get(name) or Unknown(f"INFO has no {name}")


def _flag(number: Maybe[int]) -> Maybe[bool]:
    return bool(number) if known(number) else number


def _name(fields: Maybe[Mapping[str, str]]) -> Maybe[str]:
    if not known(fields):
        return fields
    return fields.get("server_name") or ("valkey" if "valkey_version" in fields else "redis")


def _version(fields: Maybe[Mapping[str, str]]) -> Maybe[str]:
    # Valkey reports the Redis version it is compatible with beside its own.
    own = _field(fields, "valkey_version")
    return own if known(own) else _field(fields, "redis_version")


def _text(fields: Maybe[Mapping[str, str]], settings: Maybe[Mapping[str, str]], name: str, setting: str) -> Maybe[str]:
    from_info = _field(fields, name)
    if known(from_info) or not known(settings):
        return from_info
    return settings.get(setting) or from_info


def _keys_by_db(fields: Maybe[Mapping[str, str]]) -> Maybe[Mapping[int, int]]:
    if not known(fields):
        return fields
    rows = {key[2:]: text for key, text in fields.items() if key.startswith("db") and text.startswith("keys=")}
    return {int(db): int(text[5:].split(",")[0]) for db, text in rows.items() if db.isdigit()}


def see_queues(broker: Broker, names: Sequence[str]) -> tuple[QueueSeen, ...]:
    """Depth, weight, newest and oldest message of every queue; ten LLEN a queue, and four commands where it holds any.

    What an act has set aside is among them: one command more, and see `see_aside`.
    """
    layout = broker.layout
    aside = see_aside(broker, names)
    depths = lengths(broker, [layout.list_of(name, step) for name in names for step in PRIORITY_STEPS])
    width = len(PRIORITY_STEPS)
    return tuple(
        _queue(broker, name, depths[i * width : (i + 1) * width], aside.get(name)) for i, name in enumerate(names)
    )


def _queue(broker: Broker, name: str, depths: Sequence[Maybe[int]], aside: Maybe[SetAside | None]) -> QueueSeen:
    problem = next((depth for depth in depths if not known(depth)), None)
    if problem is not None:
        return QueueSeen(name=name, depth=problem, bytes=problem, bytes_per_message=problem, set_aside=aside)
    listed = {step: depth for step, depth in zip(PRIORITY_STEPS, depths, strict=True) if known(depth) and depth}
    hidden = aside.by_priority if isinstance(aside, SetAside) else {}
    by_priority = {step: listed.get(step, 0) + hidden.get(step, 0) for step in sorted({*listed, *hidden})}
    if not by_priority:
        why = Unknown("the queue is empty")
        return QueueSeen(name=name, depth=0, by_priority={}, bytes=0, bytes_per_message=why, set_aside=aside)
    keys = [broker.layout.list_of(name, step) for step in listed] + (lists_aside(broker, name) if hidden else [])
    return replace(_held(broker, name, by_priority, keys), set_aside=aside)


def _held(broker: Broker, name: str, by_priority: Mapping[int, int], keys: Sequence[str]) -> QueueSeen:
    depth = sum(by_priority.values())
    weights = bytes_of(broker, keys)
    weight = sum(weight for weight in weights if known(weight)) if all(map(known, weights)) else _first_unknown(weights)
    if known(weight) and not weight:
        # Deeper than zero a moment ago: workers have taken the last message since.
        weight = Unknown("the queue was emptied while it was looked at")
    heavy = known(weight) and weight / depth > 1 << 20
    # The most urgent list is served first, so its tail is the message that leaves next.
    ends = [] if heavy else broker.ask(("LINDEX", keys[0], -1), ("LINDEX", keys[0], 0))
    oldest, newest = ([open_label(end) if isinstance(end, bytes) else None for end in ends] or [None, None])[:2]
    return QueueSeen(
        name=name,
        depth=depth,
        by_priority=by_priority,
        bytes=weight,
        bytes_per_message=weight / depth if known(weight) else weight,
        oldest=oldest,
        newest=newest,
    )


def _first_unknown(values: Sequence[Maybe[int]]) -> Unknown:
    return next(value for value in values if isinstance(value, Unknown))


def see_unacked(broker: Broker, bindings: Sequence[Binding], series: Sequence[tuple[float, int]]) -> UnackedSeen:
    """What workers hold, deferred messages told apart; three commands. `series` is (seconds, count) over the window."""
    rows = taken(broker, _MOST_UNACKED)
    if not known(rows.count):
        return UnackedSeen(count=rows.count)
    labels = [(at, *open_unacked(value)) for at, value in rows.rows]
    if rows.count and not labels:
        why = Unknown("the unacknowledged messages could not be read")
        return UnackedSeen(count=rows.count, deferred=why, by_queue=why, oldest_age_s=why)
    now = time.time()
    running = [at for at, label, _, _ in labels if not _is_deferred(label, now)]
    etas = [label.eta_at - now for _, label, _, _ in labels if isinstance(label, Label) and label.eta_at]
    scale = rows.count / len(labels) if labels else 0.0
    return UnackedSeen(
        count=rows.count,
        looked_at=len(labels),
        deferred=round((len(labels) - len(running)) * scale),
        by_queue=_by_queue(labels, bindings, scale),
        oldest_age_s=now - min(at for at, *_ in labels) if labels else None,
        oldest_running_age_s=now - min(running) if running else None,
        furthest_eta_s=max(etas, default=None),
        growth_per_s=_slope(series),
    )


def _is_deferred(label: object, now: float) -> bool:
    return isinstance(label, Label) and label.eta_at is not None and label.eta_at > now


def _by_queue(
    labels: Sequence[tuple[float, object, str, str]], bindings: Sequence[Binding], scale: float
) -> Mapping[str, int]:
    routes = {(binding.exchange, binding.routing_key): binding.queue for binding in bindings}
    # The default exchange routes by the queue's own name.
    counts = Counter(routes.get((exchange, key), key or exchange) for _, _, exchange, key in labels)
    return {queue: round(count * scale) for queue, count in counts.items()}


def _slope(series: Sequence[tuple[float, int]]) -> Maybe[float]:
    if len(series) < 3 or series[-1][0] <= series[0][0]:
        return Unknown("not watched long enough")
    return (series[-1][1] - series[0][1]) / (series[-1][0] - series[0][0])
