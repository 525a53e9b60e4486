"""What dead workers hold goes back into its queues at once, and not after the visibility timeout.

Only with proof (`proving`), and each message only if it is held as it was: a worker that died holds it until somebody
takes it from there, and whoever is faster has it. It goes to the end that is consumed, the oldest last, marked as
redelivered as Kombu does it; a guarded one takes its mark again, or is dropped where a newer run of its key is pending.
"""

import difflib
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, NamedTuple

from kombu.utils.encoding import bytes_to_str
from kombu.utils.json import dumps, loads

from tidegate.act import journal
from tidegate.act.beat.ordering import who_acts
from tidegate.act.gate.holding import guard_in, said
from tidegate.act.relief.proving import Listening, judge_workers, nobody_holds
from tidegate.act.relief.revoking import revoke_results
from tidegate.broker import unacked
from tidegate.broker.client import Broker, Refusal, as_text, connect
from tidegate.broker.scripts import RELIEF_PUT_BACK, RELIEF_RESTORE, Argument, Script, run_by
from tidegate.broker.unacked import Taken
from tidegate.errors import CannotLook, NothingFound, Refused
from tidegate.facts.journal import JournalEntry
from tidegate.facts.relief import Act
from tidegate.facts.unacked import DeadWorker, PutBack
from tidegate.observe.keyspace import discover
from tidegate.observe.measured import broker_time
from tidegate.observe.unacked import Worker, queue_of, queues_of, routes, see_workers
from tidegate.units import plural

_AT_ONCE = 100
_PLAIN, _NEITHER = ("plain", ""), ("", "")
_BACK, _SUPERSEDED, _GONE, _UNREADABLE = "put_back", "superseded", "gone", "unreadable"
#: Kombu's priority steps, where a message does not say from which list it was taken.
_STEPS = (9, 6, 3, 0)

Progress = Callable[[int, int], None]


class _Ready(NamedTuple):
    """A message as it goes back. `guard` is what the scripts want to know of a guarded one."""

    taken: Taken
    queue: str
    element: str
    task: str
    guard: Sequence[Argument] | None


@dataclass(frozen=True, slots=True)
class Found:
    """What may be put back: the newest first, with whose it was, and what is left alone."""

    rows: Sequence[Taken]
    workers: tuple[DeadWorker, ...]
    notes: tuple[str, ...]


def put_back(
    broker: Broker,
    node: str | None = None,
    *,
    dry_run: bool = True,
    app: Any = None,
    listening: Listening | None = None,
    progress: Progress | None = None,
) -> PutBack:
    """Puts back what the worker of that name holds, or every dead one; what was, or would be, done.

    Raises Refused where no worker is proved dead, NothingFound where none has that name. A dry run writes nothing. With
    the application, the result of a message that was superseded meanwhile is set, too.
    """
    found = _of_worker(broker, node, listening) if node else _of_all(broker, listening)
    result = PutBack(found=len(found.rows), workers=found.workers, notes=found.notes, dry_run=dry_run)
    if dry_run:
        return replace(result, by_queue=_queues(broker, found.rows))
    counts: Counter[str] = Counter()
    by_queue: Counter[str] = Counter()
    try:
        for done, (outcome, queue) in enumerate(_all_put_back(broker, found.rows, app), 1):
            counts[outcome] += 1
            by_queue[queue] += outcome == _BACK
            if progress is not None:
                progress(done, len(found.rows))
    finally:
        _journaled(broker, by_queue, found.workers)
    return replace(
        result,
        put_back=counts[_BACK],
        superseded=counts[_SUPERSEDED],
        gone=counts[_GONE],
        unreadable=counts[_UNREADABLE],
        by_queue=dict(+by_queue),
    )


def _of_worker(broker: Broker, node: str, listening: Listening | None) -> Found:
    workers = see_workers(broker)
    mine = [worker for worker in workers if worker.node == node]
    if not mine:
        raise NothingFound(_unknown_worker(node, workers))
    held = _held_by(broker, mine)
    verdicts = judge_workers(broker, [worker for worker in mine if worker.id in held], listening)
    if held and not verdicts.dead:
        why = "; ".join(dict.fromkeys(verdicts.others.values()))
        raise Refused(
            f"{node} is not proved dead: {why}. A proof is its process gone, seen on its own machine, or from another one "
            f"15 s of silence; then try again"
        )
    return Found(*_left_by(mine, held, verdicts.dead), ())


