"""The commands of a rescue: what a server at its memory limit still does, in scripts that are whole or not at all.

Fields of the act's hash (broker/relief.py) that are a rescue's own:

step:<list>      how often messages were taken out of the list or put back: who acts says which step he expects
marker:<list>    the newest message of the list's old part: what stands above it was published since; empty where none is left
"""

from dataclasses import dataclass
from typing import Any

from tidegate.broker.client import Broker, Refusal, as_text
from tidegate.broker.scripts import Argument, Script, run_by
from tidegate.errors import AccessDenied, CannotLook

READ = Script("rescue/read")
TAKE, FEED = Script("relief/words", "rescue/take"), Script("door", "relief/words", "relief/allowed", "rescue/feed")
BEGIN, CLAIM = (
    Script("relief/words", "relief/allowed", "relief/begin"),
    Script("relief/words", "relief/allowed", "rescue/claim"),
)

#: So many messages that were published since may stand above those that are taken or put back: half a millisecond.
MOST_ABOVE = 500
#: Bytes of messages in one script, one message more at most: a millisecond.
MOST_BYTES = 1 << 19

_FULL = ("OOM", "used memory")
_AWAY = ("LOADING", "loading the dataset", "MASTERDOWN", "READONLY", "read only", "TRYAGAIN")


class Away(CannotLook):
    """The server is there and can't do it at the moment: it loads its data, or is a replica by now."""


class ServerFull(Exception):
    """The server refused the script, because its memory is used up; nothing was done."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes as the server counts them against its limit; `limit` 0 is none."""

    used: int
    limit: int
    policy: str = ""

    @property
    def free(self) -> int:
        """What is left below the limit."""
        return self.limit - self.used


def memory_of(fields: object) -> Memory:
    """From the answer to INFO memory; raises CannotLook where it is none."""
    if isinstance(fields, Refusal):
        raise refusal(fields)
    if not isinstance(fields, bytes):
        raise CannotLook("INFO gave no text")
    pairs = dict(line.split(":", 1) for line in as_text(fields).splitlines() if ":" in line)
    uncounted = int(pairs.get("mem_not_counted_for_evict", 0))
    return Memory(
        int(pairs["used_memory"]) - uncounted, int(pairs.get("maxmemory", 0)), pairs.get("maxmemory_policy", "")
    )


def refusal(answer: Refusal) -> CannotLook:
    """Away where it passes by itself, AccessDenied where the user may not do it, CannotLook for the rest."""
    why = f"the server refused a step of the rescue: {answer.why}"
    if any(sign in answer.why for sign in _AWAY):
        return Away(why)
    return AccessDenied(why) if answer.denied else CannotLook(why)


def run(broker: Broker, script: Script, *arguments: Argument) -> list[Any]:
    """The script's answer, its first word as text; raises ServerFull where memory is short, CannotLook for other refusals."""
    (answer,) = run_by(broker.ask, script, (), arguments)
    if isinstance(answer, Refusal):
        if any(sign in answer.why for sign in _FULL):
            raise ServerFull(answer.why)
        raise refusal(answer)
    return [as_text(answer[0]), *answer[1:]]


def read_beside(broker: Broker, list_key: str, marker: bytes, side: str, count: int) -> tuple[int, list[bytes]] | None:
    """(how many stand above the marker, elements newest first) of the `old` or `new` side; None where it is not there."""
    answer = run(broker, READ, list_key, marker, side, count, MOST_BYTES)
    return None if answer[0] == "gone" else (int(answer[1]), list(answer[2]))


def above(broker: Broker, list_key: str, marker: bytes, most: int) -> tuple[int, int]:
    """(how many stand above the marker, depth): `most` + 1 where there are more, the depth where it is gone."""
    depth, place = broker.ask(("LLEN", list_key), ("LPOS", list_key, marker, "MAXLEN", most + 1))
    if isinstance(depth, Refusal):
        raise refusal(depth)
    if isinstance(place, int):
        return place, depth
    return (depth, depth) if depth <= most else (most + 1, depth)
