"""What operators order while the schedule runs: an interval, a pause, a run at once; held until it is reset.

Each act is one script: the order, the edition that tells beats of it, and its line in the journal, or none of them.
What was read before is compared there, so two operators at a time change one after the other.
"""

import getpass
import socket
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from tidegate.act import journal
from tidegate.broker.beat import key_of
from tidegate.broker.client import Broker, Refusal, as_text
from tidegate.broker.orders import decode_ask, decode_order, encode_ask, encode_order
from tidegate.broker.reads import refused
from tidegate.broker.scripts import ORDER
from tidegate.errors import AccessDenied, CannotLook
from tidegate.facts.beat import AUTO, Ask, Order
from tidegate.facts.journal import JournalEntry

Change = Callable[[Order], Order]
#: Somebody who is always faster than we are is no operator.
_MOST_TRIES = 50
_NOTHING = Order()


@dataclass(frozen=True, slots=True)
class Where:
    """One entry of one schedule, on a connection that may write, and who acts."""

    broker: Broker
    name: str
    entry: str
    who: str


@dataclass(frozen=True, slots=True)
class Written:
    """`changed` is False where it was so already. `edition` is that of the act, or the present one."""

    changed: bool
    was: str
    now: str
    edition: int


def who_acts() -> str:
    """user@machine."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "somebody"
    return f"{user}@{socket.gethostname()}"


def order(where: Where, what: str, change: Change, why: str = "") -> Written:
    """Changes what is ordered of an entry; two round trips. Raises CannotLook where the server does not take it."""
    for _ in range(_MOST_TRIES):
        stored, at_s = _read(where, "orders")
        before = decode_order(stored) or _NOTHING
        after = replace(change(before), who=where.who, at_s=at_s)
        text = encode_order(after)
        was, now = order_text(before), order_text(after)
        if _says(before) == _says(after) and bool(stored) == bool(text):
            return Written(False, was, now, _edition(where))
        edition = _write(where, "orders", stored, text, _line(where, at_s, what, was, now, why))
        if edition is not None:
            return Written(True, was, now, edition)
    raise _contended(where)


def ask(where: Where, why: str = "") -> Written:
    """Asks for one run at once; nothing new where one is asked for already. Raises CannotLook as `order`."""
    for _ in range(_MOST_TRIES):
        stored, at_s = _read(where, "asks")
        pending = decode_ask(stored)
        if pending is not None:
            text = ask_text(pending)
            return Written(False, text, text, _edition(where))
        wanted = Ask(id=uuid.uuid4().hex, who=where.who, at_s=at_s)
        was, now = ask_text(None), ask_text(wanted)
        line = _line(where, at_s, "run_now", was, now, why)
        edition = _write(where, "asks", stored, encode_ask(wanted), line)
        if edition is not None:
            return Written(True, was, now, edition)
    raise _contended(where)


def paused(before: Order) -> Order:
    """The same, and no run is sent."""
    return replace(before, paused=True)


def resumed(before: Order) -> Order:
    """The same, and runs are sent again."""
    return replace(before, paused=False)


def reset(before: Order) -> Order:
    """Nothing is ordered any more: what the settings say holds."""
    return _NOTHING


def order_text(order: Order) -> str:
    """What an order says, in words."""
    parts = [_every(order.every)] if order.every is not None else []
    parts += [f"{name} {_exactly(value)}" for name, value in (("min", order.min_s), ("max", order.max_s)) if value]
    parts += ["paused"] if order.paused else []
    return ", ".join(parts) or "nothing ordered"


def ask_text(pending: Ask | None) -> str:
    """Whether a run is asked for, in words."""
    return f"a run is asked for by {pending.who}" if pending else "no run asked for"


def _every(every: float | str) -> str:
    return AUTO if isinstance(every, str) else f"every {_exactly(every)}"


def _exactly(seconds: float) -> str:
    """Not rounded, for the journal: `3600 s`."""
    return f"{seconds:.12g} s"


def _says(order: Order) -> Order:
    return replace(order, who="", at_s=0.0)


def _line(where: Where, at_s: float, what: str, was: str, now: str, why: str) -> JournalEntry:
    return JournalEntry(at_s=at_s, act="beat", what=what, key=where.entry, why=why, who=where.who, was=was, now=now)


def _key(where: Where, what: str) -> str:
    return key_of(where.broker.layout.prefix, where.name, what)


def _read(where: Where, what: str) -> tuple[bytes, float]:
    """What the hash holds of the entry, and the server's time."""
    stored, now = where.broker.ask(("HGET", _key(where, what), where.entry), ("TIME",))
    for command, reply in (("HGET", stored), ("TIME", now)):
        if isinstance(reply, Refusal):
            raise _not_taken(where, command, reply)
    return stored or b"", int(now[0]) + int(now[1]) / 1e6


def _write(where: Where, what: str, before: bytes, after: str, line: JournalEntry) -> int | None:
    """The new edition; None where somebody was faster."""
    keys = [_key(where, what), _key(where, "edition"), journal.key_of(where.broker.layout.prefix)]
    reply = where.broker.one(*ORDER.whole(keys, [where.entry, before, after, *journal.fields_of(line)]))
    if isinstance(reply, Refusal):
        raise _not_taken(where, "EVAL", reply)
    return int(reply[1]) if reply[0] == 1 else None


def _edition(where: Where) -> int:
    reply = where.broker.one("GET", _key(where, "edition"))
    text = as_text(reply or b"")
    return int(text) if text.isascii() and text.isdecimal() else 0


def _not_taken(where: Where, command: str, refusal: Refusal) -> CannotLook:
    why = refused(where.broker, command, refusal).why
    message = f"nothing was ordered of {where.entry!r}: {why}"
    return AccessDenied(message) if refusal.denied else CannotLook(message)


def _contended(where: Where) -> CannotLook:
    return CannotLook(f"nothing was ordered of {where.entry!r}: others change it all the time; try again")
