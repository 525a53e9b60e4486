"""Drain-newest: for a while the newest waiting messages are worked on first, so that whoever came last still gets an answer.

The queue is set aside, and a few times what its workers take between two looks stands where they take next: always the
newest. At the end everything is in one list again, in its order of age. Nothing is removed.
"""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from tidegate.act.relief.acts import Acting, begin, claim, fields_of, kept_in
from tidegate.broker.address import Address
from tidegate.broker.client import Broker, connect
from tidegate.broker.reads import lengths
from tidegate.broker.scripts import RELIEF_NEWEST
from tidegate.errors import CannotLook, Refused, TidegateError
from tidegate.facts.relief import Act, Relieved, State
from tidegate.facts.unknown import known
from tidegate.model.relief.stock import Stock
from tidegate.observe.census import element_bytes
from tidegate.observe.peek import lists_of

#: How often arrivals are put in front.
LOOKS_EVERY_S = 0.1
#: What stands where workers take next weighs no more than this.
_MOST_BYTES = 2 << 20
#: Told how far the time is, in seconds, and how many wait.
Watch = Callable[[float, float, int], None]


@dataclass(slots=True)
class _Turns:
    """One list of the queue, turned round and round."""

    acting: Acting
    queue: str
    key: str
    stock: Stock = field(default_factory=Stock)
    waiting: int = 0

    def turn(self) -> None:
        """The newest in front once more; one script, more where very many arrived."""
        word, taken, stand, aside = self._run(ends=False)
        while word == "more":
            word, _, stand, aside = self._run(ends=False)
        self.stock.learn(taken, left=stand)
        self.waiting = stand + aside

    def end(self) -> None:
        """Everything in one list again, in its order of age."""
        while self._run(ends=True)[0] == "more":
            pass

    def _run(self, *, ends: bool) -> tuple[str, int, int, int]:
        answer = self.acting.run(RELIEF_NEWEST, self.key, self.queue, self.stock.size, "1" if ends else "")
        if answer[0] == "taken":
            raise Refused(
                f"something of {self.key} is set aside already, of an act that nothing is known of: nothing was done"
            )
        word, *counts = answer
        taken, _, stand, aside = map(int, counts)
        return word, taken, stand, aside


def drain_newest(
    address: Address,
    queue: str,
    for_s: float,
    *,
    timeout_s: float = 5.0,
    watch: Watch | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Relieved:
    """Does it for so long, or until `stopped` says so. One script a list and tenth of a second.

    Raises Refused where another act has the queue, NothingFound for a queue that is not there. Where the server goes
    away the act is interrupted, and nothing is lost.
    """
    began_s = time.monotonic()
    with connect(address, timeout_s) as broker:
        most = _most(broker, lists_of(broker, queue))
        keys = [key for _, key in broker.layout.lists(queue)]
        acting = begin(broker, Act.DRAIN_NEWEST, queue, wanted=json.dumps({"for_s": for_s}), lists=json.dumps(keys))
        lists = [_Turns(acting, queue, key, Stock(most=most)) for key in keys]
        try:
            _turn_until(lists, for_s, watch, stopped)
        except CannotLook:
            raise
        except BaseException:
            _end_anew(address, timeout_s, acting, queue)
            raise
        return _ended(acting, queue, State.DONE, began_s)


def put_back(address: Address, id_: str, state: State, *, timeout_s: float = 5.0) -> Relieved:
    """Ends an interrupted one: everything in one list again, in its order of age. Raises Refused where it may still run."""
    began_s = time.monotonic()
    with connect(address, timeout_s) as broker:
        acting = claim(broker, id_)
        return _ended(acting, fields_of(broker, id_).get("queue", ""), state, began_s)


def looked_over(broker: Broker, queue: str, for_s: float) -> Relieved:
    """How many wait that would be turned round. Writes nothing."""
    depths = lengths(broker, lists_of(broker, queue))
    waiting = sum(depth for depth in depths if known(depth))
    return Relieved(id="", act=Act.DRAIN_NEWEST, queue=queue, scanned=waiting, kept=waiting, notes=(_until(for_s),))


def _until(for_s: float) -> str:
    return f"for {for_s:g} s the newest would be worked on first; then all wait in their order again"


def _turn_until(lists: Sequence[_Turns], for_s: float, watch: Watch | None, stopped: Callable[[], bool]) -> None:
    began_s = time.monotonic()
    while (at_s := time.monotonic() - began_s) < for_s and not stopped():
        for turns in lists:
            turns.turn()
        if watch is not None:
            watch(at_s, for_s, sum(turns.waiting for turns in lists))
        time.sleep(max(0.0, min(LOOKS_EVERY_S, for_s - at_s)))


def _ended(acting: Acting, queue: str, state: State, began_s: float) -> Relieved:
    for _, key in acting.broker.layout.lists(queue):
        _Turns(acting, queue, key).end()
    acting.end(state)
    taken = kept_in(fields_of(acting.broker, acting.id))
    return Relieved(
        id=acting.id,
        act=Act.DRAIN_NEWEST,
        queue=queue,
        scanned=taken,
        kept=taken,
        elapsed_s=time.monotonic() - began_s,
        dry_run=False,
    )


def _end_anew(address: Address, timeout_s: float, acting: Acting, queue: str) -> None:
    """On a connection of its own: whatever stopped the act may have stopped it in the middle of an answer."""
    # Where that fails it is left set aside, and the journal says so.
    with suppress(TidegateError), connect(address, timeout_s) as broker:
        _ended(replace(acting, broker=broker), queue, State.DONE, time.monotonic())


def _most(broker: Broker, keys: Sequence[str]) -> int:
    depths = lengths(broker, keys)
    heaviest = max(
        (element_bytes(broker, key, depth) for key, depth in zip(keys, depths, strict=True) if known(depth)),
        default=1024.0,
    )
    return max(1, int(_MOST_BYTES / max(heaviest, 1.0)))
