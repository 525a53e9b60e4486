"""Relief in one call each: what `tidegate purge`, `move`, `dedupe`, `relief`, `backup` and `rescue` do, for programs.

Without `yes` every act is a dry run, which writes nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tidegate.act.relief import acts as journal
from tidegate.act.relief import backing, engine, newest, putting, restoring
from tidegate.act.relief.arriving import arrival_of
from tidegate.act.relief.engine import After, Order, Progress
from tidegate.act.relief.looking import look_over
from tidegate.act.relief.pace import MAX_STALL_MS
from tidegate.act.relief.releasing import Releasing
from tidegate.act.relief.restoring import Wish
from tidegate.act.rescue.rescuing import plan as plan_rescue
from tidegate.act.rescue.rescuing import rescue
from tidegate.backup.packing import Codec
from tidegate.broker.address import Address
from tidegate.broker.client import Broker, connect
from tidegate.broker.gate import spilled
from tidegate.broker.spilled import on_disk
from tidegate.errors import UsageError
from tidegate.facts.backups import BackedUp, Inspected, Restored
from tidegate.facts.relief import Act, Filter, Relief, Relieved, State
from tidegate.facts.unknown import known
from tidegate.observe.backups import inspect_file
from tidegate.observe.peek import lists_of
from tidegate.units import count, plural

Keep = Literal["oldest", "newest"]
_LOCKS_STAY = (
    "without a backup nobody knows any more whose locks of celery-singleton and celery-once to release: they stay"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How an act is done: only looked at without `yes`, at what pace, and where what goes is written first.

    Of what was removed the locks of celery-singleton and celery-once are released, by the application's own words where
    there is one; with `revoke` its results are set to revoked. Both read the backup, so without one they don't happen.
    """

    yes: bool = False
    backup: Path | None = None
    max_stall_ms: float = MAX_STALL_MS
    timeout_s: float = 5.0
    progress: Progress | None = None
    app: Any = None
    revoke: bool = False


DRY, ALL = How(), Wish()


def purge(address: Address, queue: str, wanted: Filter, how: How = DRY) -> Relieved:
    """Removes what the filter selects, from all priorities of the queue; the rest stays in its order.

    Raises Refused for an empty filter, and where another act has the queue; NothingFound for a queue that is not there.
    """
    return _done(address, Order(queue=queue, act=Act.PURGE, wanted=wanted), how)


def move(address: Address, queue: str, wanted: Filter, to: str, how: How = DRY) -> Relieved:
    """The same, but what is selected goes to the queue `to`, in its order, with its priorities."""
    return _done(address, Order(queue=queue, act=Act.MOVE, wanted=wanted, to=to), how)


def dedupe(
    address: Address, queue: str, keep: Keep = "oldest", wanted: Filter | None = None, how: How = DRY
) -> Relieved:
    """Leaves one message of each task and arguments, of those that the filter selects where one is given."""
    chosen = wanted or Filter()
    kept = replace(chosen, keep_newest=1) if keep == "newest" else replace(chosen, keep_oldest=1)
    return _done(address, Order(queue=queue, act=Act.DEDUPE, wanted=kept), how)


