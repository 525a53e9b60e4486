"""What a beat knows of the schedule that it shares: whether it leads, cursors, orders, and the server's time."""

import logging
import re
import socket
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tidegate.act.beat.outcomes import rarely
from tidegate.act.beat.rules import name_of
from tidegate.act.beat.standing import Alone, Standing, Verdict
from tidegate.act.claim import Claim, Terms
from tidegate.act.lease import Lease, Refused, Turn, run, run_all
from tidegate.broker.address import Address
from tidegate.broker.beat import key_of
from tidegate.broker.client import Refusal, as_text
from tidegate.broker.orders import decode_ask, decode_order, encode_order
from tidegate.broker.scripts import CLAIM, RECORD
from tidegate.errors import TidegateError
from tidegate.facts.beat import Ask, Order
from tidegate.observe.app import address_of
from tidegate.observe.probe.link import Away, Link

log = logging.getLogger("tidegate.beat")

RENEW_EVERY_S = 0.5
TIMEOUT_S = 1.0
#: So many fields are read, and so many verdicts written, in one command.
_AT_ONCE = 2000
#: The server's clock may be so far off what was expected before it is taken for set.
_JUMP_S = 0.5
#: What the server says of a key that holds another type than it should.
_OTHER_TYPE = "WRONGTYPE"
_DUE_TIME = re.compile("[1-9][0-9]{0,17}")
#: So much of a small difference is made up for at every renewal.
_SLEW_S = 0.001


class _Link(Link):
    log = log
    away = "beat stands by, for the broker can't be asked who leads: %s"
    back = "the broker says again who leads"
    longest_pause_s = 2.0
    first_pause_s = 0.25


def standing_of(app: Any) -> Standing:
    """The lease of the application's broker; a beat that leads always where there is none."""
    if app.conf.get("tidegate_beat_lease", True) is False:
        return Alone()
    try:
        return Leading(address_of(app), name_of(app), _node())
    except TidegateError as error:
        log.warning("this beat shares no lease, so start no second one: %s", error)
        return Alone()


def _node() -> str:
    return f"beat@{socket.gethostname()}"


