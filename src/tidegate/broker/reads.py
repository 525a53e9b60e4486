"""The reads we do, each bounded and with its cost stated; a part the server refuses is `Unknown`, never empty.

Costs are the server's own time, measured on a list of two million messages of 1 KB (docs/explain/what-a-look-costs.md).
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from tidegate.broker.client import Broker, Command, Refusal, as_text
from tidegate.errors import AccessDenied, CannotLook, NotAQueue
from tidegate.facts.unknown import Maybe, Unknown

#: Commands in one pipeline: enough to hide the round trip, few enough to keep the server's turns short.
_BATCH = 200
#: The year 2286.
_LATEST_EPOCH = 1e10


def refused(broker: Broker, command: str, refusal: Refusal) -> Unknown:
    """Why the server would not answer, and what to grant."""
    if refusal.denied:
        user = broker.address.username or "default"
        if "access" in refusal.why:
            # The command is allowed, one of its keys is not.
            return Unknown(f"the user {user!r} may not read that key: ACL SETUSER {user} %R~*")
        return Unknown(
            f"the user {user!r} may not run {command}: ACL SETUSER {user} +{command.lower().replace(' ', '|')}"
        )
    if "unknown command" in refusal.why.lower():
        return Unknown(f"the server does not offer {command}")
    return Unknown(f"{command} was refused: {refusal.why}")


def unreadable(broker: Broker, key: str, refusal: Refusal) -> CannotLook:
    """The error for a list whose elements the server does not give out."""
    if "WRONGTYPE" in refusal.why:
        return NotAQueue(f"{key!r} is no queue: the key is no list")
    why = refused(broker, "LRANGE", refusal).why
    return AccessDenied(why) if refusal.denied else CannotLook(why)


def info(broker: Broker) -> Maybe[Mapping[str, str]]:
    """All of INFO as text by field, command statistics included; one command, about 0.2 ms."""
    reply = broker.one("INFO", "all")
    if isinstance(reply, Refusal):
        return refused(broker, "INFO", reply)
    if not isinstance(reply, bytes):
        return Unknown("INFO gave no text")
    pairs = (line.split(":", 1) for line in as_text(reply).splitlines() if ":" in line and not line.startswith("#"))
    return dict(pairs)


@dataclass(frozen=True, slots=True)
class CommandTime:
    """What the server counted for one command since it started."""

    calls: int
    usec: int


def command_times(fields: Maybe[Mapping[str, str]]) -> dict[str, CommandTime]:
    """Calls and microseconds by command, from INFO; empty where INFO could not be read."""
    if isinstance(fields, Unknown):
        return {}
    result = {}
    for key, text in fields.items():
        if key.startswith("cmdstat_"):
            values = dict(pair.split("=", 1) for pair in text.split(",") if "=" in pair)
            result[key[8:]] = CommandTime(int(values.get("calls", 0)), int(values.get("usec", 0)))
    return result


def config(broker: Broker, *names: str) -> Maybe[Mapping[str, str]]:
    """The server's settings by name; one command a name, microseconds."""
    replies = broker.ask(*[("CONFIG", "GET", name) for name in names])
    found: dict[str, str] = {}
    for reply in replies:
        if isinstance(reply, Refusal):
            return refused(broker, "CONFIG GET", reply)
        found.update(zip((as_text(key) for key in reply[::2]), (as_text(value) for value in reply[1::2]), strict=True))
    return found


def lengths(broker: Broker, keys: Sequence[str]) -> list[Maybe[int]]:
    """The length of every list, 0 where there is none; one LLEN a key, 1 µs each."""
    replies = batched(broker, [("LLEN", key) for key in keys])
    return [_length(broker, reply) for reply in replies]


def _length(broker: Broker, reply: object) -> Maybe[int]:
    if isinstance(reply, Refusal):
        return Unknown("the key is no list") if "WRONGTYPE" in reply.why else refused(broker, "LLEN", reply)
    return int(reply)  # type: ignore[call-overload, no-any-return]


def elements(broker: Broker, key: str, start: int, stop: int) -> Maybe[list[bytes]]:
    """The elements from start to stop; about 0.7 µs each at an end of the list, and the walk there on top.

    The walk costs 2 to 14 ms to the middle of two million, depending on server and memory.
    """
    reply = broker.one("LRANGE", key, start, stop)
    return reply if isinstance(reply, list) else refused(broker, "LRANGE", reply)


def position(broker: Broker, key: str, element: bytes, at_most: int) -> int | None:
    """Where the element stands, counted from the newest, among the newest `at_most`; 0.15 µs per element passed."""
    reply = broker.one("LPOS", key, element, "MAXLEN", at_most)
    return reply if isinstance(reply, int) else None


def bytes_of(broker: Broker, keys: Sequence[str | bytes], samples: int = 100) -> list[Maybe[int]]:
    """What each key weighs in the server's memory, scaled up from `samples` nodes of it; 20 µs each at most."""
    replies = batched(broker, [("MEMORY", "USAGE", key, "SAMPLES", samples) for key in keys])
    return [_weight(broker, reply) for reply in replies]


def _weight(broker: Broker, reply: object) -> Maybe[int]:
    if isinstance(reply, Refusal):
        return refused(broker, "MEMORY USAGE", reply)
    return int(reply) if isinstance(reply, int) else 0


