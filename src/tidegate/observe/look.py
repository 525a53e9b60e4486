"""One look at a broker, from first command to last: everything the model needs, and what it cost."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tidegate.broker.client import Broker
from tidegate.broker.reads import info
from tidegate.errors import AccessDenied, NotAQueue, NothingFound
from tidegate.facts.gated import GateSettings
from tidegate.facts.scheduled import BeatSeen, Rules
from tidegate.facts.seen import AppSeen, CensusSeen, FlowSeen, Look, QueueSeen, ServerSeen, SetAside, WorkerAnswer
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.observe.aside import lists_aside
from tidegate.observe.beat import see_ours
from tidegate.observe.cost import cost_between
from tidegate.observe.flow import FlowMeter
from tidegate.observe.gate import before, see_gate
from tidegate.observe.keyspace import DEFAULT_KEYS, Discovery, discover
from tidegate.observe.sampling import GLANCE, sample_census
from tidegate.observe.snapshot import see_queues, see_server, see_unacked
from tidegate.observe.workers import EventEar, seen_workers

#: Called with (seconds done, seconds in all, total depth at present).
Progress = Callable[[float, float, int], None]
_HEAVY_BYTES = 1 << 20
_NO_SCHEDULE = Unknown("no application was named (-A)")
_NO_APP = Unknown("no application was named: with -A its settings say what is bounded")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to look at and how long. `queues` empty: all that can be found; more are followed where named."""

    window_s: float = 10.0
    queues: Sequence[str] = ()
    at_most_keys: int = DEFAULT_KEYS
    censuses: bool = True
    app: AppSeen | None = None
    gate: Maybe[GateSettings] = _NO_APP
    rules: Maybe[Rules] = _NO_SCHEDULE
    ask: Callable[[], tuple[WorkerAnswer, ...]] | None = field(default=None)


def take_look(broker: Broker, options: Options, progress: Progress | None = None) -> Look:
    """Everything seen over one window; writes nothing. Raises NothingFound where there is no queue to look at.

    Costs some hundred commands and the polls of the flow meter (`FlowMeter`); the look says what it spent.
    """
    began, at = time.monotonic(), time.time()
    first = info(broker)
    found = discover(broker, options.at_most_keys)
    names = _names(broker, first, found, options)
    queues = see_queues(broker, names)
    _must_exist(queues, found, options)
    gate_before = before(broker, names)
    meter = _meter(broker, queues)
    ear = EventEar(broker.listen(broker.layout.events_pattern(broker.address.db)))
    try:
        watched = _watch(meter, ear, options.window_s, progress)
        workers = seen_workers(broker, ear, watched, _answers(options))
    finally:
        ear.listener.close()
    after, queues_at = see_queues(broker, names), time.time()
    censuses = _censuses(broker, after) if options.censuses else {}
    unacked = see_unacked(broker, found.bindings, meter.unacked)
    end = info(broker)
    return Look(
        at=at,
        window_s=watched,
        server=see_server(broker, end),
        queues=after,
        flows=_undisturbed(meter.flows(), [*queues, *after]),
        censuses=censuses,
        unacked=unacked,
        workers=workers,
        keyspace=found.keyspace,
        pushes_per_s=meter.pushes_per_s,
        cost=cost_between(broker, first, end, time.monotonic() - began),
        app=options.app,
        visibility_timeout_s=broker.address.visibility_timeout_s,
        queues_at=queues_at,
        gate=see_gate(broker, names, options.gate, gate_before),
        rules=options.rules,
        beat=_beat(broker, options),
    )


def _beat(broker: Broker, options: Options) -> Maybe[BeatSeen | None]:
    if not known(options.rules) or options.app is None or not known(options.app.entries):
        return Unknown("the entries of the schedule can't be read")
    return see_ours(broker, options.rules, [entry.name for entry in options.app.entries])


def _names(broker: Broker, first: Maybe[Mapping[str, str]], found: Discovery, options: Options) -> list[str]:
    app_queues = options.app.queues if options.app else ()
    names = list(dict.fromkeys([*options.queues] if options.queues else [*found.queues, *app_queues]))
    if not names:
        raise NothingFound(_nothing(see_server(broker, first), found, broker.layout.prefix))
    return names