def _unknown_worker(node: str, workers: Sequence[Worker]) -> str:
    names = sorted({worker.node for worker in workers})
    near = difflib.get_close_matches(node, names, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names[:10]) or 'none'}"
    return (
        f"no worker {node!r} with the gate was there within a day, and of others it is not known what they hold; {hint}"
    )


def _of_all(broker: Broker, listening: Listening | None) -> Found:
    workers = see_workers(broker)
    held = _held_by(broker, workers)
    verdicts = judge_workers(broker, [worker for worker in workers if worker.id in held], listening)
    rows, dead = _left_by(workers, held, verdicts.dead)
    kept = sum(len(held[id_]) for id_ in verdicts.others)
    notes: tuple[str, ...] = (
        (f"left alone, for workers not proved dead hold them: {plural(kept, 'message')}",) if kept else ()
    )
    others = _others(broker, {(row.tag, row.score) for own in held.values() for row in own})
    if not others:
        return Found(rows, dead, notes)
    why_not = nobody_holds(broker, listening)
    if not why_not:
        return Found(sorted([*rows, *others], key=lambda row: -row.score), (*dead, _nobody(others)), notes)
    unknown = f"of {plural(len(others), 'held message')} it is not recorded who holds them, and {why_not}"
    if not rows:
        raise Refused(
            f"{unknown}. A proof is that nobody is connected who could: stop workers and publishers of this database, or "
            f"wait for the visibility timeout"
        )
    return Found(rows, dead, (*notes, f"left alone: {unknown}"))


def _others(broker: Broker, owned: Container[tuple[str, float]]) -> list[Taken]:
    """The held messages of which nobody knows who holds them."""
    return [row for portion in unacked.portions(broker) for row in portion if (row.tag, row.score) not in owned]


def _nobody(others: Sequence[Taken]) -> DeadWorker:
    why = "no other client is connected to the database, so nobody holds them"
    return DeadWorker(worker="", node="", why=why, messages=len(others))


def _held_by(broker: Broker, workers: Sequence[Worker]) -> dict[str, list[Taken]]:
    """Worker id → what it took and still holds, of those that hold anything."""
    taken = unacked.took(broker, [worker.id for worker in workers])
    return {id_: held for id_, rows in taken.items() if (held := unacked.still_held(broker, rows))}


def _left_by(
    workers: Sequence[Worker], held: Mapping[str, list[Taken]], dead: Mapping[str, str]
) -> tuple[list[Taken], tuple[DeadWorker, ...]]:
    """What the dead ones hold, newest first, and how much is whose."""
    rows = [row for id_ in dead for row in held[id_]]
    named = [
        DeadWorker(worker=worker.id, node=worker.node, why=dead[worker.id], messages=len(held[worker.id]))
        for worker in workers
        if worker.id in dead
    ]
    return sorted(rows, key=lambda row: -row.score), tuple(named)


def _queues(broker: Broker, rows: Sequence[Taken]) -> Mapping[str, int]:
    return dict(Counter(row.queue for batch in _batches(broker, rows) for row in batch if isinstance(row, _Ready)))


def _batches(broker: Broker, rows: Sequence[Taken]) -> Iterator[list[_Ready | str]]:
    """The messages as they go back, newest first, or what became of those that don't."""
    tables: dict[tuple[str, str], list[str]] | None = None
    for first in range(0, len(rows), _AT_ONCE):
        part = rows[first : first + _AT_ONCE]
        if tables is None and any(not row.list for row in part):
            tables = routes(discover(broker).bindings)
        values = unacked.values(broker, [row.tag for row in part])
        yield [
            _GONE if value is None else _ready(broker, row, value, tables or {})
            for row, value in zip(part, values, strict=True)
        ]


def _ready(broker: Broker, row: Taken, value: bytes, tables: Mapping[tuple[str, str], Sequence[str]]) -> _Ready | str:
    """As Kombu's restore makes it: with its own JSON, flagged twice."""
    try:
        message, exchange, key = loads(bytes_to_str(value))
        headers, info = message["headers"], message["properties"]["delivery_info"]
        headers["redelivered"] = info["redelivered"] = True
        guard = guard_in(message)
        placed = row if row.list else _placed(broker, row, message, queues_of(exchange, key, tables))
        if placed is None:
            return _UNREADABLE
        task, of_guard = str(headers.get("task"))[:300], None if guard is None else said(guard, headers)
        return _Ready(placed, queue_of(broker, placed.list), dumps(message), task, of_guard)
    except Exception:  # noqa: BLE001  whatever stands in a message
        return _UNREADABLE


