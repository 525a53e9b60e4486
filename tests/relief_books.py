"""The books of a queue under fire: every message has a number, and they say where each of them is."""

import base64
import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import redis

from tidegate.backup.reader import BackupReader
from tidegate.facts.relief import State

QUEUE, ASIDE_QUEUE, TAKEN, ELSEWHERE = "celery", "sidelined", "taken", "elsewhere"
HIDDEN = "tidegate:relief:1:{}:" + QUEUE
OVER = (State.DONE, State.ROLLED_BACK)
TASKS = ("app.flush", "app.mail", "app.report")
OUT_OF_ORDER = "out of order"
#: Of the messages of a task so many have arguments of their own.
KINDS = 40


def message(number: int) -> bytes:
    """The message with that number."""
    chance = random.Random(number)
    body = base64.b64encode(json.dumps([[chance.randrange(KINDS)], {}, {}]).encode()).decode()
    return json.dumps(
        {
            "body": body,
            "headers": {"task": chance.choice(TASKS), "id": f"id-{number}", "root_id": f"id-{number}"},
            "properties": {"delivery_tag": f"tag-{number}", "body_encoding": "base64", "priority": 0},
            "content-type": "application/json",
            "content-encoding": "utf-8",
        }
    ).encode()


def task_of(number: int) -> str:
    """Whose message it is."""
    return str(json.loads(message(number))["headers"]["task"])


def number_of(element: bytes) -> int:
    """Which message it is."""
    return int(json.loads(element)["properties"]["delivery_tag"].removeprefix("tag-"))


def numbers(elements: Iterable[bytes]) -> list[int]:
    """Which they are."""
    return [number_of(one) for one in elements]


@dataclass
class Books:
    """Where every message is. `doubtful` are those whose publisher got no answer: they may be there once or not at all."""

    client: redis.Redis
    published: set[int] = field(default_factory=set)
    doubtful: set[int] = field(default_factory=set)
    removed: list[int] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)

    def waiting(self) -> list[int]:
        """What is in the queue, oldest first; behind it what somebody renamed it to."""
        return [number for key in (QUEUE, ELSEWHERE) for number in numbers(reversed(self.client.lrange(key, 0, -1)))]

    def file(self, path: Path) -> list[int]:
        """What a backup holds: it is removed from now on."""
        with BackupReader.open(path) as reader:
            gone = [number for batch in reader.batches() for number in numbers(batch.elements)]
        self.removed += gone
        return gone

    def settle(self) -> list[int]:
        """Notes what consumers took, in their order, and what was moved away; empties both lists."""
        taken = numbers(reversed(self.client.lrange(TAKEN, 0, -1)))
        self.taken += taken
        self.removed += numbers(reversed(self.client.lrange(ASIDE_QUEUE, 0, -1)))
        self.client.delete(TAKEN, ASIDE_QUEUE)
        self.published |= {int(one) for one in self.client.lrange("published", 0, -1)}
        self.client.delete("published")
        return taken

    def wrong(self) -> list[str]:
        """What is not as it has to be."""
        hidden = {kind: self.client.llen(HIDDEN.format(kind)) for kind in ("aside", "later", "back")}
        found = Counter([*self.taken, *self.removed, *self.waiting()])
        faults = {
            "lost": self.published - found.keys(),
            "doubled": {number for number, many in found.items() if many > 1},
            "that nobody published": found.keys() - self.published - self.doubtful,
        }
        said = [f"{len(which)} {what}: {sorted(which)[:5]}" for what, which in faults.items() if which]
        return said + [f"{many} left {kind}" for kind, many in hidden.items() if many]

    def forget(self) -> None:
        """What has gone for good is not looked at again."""
        gone = {*self.taken, *self.removed}
        self.published -= gone
        self.doubtful -= gone
        self.taken, self.removed = [], []


def out_of_order(taken: Sequence[int], after: Sequence[int], before: Sequence[int]) -> list[str]:
    """What waits and does not stand in its order, and what waited before an act and was not taken in its order.

    While an act is interrupted workers take what came since, where nothing older stands in the queue itself: of what was
    taken only what was there before is judged.
    """
    place = {number: at for at, number in enumerate(before)}
    old = [one for one in (*taken, *after) if one in place]
    found = []
    for what, these in (("waiting", after), ("taken, then waiting,", old)):
        pairs = [(one, other) for one, other in pairwise(these) if _age(place, one) >= _age(place, other)]
        found += [f"{len(pairs)} {what} {OUT_OF_ORDER}, first {pairs[0]}"] if pairs else []
    return found


def _age(place: Mapping[int, int], number: int) -> int:
    return place.get(number, len(place) + number)