def drain_newest(
    address: Address,
    queue: str,
    for_s: float,
    how: How = DRY,
    *,
    watch: newest.Watch | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Relieved:
    """Lets workers take the newest messages first, for so long or until `stopped` says so; then all is in its order again."""
    if not how.yes:
        with connect(address, how.timeout_s) as broker:
            return newest.looked_over(broker, queue, for_s)
    return newest.drain_newest(address, queue, for_s, timeout_s=how.timeout_s, watch=watch, stopped=stopped)


def acts(address: Address, most: int = 100, *, timeout_s: float = 5.0) -> list[Relief]:
    """The newest acts, the latest first. Writes nothing."""
    with connect(address, timeout_s) as broker:
        return journal.rows_of(broker, most)


def show(address: Address, id_: str, *, timeout_s: float = 5.0) -> Relief:
    """One act; raises NothingFound with the ids there are. Writes nothing."""
    with connect(address, timeout_s) as broker:
        return journal.row_of(broker, id_)


def resume(address: Address, id_: str, how: How = DRY) -> Relieved:
    """Goes on with an interrupted act; raises Refused where its process may still be at work."""
    row = show(address, id_, timeout_s=how.timeout_s)
    if not how.yes:
        return _as_it_is(row)
    if row.act is Act.DRAIN_NEWEST:
        return newest.put_back(address, id_, State.DONE, timeout_s=how.timeout_s)
    if row.act is Act.UNDO:
        return putting.resume_undo(address, id_, timeout_s=how.timeout_s, progress=how.progress)
    if row.act is Act.RESTORE:
        return restoring.relieved(restoring.resume(address, id_, timeout_s=how.timeout_s, progress=how.progress))
    return engine.resume(address, id_, timeout_s=how.timeout_s, progress=how.progress, after=_after(how))


def rollback(address: Address, id_: str, how: How = DRY) -> Relieved:
    """Puts what an interrupted act took away in front of its queue; a restore or a move ends where it is."""
    row = show(address, id_, timeout_s=how.timeout_s)
    if how.yes and row.act is Act.DRAIN_NEWEST:
        return newest.put_back(address, id_, State.ROLLED_BACK, timeout_s=how.timeout_s)
    if how.yes and row.act is Act.RESTORE:
        return restoring.relieved(restoring.give_up(address, id_, timeout_s=how.timeout_s))
    return _or_as_it_is(address, id_, how, putting.rollback)


def undo(address: Address, id_: str, how: How = DRY) -> Relieved:
    """Puts what a finished act removed in front of its queue again, from its backup."""
    return _or_as_it_is(address, id_, how, putting.undo)


def backup(
    address: Address,
    queue: str,
    path: Path,
    *,
    zstd: bool = False,
    timeout_s: float = 5.0,
    progress: Progress | None = None,
) -> BackedUp:
    """Copies what waits in the queue to a new file, while it is in use; writes nothing to the broker.

    Raises Refused where the file can't be made or an act has the queue; NothingFound for a queue that is not there.
    """
    codec = Codec.ZSTD if zstd else Codec.ZLIB
    return backing.back_up(address, queue, path, codec=codec, timeout_s=timeout_s, progress=progress)


def inspect(
    path: Path, number: int = 3, *, newest: bool = False, salvage: bool = False, progress: Progress | None = None
) -> Inspected:
    """The census of a backup and some of its messages. Raises NotABackup, and Damaged unless it is to salvage."""
    return inspect_file(path, number, newest=newest, salvage=salvage, progress=progress)


def restore(
    address: Address, path: Path, wish: Wish = ALL, how: How = DRY, *, stop: Callable[[], bool] = lambda: False
) -> Restored:
    """Puts a backup behind what waits in its queue or another, each message once; `stop` interrupts it."""
    if not how.yes:
        return restoring.look_at(address, path, wish, timeout_s=how.timeout_s, progress=how.progress)
    return restoring.put_back(address, path, wish, timeout_s=how.timeout_s, progress=how.progress, stop=stop)


def _or_as_it_is(address: Address, id_: str, how: How, act: Callable[..., Relieved]) -> Relieved:
    if not how.yes:
        return _as_it_is(show(address, id_, timeout_s=how.timeout_s))
    return act(address, id_, timeout_s=how.timeout_s, progress=how.progress)


def _as_it_is(row: Relief) -> Relieved:
    """What the act did so far."""
    return Relieved(
        id=row.id,
        act=row.act,
        queue=row.queue,
        to=row.to,
        scanned=row.scanned,
        removed=row.removed,
        kept=row.kept,
        backup=row.backup,
    )


def _done(address: Address, order: Order, how: How) -> Relieved:
    engine.must_make_sense(order)
    _must_be_alone(order.wanted)
    if not how.yes:
        with connect(address, how.timeout_s) as broker:
            beside = _beside(broker, order.queue)
            seen = look_over(broker, order.act, order.queue, order.wanted, to=order.to, progress=how.progress)
        return replace(seen, notes=(*seen.notes, *beside))
    with connect(address, how.timeout_s) as broker:
        arrival = arrival_of(broker, order.queue, lists_of(broker, order.queue), order.wanted)
        beside = _beside(broker, order.queue)
    full = replace(order, backup=how.backup, max_stall_ms=how.max_stall_ms, arrival_per_s=arrival)
    done = engine.carry_out(address, full, timeout_s=how.timeout_s, progress=how.progress, after=_after(how))
    locked = how.backup is None and done.removed and order.act is not Act.MOVE
    return replace(done, notes=(*done.notes, *beside, *([_LOCKS_STAY] if locked else [])))


def _beside(broker: Broker, queue: str) -> Sequence[str]:
    """What an act does not go through: spilled messages, which stand in no list of the queue."""
    side, disk = spilled(broker, [queue])[queue], on_disk(broker, [queue])[queue]
    if not known(side) or not known(disk):
        return []
    many = side + disk.messages + disk.in_front
    return [f"{plural(many, 'message')} that spilled wait beside {queue}, and are not gone through"] if many else []


def _after(how: How) -> After:
    """Releases what belongs to removed messages, and settles their results where that is wanted; what it says of it."""

    def after(broker: Broker, wanted: Filter, batches: Iterator[Sequence[bytes]]) -> Sequence[str]:
        alike_stay = wanted.keep_newest is not None or wanted.keep_oldest is not None
        releasing, released, settled = Releasing(broker, how.app, alike_stay=alike_stay), Counter[str](), Counter[str]()
        for elements in batches:
            released += releasing.removed(elements)
            settled += _revoked(how, elements)
        locks = [f"{plural(many, 'lock')} of {tool} released" for tool, many in released.items()]
        results = [f"results {word}: {count(many)}" for word, many in settled.items()]
        return [*locks, *results, *releasing.notes]

    return after


def _revoked(how: How, elements: Sequence[bytes]) -> Counter[str]:
    if not how.revoke:
        return Counter()
    from tidegate.act.relief.revoking import revoke_results

    return revoke_results(how.app, elements)


def _must_be_alone(wanted: Filter) -> None:
    if wanted.undecodable and wanted != Filter(undecodable=True, older_than_s=wanted.older_than_s):
        raise UsageError(
            "--undecodable selects what can't be read, and of that only the age can be told: "
            "give it alone or with --older-than"
        )


__all__: Sequence[str] = [
    "ALL",
    "DRY",
    "How",
    "Keep",
    "Wish",
    "acts",
    "backup",
    "dedupe",
    "drain_newest",
    "inspect",
    "move",
    "plan_rescue",
    "purge",
    "rescue",
    "restore",
    "resume",
    "rollback",
    "show",
    "undo",
]