def members(broker: Broker, key: str, at_most: int = 1000) -> Maybe[list[str]]:
    """Members of a set, `at_most` or a few more; two commands for a set of up to a thousand."""
    found: dict[str, None] = {}
    cursor: bytes | int = 0
    while True:
        reply = broker.one("SSCAN", key, cursor, "COUNT", 200)
        if isinstance(reply, Refusal):
            return refused(broker, "SSCAN", reply)
        cursor, batch = reply
        found.update(dict.fromkeys(as_text(member) for member in batch))
        if int(cursor) == 0 or len(found) >= at_most:
            return list(found)


@dataclass(frozen=True, slots=True)
class Walk:
    """A walk over the key space: the keys passed, in the server's own (random-like) order."""

    keys: list[str]
    total: int
    complete: bool
    problem: Unknown | None = None


def walk_keys(broker: Broker, at_most: int) -> Walk:
    """Up to about `at_most` keys; one SCAN per thousand, each under a millisecond."""
    total = broker.one("DBSIZE")
    total = total if isinstance(total, int) else 0
    keys: dict[str, None] = {}
    cursor: bytes | int = 0
    # A sparse table gives fewer keys than asked for, a broken server the same cursor for ever.
    for turn in count():
        reply = broker.one("SCAN", cursor, "COUNT", 1000)
        if isinstance(reply, Refusal):
            return Walk(list(keys), total, False, refused(broker, "SCAN", reply))
        cursor, batch = reply
        keys.update(dict.fromkeys(as_text(key) for key in batch))
        done = int(cursor) == 0
        if done or len(keys) >= at_most or turn > 20 + at_most // 200:
            break
    return Walk(list(keys), max(total, len(keys)), done)


def keys_like(broker: Broker, pattern: str, at_most: int) -> list[str] | None:
    """The keys of that pattern; None where there are more than `at_most`, or the server refuses. One SCAN per thousand keys."""
    found: dict[str, None] = {}
    cursor: bytes | int = 0
    total = broker.one("DBSIZE")
    # A broken server gives the same cursor for ever.
    for _ in range(100 + (total if isinstance(total, int) else 0) // 100):
        reply = broker.one("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
        if isinstance(reply, Refusal) or len(found) > at_most:
            return None
        cursor, batch = reply
        found.update(dict.fromkeys(as_text(key) for key in batch))
        if int(cursor) == 0:
            return list(found)
    return None


def types(broker: Broker, keys: Sequence[str]) -> list[str]:
    """The type of every key, empty where it can't be told; 1 µs each."""
    return [
        as_text(reply) if not isinstance(reply, Refusal) else ""
        for reply in batched(broker, [("TYPE", k) for k in keys])
    ]


def expiries(broker: Broker, keys: Sequence[str]) -> list[int | None]:
    """Seconds each key has left, −1 where it never expires, −2 where it is gone, None unknown; 1 µs each."""
    replies = batched(broker, [("TTL", key) for key in keys])
    return [reply if isinstance(reply, int) else None for reply in replies]


def clients(broker: Broker) -> Maybe[list[dict[str, str]]]:
    """One dict of fields a client; one CLIENT LIST, about 2 µs a client."""
    reply = broker.one("CLIENT", "LIST")
    if isinstance(reply, Refusal):
        return refused(broker, "CLIENT LIST", reply)
    rows = as_text(reply).splitlines()
    return [dict(pair.split("=", 1) for pair in row.split() if "=" in pair) for row in rows]


@dataclass(frozen=True, slots=True)
class Taken:
    """Messages that workers hold: the raw values with the time each was delivered, oldest first.

    What is said to have been delivered at no time a clock could show is not among them.
    """

    count: Maybe[int]
    rows: list[tuple[float, bytes]]


def taken(broker: Broker, at_most: int) -> Taken:
    """The oldest unacknowledged messages, `at_most` of them; three commands, 2 µs a message."""
    layout = broker.layout
    count, index = broker.ask(
        ("HLEN", layout.unacked_key()),
        ("ZRANGE", layout.unacked_index_key(), 0, at_most - 1, "WITHSCORES"),
    )
    if isinstance(count, Refusal):
        return Taken(Unknown("not a hash") if "WRONGTYPE" in count.why else refused(broker, "HLEN", count), [])
    if isinstance(index, Refusal) or not index:
        return Taken(int(count), [])
    tags, scores = index[::2], [float(score) for score in index[1::2]]
    values = broker.one("HMGET", layout.unacked_key(), *tags)
    if isinstance(values, Refusal):
        return Taken(int(count), [])
    rows = zip(scores, values, strict=True)
    return Taken(int(count), [(at, value) for at, value in rows if value is not None and 0 < at < _LATEST_EPOCH])


def batched(broker: Broker, commands: Iterable[Command]) -> list[Any]:
    """The answers to any number of commands, in round trips of at most two hundred."""
    listed = list(commands)
    answers: list[Any] = []
    for start in range(0, len(listed), _BATCH):
        answers += broker.ask(*listed[start : start + _BATCH])
    return answers


def server_time(broker: Broker) -> float:
    """Seconds since the epoch by the server's clock, by ours where it does not tell; one command."""
    answer = broker.one("TIME")
    return time.time() if isinstance(answer, Refusal) else int(answer[0]) + int(answer[1]) / 1e6
