"""A rescue in one call: looks whether there is something to rescue, says what would be done, and does it."""

import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

from tidegate.act.relief import acts
from tidegate.act.rescue.line import Line
from tidegate.act.rescue.log import Log
from tidegate.act.rescue.place import FILE, Place
from tidegate.act.rescue.plan import Plan, enough_of, plan_rescue
from tidegate.act.rescue.rescue import Came, Marks, Rescue
from tidegate.act.rescue.saying import Teller
from tidegate.broker import rescue as hand
from tidegate.broker.address import Address
from tidegate.broker.client import Broker, connect
from tidegate.errors import TidegateError
from tidegate.facts.relief import Act
from tidegate.facts.rescued import Rescued
from tidegate.units import count, plural, size

Say = Callable[[str], None]
Stop = Callable[[], bool]


def plan(address: Address, directory: Path, queue: str | None, free: float | int | None, timeout_s: float) -> Rescued:
    """What a rescue would do; writes nothing, neither to Redis nor to the disk. Raises as `plan_rescue`."""
    if (directory / FILE).exists():
        with closing(Place.open(directory)) as place:
            noted, parked = place.going_on, place.store.messages()
        queue = noted.queue if noted is not None and queue is None else queue
    else:
        noted, parked = None, 0
    with connect(address, timeout_s) as broker:
        found = plan_rescue(broker, queue, free, going_on=noted is not None)
    return Rescued(
        id=noted.id if noted is not None else "",
        act=Act.RESCUE,
        queue=found.queue,
        scanned=found.depth,
        removed=found.messages,
        removed_bytes=found.bytes,
        kept=found.depth - found.messages,
        directory=str(directory),
        on_disk=parked,
        used_bytes=found.memory.used,
        limit_bytes=found.memory.limit,
        free_bytes=found.enough,
        notes=_would(found, directory, parked),
    )


def _would(found: Plan, directory: Path, parked: int) -> tuple[str, ...]:
    first = (
        f"{plural(parked, 'message')} from an earlier run are on disk, and would come back first to last. "
        if parked
        else ""
    )
    what = (
        f"{first}The newest {count(found.messages)} of {plural(found.depth, 'message')} of {found.queue!r} "
        f"(about {size(found.bytes)}) would go to {directory}, so that {size(found.enough)} of {size(found.memory.limit)} are "
        "free and workers can start."
    )
    return what, (
        "They come back in their order as the queue drains; how long that takes is told as soon as workers run."
    )


def rescue(
    address: Address,
    directory: Path,
    *,
    queue: str | None = None,
    free: float | int | None = None,
    say: Say = lambda sentence: None,
    stop: Stop = lambda: False,
    go_on: str = "the same command",
    timeout_s: float = 5.0,
) -> Rescued:
    """Rescues the queue (the heaviest where None), and comes back when all of it is in Redis again, or `stop` says so.

    `free` is what to keep free: bytes, or a share below 1. `say` is told every step, `go_on` is how to go on after a stop.
    Raises as `plan_rescue`, and Refused, BadStore, StoreFull, CannotLook; what is on disk stays, and the next call goes on.
    """
    began = time.monotonic()
    directory = directory.absolute()
    reach = partial(connect, address, timeout_s)
    with reach() as broker:
        if not (directory / FILE).exists():
            plan_rescue(broker, queue, free)  # before anything is written
        with closing(Place.open(directory)) as place:
            if (ended := _ended(broker, place, free)) is not None:
                say(f"The rescue of {ended.queue!r} in {directory} is done: all of its messages are back.")
                return ended
            noted = place.going_on
            found = plan_rescue(broker, queue or (noted.queue if noted else None), free, going_on=noted is not None)
            place.must_have_room(2 * found.bytes)
            place.begin(found.queue, address.shown, address.layout.prefix)
            teller = Teller(say, found.queue, str(directory))
            if noted is None:
                teller.begun(found.memory, found.enough)
            one = _rescue(reach, place, found, teller)
            came = one.run(stop)
            if came.done:
                teller.done(one.fed)
            else:
                teller.stopped(one.parked, go_on)
            return _result(one, came, place, found, time.monotonic() - began, reach)


def _ended(broker: Broker, place: Place, free: float | int | None) -> Rescued | None:
    """What to answer where the last rescue of the directory came to its end, and the server is not full again."""
    noted, memory = place.noted, hand.memory_of(broker.one("INFO", "memory"))
    if noted is None or not noted.done or memory.free < enough_of(memory.limit, free):
        return None
    return Rescued(
        id=noted.id,
        act=Act.RESCUE,
        queue=noted.queue,
        dry_run=False,
        directory=str(place.directory),
        used_bytes=memory.used,
        limit_bytes=memory.limit,
        free_bytes=enough_of(memory.limit, free),
        done=True,
    )


def _rescue(reach: Callable[[], Broker], place: Place, found: Plan, teller: Teller) -> Rescue:
    keys = dict.fromkeys([*found.lists, *place.store.lists()])
    lines = [Line(key, found.queue, Log(place.store, key)) for key in keys]
    for line in lines:
        line.mean_bytes, line.most_bytes = found.mean_bytes, min(hand.MOST_BYTES, found.enough // 8)
    return Rescue(reach, place, lines, Marks(short=found.enough // 2, enough=found.enough), teller)


def _result(
    one: Rescue, came: Came, place: Place, found: Plan, elapsed_s: float, reach: Callable[[], Broker]
) -> Rescued:
    id_, kept = place.mine.id, one.fed
    memory = found.memory
    try:
        with reach() as broker:
            kept = acts.row_of(broker, id_).kept
            memory = hand.memory_of(broker.one("INFO", "memory"))
    except TidegateError:
        # Away by now: what this process did is known all the same.
        pass
    return Rescued(
        id=id_,
        act=Act.RESCUE,
        queue=found.queue,
        scanned=one.parked + kept,
        removed=one.parked,
        kept=kept,
        elapsed_s=elapsed_s,
        worst_stall_ms=one.worst_ms,
        dry_run=False,
        directory=str(place.directory),
        on_disk=one.parked,
        most_on_disk=came.most_parked,
        late=one.late,
        room_s=came.room_s,
        used_bytes=memory.used,
        limit_bytes=memory.limit,
        free_bytes=found.enough,
        done=came.done,
    )
