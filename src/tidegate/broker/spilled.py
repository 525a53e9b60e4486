"""The keys of the spill keeper, behind the prefix. In order of age: the list, its front, the disk, its side list.

tidegate:gate:1:front:<list>   list    what came back from the disk and enters next
tidegate:gate:1:kept:<list>    hash    store (id), where, taken, fed (numbers; on disk is what is between), full, forget
tidegate:gate:1:keeper         string  JSON of the keeper that acts, its `store` among it; expires 5 s after its last word
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tidegate.broker.client import Broker, Refusal, as_text
from tidegate.broker.keys import GATE, PRIORITY_STEPS, SPILL
from tidegate.broker.reads import batched, lengths, refused
from tidegate.facts.unknown import Maybe, known

FRONT, KEPT, KEEPER = f"{GATE}front:", f"{GATE}kept:", f"{GATE}keeper"


def beside(prefix: str, kind: str, list_key: str) -> str:
    """The key of that kind (`SPILL`, `FRONT`, `KEPT`) beside a list."""
    return f"{prefix}{kind}{list_key[len(prefix) :]}"


def side_list(prefix: str, list_key: str) -> str:
    """Where what is over the bound waits first."""
    return beside(prefix, SPILL, list_key)


@dataclass(frozen=True, slots=True)
class Disk:
    """One store: its id, the machine and directory it was first used in, and how many messages of a queue are on it."""

    store: str
    where: str
    messages: int


@dataclass(frozen=True, slots=True)
class OnDisk:
    """What the server knows of a queue's messages on a keeper's disk, and of those that came back and are not in yet."""

    messages: int = 0
    in_front: int = 0
    where: str = ""
    full: bool = False
    disks: tuple[Disk, ...] = ()


def on_disk(broker: Broker, queues: Sequence[str]) -> dict[str, Maybe[OnDisk]]:
    """By queue; ten HMGET and ten LLEN each."""
    return {queue: _of_queue(broker, queue) for queue in queues}


def keeper_said(broker: Broker) -> Maybe[str | None]:
    """What the keeper that acts says of itself, None where none does; one MGET."""
    answer = broker.one("MGET", broker.layout.prefix + KEEPER)
    if isinstance(answer, Refusal):
        return refused(broker, "MGET", answer)
    return None if answer[0] is None else as_text(answer[0])


def _of_queue(broker: Broker, queue: str) -> Maybe[OnDisk]:
    prefix, keys = broker.layout.prefix, [broker.layout.list_of(queue, step) for step in PRIORITY_STEPS]
    fields = ("taken", "fed", "forget", "store", "where", "full")
    answers = batched(broker, [("HMGET", beside(prefix, KEPT, key), *fields) for key in keys])
    refusal = next((answer for answer in answers if isinstance(answer, Refusal)), None)
    if refusal is not None:
        return refused(broker, "HMGET", refusal)
    fronts = lengths(broker, [beside(prefix, FRONT, key) for key in keys])
    unknown = next((depth for depth in fronts if not known(depth)), None)
    if unknown is not None and not known(unknown):
        return unknown
    said = [[as_text(part) if part is not None else "" for part in answer] for answer in answers]
    disks = [disk for disk in (_disk(*parts) for *parts, _ in said) if disk.messages]
    return OnDisk(
        messages=sum(disk.messages for disk in disks),
        in_front=sum(depth for depth in fronts if known(depth)),
        where=next((disk.where for disk in disks), ""),
        full=any(full for *_, full in said),
        disks=tuple(disks),
    )


def _disk(taken: str, fed: str, forget: str, store: str, where: str) -> Disk:
    return Disk(store, where, max(0, _number(taken) - max(_number(fed), _number(forget))))


def _number(text: str) -> int:
    return int(text) if text.lstrip("-").isdecimal() and len(text) < 19 else 0