def _placed(broker: Broker, row: Taken, message: Any, queues: Sequence[str]) -> Taken | None:
    """With the list that it goes to, where there is one only."""
    if len(queues) != 1 or not queues[0]:
        return None
    priority = message["properties"].get("priority")
    step = next((step for step in _STEPS if isinstance(priority, int) and step <= priority), 0)
    return row._replace(list=broker.layout.list_of(queues[0], step))


def _all_put_back(broker: Broker, rows: Sequence[Taken], app: Any) -> Iterator[tuple[str, str]]:
    """What became of each, and its queue; in turn, so that the order of a queue is kept."""
    for batch in _batches(broker, rows):
        for kind, run in groupby(batch, _kind):
            if kind == _NEITHER:
                yield from ((str(word), "") for word in run)
                continue
            alike = [row for row in run if isinstance(row, _Ready)]
            words = _plain(broker, alike) if kind == _PLAIN else _guarded(broker, alike, app)
            yield from zip(words, (row.queue for row in alike), strict=True)


def _kind(row: _Ready | str) -> tuple[str, str]:
    """Messages of one kind go back in one round trip; guarded ones where they are of one list as well."""
    if isinstance(row, str):
        return _NEITHER
    return _PLAIN if row.guard is None else ("guarded", row.taken.list)


def _plain(broker: Broker, rows: Sequence[_Ready]) -> list[str]:
    [answer] = _run(broker, RELIEF_PUT_BACK, [], _plain_arguments(rows))
    return [_BACK if back else _GONE for back in answer]


def _plain_arguments(rows: Sequence[_Ready]) -> list[Argument]:
    return [
        part for row in rows for part in (row.taken.tag, repr(row.taken.score), row.taken.list, row.queue, row.element)
    ]


def _guarded(broker: Broker, rows: Sequence[_Ready], app: Any) -> list[str]:
    visibility_ms = int(broker.address.visibility_timeout_s * 1000)
    calls = [
        [
            *(row.taken.tag, row.element, "oldest", row.queue, visibility_ms, row.task),
            *(row.guard or ()),
            repr(row.taken.score),
        ]
        for row in rows
    ]
    answers = _run(broker, RELIEF_RESTORE, [rows[0].taken.list], *calls)
    return [_outcome(row, [as_text(part) for part in answer], app) for row, answer in zip(rows, answers, strict=True)]


def _outcome(row: _Ready, answer: Sequence[str], app: Any) -> str:
    if answer[0] == _SUPERSEDED and app is not None:
        revoke_results(app, [row.element.encode()], f"superseded by {answer[1]} while its worker was dead")
    return _BACK if answer[0] == "restored" else answer[0]


def _run(broker: Broker, script: Script, keys: Sequence[str], *calls: Sequence[Argument]) -> list[Any]:
    """The answers to calls of one script, in one round trip."""
    layout = broker.layout
    taken = [layout.unacked_index_key(), layout.unacked_key(), *keys]
    answers = run_by(broker.ask, script, taken, *([layout.prefix, *call] for call in calls))
    refusal = next((answer for answer in answers if isinstance(answer, Refusal)), None)
    if refusal is not None:
        if "OOM" in refusal.why:
            raise Refused("the server is at its memory limit and takes no write: tidegate rescue makes room")
        raise CannotLook(f"messages can't be put back: {refusal.why}")
    return answers


def _journaled(broker: Broker, by_queue: Mapping[str, int], workers: Sequence[DeadWorker]) -> None:
    """A line for every queue; over a connection of its own, for Ctrl-C may have left an answer in the other one."""
    why = "; ".join(f"{one.node or 'nobody'}: {one.why}" for one in workers)[:500]
    done = {queue: many for queue, many in by_queue.items() if many}
    if not done:
        return
    with connect(broker.address, broker.timeout_s) as fresh:
        for queue, many in done.items():
            at_s, what = broker_time(fresh), f"{Act.PUT_BACK.value} {many}"
            entry = JournalEntry(at_s=at_s, act="relief", what=what, queue=queue, why=why, who=who_acts())
            fresh.ask(journal.adding(fresh.layout.prefix, entry))