class Leading:
    """`Standing` by a lease."""

    def __init__(self, address: Address, name: str, node: str) -> None:
        self.leads, self.term, self.edition = False, 0, 0
        self._name, self._prefix = name, address.layout.prefix
        self._link = _Link(address, TIMEOUT_S)
        self._lease = Lease(self._link, self._prefix, name, node)
        self._orders: dict[str, Order] = {}
        self._asks: dict[str, Ask] = {}
        self._offset_s = time.time() - time.monotonic()
        self._next_s = float("-inf")
        self._alone = False
        self._stood_by = False

    @property
    def terms(self) -> Terms | None:
        """None where the server knows no scripts, so that nothing can be claimed."""
        return None if self._alone else self._lease.terms

    def check(self) -> bool:
        """Twice a second one round trip; two more where orders changed."""
        if self._alone:
            return True
        now_s = time.monotonic()
        if self.leads and not self._lease.holds():
            # This process did not run for a while; the lease may be another's by now.
            self.leads, self._next_s = False, now_s
        if now_s >= self._next_s:
            self._next_s = now_s + RENEW_EVERY_S
            self._safely(self._turn)
        return self.leads

    def now_s(self) -> float:
        """The server's clock, moved on by the monotonic one: nobody's setting of a clock moves an interval."""
        return self._offset_s + time.monotonic()

    def cursors(self, entries: Collection[str]) -> dict[str, str]:
        """One HMGET for two thousand of them; this beat stands by where they can't be read."""
        names, found = list(entries), dict[str, str]()

        def read() -> None:
            for at in range(0, len(names), _AT_ONCE):
                some = names[at : at + _AT_ONCE]
                values = self._asked("cursors", ("HMGET", self._key("cursors"), *some))[0] or [None] * len(some)
                found.update((name, as_text(value)) for name, value in zip(some, values, strict=True) if value)

        self._safely(read)
        return _due_times(found)

    def orders(self) -> Mapping[str, Order]:
        """As of the present edition."""
        return self._orders

    def asks(self) -> Mapping[str, Ask]:
        """As of the present edition; those that were claimed are gone."""
        return self._asks

    def record(self, verdicts: Sequence[Verdict]) -> bool:
        """One script for some hundred of them."""
        done: list[bool] = []

        def write() -> None:
            for at in range(0, len(verdicts), _AT_ONCE // 10):
                some = verdicts[at : at + _AT_ONCE // 10]
                words = [word for one in some for word in _words(one)]
                if not run(self._link, RECORD, [self._base, self._lease.terms.token, *words]):
                    self.lost("another beat leads")
                    return
            done.append(True)

        if self._alone:
            return True
        self._safely(write)
        return bool(done)

    def claim(self, claims: Sequence[Claim]) -> None:
        """Claims due times whose messages go another way than through the gate; each gets its outcome where it is known."""

        def write() -> None:
            calls: list[list[Any]] = [list(claim.arguments()) for claim in claims]
            for claim, answer in zip(claims, run_all(self._link, CLAIM, calls), strict=True):
                claim.take(answer)

        self._safely(write)

    def lost(self, why: str) -> None:
        """This one stands by, and asks again in its turn."""
        if self.leads:
            log.info("this beat stands by: %s", why)
        self.leads = False
        self._lease.drop()
        # The lease may be nobody's, as on a server that was emptied: who led until now knows most.
        self._next_s = float("-inf")

    def close(self) -> None:
        """One round trip, where it leads."""
        if not self._alone:
            self._safely(self._lease.give_up)
        self.leads = False
        self._link.close()

    @property
    def _base(self) -> str:
        return key_of(self._prefix, self._name, "")

    def _key(self, what: str) -> str:
        return key_of(self._prefix, self._name, what)

    def _turn(self) -> None:
        turn = self._lease.ask()
        self._link.works()
        if not turn.leads:
            if self.leads or not self._stood_by:
                log.info("another beat leads the schedule %r: this one stands by", self._name)
            self.leads, self._stood_by = False, True
            if turn.edition > self.edition:
                # What a server lost is kept, for this beat to write it back when it leads.
                self._read_orders(turn.edition, leads=False)
            return
        self._set_clock(turn, new=turn.new or not self.leads)
        if turn.new or not self.term:
            log.info("this beat leads the schedule %r", self._name)
        if turn.new or not self.leads:
            self._read_orders(turn.edition, leads=True)
            self.term += 1
        elif turn.edition != self.edition:
            self._read_orders(turn.edition, leads=True)
        self.leads, self._stood_by = True, False

    def _set_clock(self, turn: Turn, *, new: bool) -> None:
        off_s = turn.server_s - turn.at_s - self._offset_s
        if new:
            self._offset_s += off_s
        elif abs(off_s) > _JUMP_S:
            rarely.say("clock", "the server's clock was set by about %.1f s: intervals go on as before", off_s)
        else:
            self._offset_s += max(-_SLEW_S, min(_SLEW_S, off_s))

    def _read_orders(self, edition: int, *, leads: bool) -> None:
        if leads and edition < self.edition and self._orders:
            edition = self.edition + 1
            self._write_back(edition)
        whole = [("HGETALL", self._key(what)) for what in ("orders", "asks")]
        orders, asks = self._asked("orders asks", *whole)
        if leads:
            self._asked("seen", ("SET", self._key("seen"), edition))
        self._orders = _decoded(orders, decode_order, "order")
        self._asks = _decoded(asks, decode_ask, "ask")
        self.edition = edition

    def _write_back(self, edition: int) -> None:
        """A server that was emptied knows no orders: what this beat goes by is written again."""
        log.warning("the server has lost the orders of %d entries: they are written again", len(self._orders))
        fields = [word for name, order in self._orders.items() for word in (name, encode_order(order))]
        writing = ("HSET", self._key("orders"), *fields), ("SET", self._key("edition"), edition)
        self._asked("orders edition", *writing)

    def _asked(self, keys: str, *commands: Any) -> list[Any]:
        """The answers; empty for a key (each command's, in order) of which somebody made something else."""
        answers = self._link.ask(*commands)
        return [self._read(key, answer) for key, answer in zip(keys.split(), answers, strict=True)]

    def _read(self, key: str, answer: Any) -> Any:
        if not isinstance(answer, Refusal):
            return answer
        if _OTHER_TYPE not in answer.why:
            raise Refused(answer.why, for_good=False)
        rarely.say(f"type {key}", "%s can't be read, and has no effect: delete it (%s)", self._key(key), answer.why)
        return []

    def _safely(self, act: Callable[[], None]) -> None:
        """Whatever fails means that nobody knows who leads."""
        try:
            act()
        except Away:
            self.leads = False
        except Refused as refused:
            self._refused(refused)
        except Exception as error:  # noqa: BLE001  beat goes on
            self.leads = False
            self._link.failed(f"{type(error).__name__}: {error}", in_doubt=True)

    def _refused(self, refused: Refused) -> None:
        if refused.for_good:
            log.warning("this beat shares no lease, so start no second one: the server refuses it (%s)", refused)
            self._alone = self.leads = True
            self.term += 1
            return
        self.leads = False
        self._link.failed(str(refused), in_doubt=False)


def _words(verdict: Verdict) -> tuple[Any, ...]:
    return (verdict.entry, verdict.due_us, verdict.before, verdict.outcome.value, verdict.many, verdict.why[:200])


def _named(names: Sequence[str]) -> str:
    """Some of them, as a log can print them whatever bytes they are of."""
    return ", ".join(names[:5]).encode(errors="backslashreplace").decode()


def _due_times(cursors: dict[str, str]) -> dict[str, str]:
    """Those that say a due time; the scripts read the others as none, too, and the next one takes their place."""
    read = {entry: text for entry, text in cursors.items() if _DUE_TIME.fullmatch(text)}
    if len(read) < len(cursors):
        strange = _named(sorted(cursors.keys() - read.keys()))
        rarely.say("cursor", "the cursors of %s say no due time: the next one is decided on as the first", strange)
    return read


def _decoded(pairs: Sequence[bytes], decode: Callable[[bytes], Any], what: str) -> dict[str, Any]:
    """What can be read; the rest is told, and has no effect."""
    read = {as_text(name): decode(value) for name, value in zip(pairs[::2], pairs[1::2], strict=True)}
    strange = [name for name, value in read.items() if value is None]
    if strange:
        rarely.say(what, "the %s of %s can't be read, and has no effect: reset it", what, _named(strange))
    return {name: value for name, value in read.items() if value is not None}
