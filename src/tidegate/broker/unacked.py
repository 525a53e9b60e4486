"""What workers hold, read in bounded portions, and what is recorded of who holds it.

unacked                           hash    delivery tag → [message, exchange, routing key]
unacked_index                     zset    delivery tag, scored with the time of delivery
tidegate:gate:1:processes         hash    id of a worker process → which process it is; kept a day
tidegate:gate:1:took:<id>         list    "<score> <tag> <list>" of what it took last, newest first, a thousand
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from tidegate.broker.client import Broker, Refusal, as_text
from tidegate.broker.gate import key_of
from tidegate.broker.reads import batched, refused
from tidegate.errors import AccessDenied, CannotLook

PORTION = 200
_MOST_TOOK = 2000


class Taken(NamedTuple):
    """A message in `unacked`: its tag, the moment at which it was taken, and the list it came from where that is known."""

    tag: str
    score: float
    list: str = ""


def count(broker: Broker) -> int:
    """How many messages are held; one HLEN."""
    return int(_answered(broker, "HLEN", broker.one("HLEN", broker.layout.unacked_key())))


def portions(broker: Broker, size: int = PORTION) -> Iterator[list[Taken]]:
    """Every held message, oldest first, each once; one ZRANGE a portion. What is taken meanwhile comes last."""
    since, seen = "-inf", set[str]()
    offset = 0
    while True:
        command = ("ZRANGE", broker.layout.unacked_index_key(), since, "+inf", "BYSCORE", "LIMIT", offset, size)
        answer = _answered(broker, "ZRANGE", broker.one(*command, "WITHSCORES"))
        rows = [Taken(as_text(tag), float(score)) for tag, score in zip(answer[::2], answer[1::2], strict=True)]
        if not rows:
            return
        fresh = [row for row in rows if row.tag not in seen]
        last = repr(rows[-1].score)
        # Of those with the same score as the last one, there may be more.
        offset = offset + len(rows) if last == since else 0
        since, seen = last, {row.tag for row in rows} | (seen if last == since else set())
        if fresh:
            yield fresh


def values(broker: Broker, tags: Sequence[str]) -> list[bytes | None]:
    """What `unacked` holds of these tags; one HMGET."""
    if not tags:
        return []
    answer = _answered(broker, "HMGET", broker.one("HMGET", broker.layout.unacked_key(), *tags))
    return [value if isinstance(value, bytes) else None for value in answer]


def still_held(broker: Broker, rows: Sequence[Taken]) -> list[Taken]:
    """Those that are held as they were: with the same score; one ZMSCORE for 200."""
    held = []
    for first in range(0, len(rows), PORTION):
        part = rows[first : first + PORTION]
        command = ("ZMSCORE", broker.layout.unacked_index_key(), *(row.tag for row in part))
        scores = _answered(broker, "ZMSCORE", broker.one(*command))
        held += [
            row for row, score in zip(part, scores, strict=True) if score is not None and float(score) == row.score
        ]
    return held


def processes(broker: Broker) -> dict[str, bytes]:
    """Worker id → what it said of its process, of all that have the gate and lived within a day; one HGETALL."""
    answer = _answered(broker, "HGETALL", broker.one("HGETALL", key_of(broker.layout, "processes")))
    return {as_text(worker): value for worker, value in zip(answer[::2], answer[1::2], strict=True)}


def took(broker: Broker, workers: Sequence[str]) -> dict[str, list[Taken]]:
    """What each of these workers took last, newest first; one LRANGE a worker, 70 bytes a message."""
    keys = [key_of(broker.layout, f"took:{worker}") for worker in workers]
    answers = batched(broker, [("LRANGE", key, 0, _MOST_TOOK - 1) for key in keys])
    return {
        worker: [row for element in answer if (row := _taken(element)) is not None]
        for worker, answer in zip(workers, answers, strict=True)
        if isinstance(answer, list)
    }


def _taken(element: bytes) -> Taken | None:
    score, _, rest = as_text(element).partition(" ")
    tag, _, list_ = rest.partition(" ")
    try:
        return Taken(tag, float(score), list_) if tag and list_ else None
    except ValueError:
        return None


def _answered(broker: Broker, command: str, answer: Any) -> Any:
    if isinstance(answer, Refusal):
        if "WRONGTYPE" in answer.why:
            raise CannotLook(
                f"what workers hold can't be read: a key that {command} reads is of another type, so something "
                f"else writes {broker.layout.unacked!r} or {broker.layout.unacked_index!r}"
            )
        why = refused(broker, command, answer).why
        raise AccessDenied(why) if answer.denied else CannotLook(why)
    return answer