def _must_exist(queues: Sequence[QueueSeen], found: Discovery, options: Options) -> None:
    """A queue that was named must hold something or be bound: a misspelt one is empty, and would pass for fine.

    After a walk that ended early nothing can be said of a queue that is not bound.
    """
    everywhere = not isinstance(found.keyspace, Unknown) and found.keyspace.complete
    wanted = {queue.name for queue in queues if queue.name in options.queues and known(queue.depth) and not queue.depth}
    for name in sorted(wanted - {*found.queues, *(options.app.queues if options.app else ())}):
        if everywhere:
            raise NothingFound(f"no queue {name!r}: it is neither bound nor holds a message; {found.hint(name)}")


def _nothing(server: ServerSeen, found: Discovery, prefix: str) -> str:
    if not known(found.keyspace):
        where = f"database {server.db} of {server.url}"
        return f"queues can't be searched for in {where} ({found.keyspace.why}); name one with --queue"
    text = f"no Celery queue in database {server.db} of {server.url}"
    others = [other for other in found.keyspace.key_prefixes if other != prefix]
    if "" in others:
        return f"{text} behind the key prefix {prefix!r}, but one without a prefix: leave global_keyprefix out"
    if others:
        shown = ", ".join(map(repr, others[:3]))
        return f"{text}, but one behind the key prefix {shown}: pass --transport-options '{{\"global_keyprefix\": …}}'"
    by_db = server.keys_by_db if known(server.keys_by_db) else {}
    elsewhere = [f"{db} ({count:,} keys)" for db, count in sorted(by_db.items()) if db != server.db]
    if elsewhere:
        return f"{text}; look into database {', '.join(elsewhere)}, or name a queue with --queue"
    return f"{text}: it holds none yet, or they are elsewhere; name a queue with --queue"


def _meter(broker: Broker, queues: Sequence[QueueSeen]) -> FlowMeter:
    heavy = [q.name for q in queues if known(q.bytes_per_message) and q.bytes_per_message > _HEAVY_BYTES]
    return FlowMeter(broker, {queue.name: _lists(broker, queue) for queue in queues if known(queue.depth)}, heavy)


def _lists(broker: Broker, queue: QueueSeen) -> list[str]:
    """The lists to follow: the plain one, and of the priority lists Kombu's default steps and those in use."""
    steps = sorted({0, 3, 6, 9} | set(queue.by_priority))
    return [broker.layout.list_of(queue.name, step) for step in steps]


def _watch(meter: FlowMeter, ear: EventEar, window_s: float, progress: Progress | None) -> float:
    """Polls until the window is over, at even times; returns how long it really was."""
    began = time.monotonic()
    due = 0.0
    while True:
        at_s = time.monotonic() - began
        meter.poll(at_s)
        ear.take(at_s)
        if progress is not None:
            progress(min(at_s, window_s), window_s, meter.depth)
        if at_s >= window_s:
            return at_s
        due = max(due + meter.interval_s, at_s)
        time.sleep(max(0.0, min(due, window_s) - (time.monotonic() - began)))


def _undisturbed(flows: Mapping[str, FlowSeen], queues: Iterable[QueueSeen]) -> dict[str, FlowSeen]:
    """The flows, save those of queues that an act has: what it moves looks like messages that come and leave."""
    acts = {queue.name: queue.set_aside for queue in queues if isinstance(queue.set_aside, SetAside)}
    moved = {name: Unknown(f"the act {aside.id} moves its messages") for name, aside in acts.items()}
    return {name: FlowSeen(problem=moved[name]) if name in moved else flow for name, flow in flows.items()}


def _censuses(broker: Broker, queues: Iterable[QueueSeen]) -> dict[str, CensusSeen]:
    result = {}
    for queue in queues:
        if known(queue.depth) and queue.depth:
            keys = [broker.layout.list_of(queue.name, step) for step in queue.by_priority]
            keys += lists_aside(broker, queue.name) if queue.set_aside else []
            # A list that may be counted and not read has no census; everything else is still worth saying.
            with suppress(AccessDenied, NotAQueue):
                result[queue.name] = sample_census(broker, queue.name, keys, GLANCE)
    return result


def _answers(options: Options) -> Maybe[tuple[WorkerAnswer, ...]]:
    if options.ask is None:
        return Unknown("workers were not asked: --ask-workers does, and writes their answers into Redis")
    return options.ask()
