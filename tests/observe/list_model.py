"""What a Redis list goes through while Celery works with it, kept as a plain Python list that counts the truth."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tidegate.observe.meter import Reading

_NUMBERS = itertools.count()


def fresh() -> bytes:
    """A message that no other equals, with what kombu gives every message: a delivery tag of its own."""
    return b'{"headers": {"task": "t"}, "properties": {"delivery_tag": "%d"}}' % next(_NUMBERS)


def put_back(element: bytes) -> bytes:
    """The message as kombu restores it: marked, all else as it was."""
    return element if b"redelivered" in element else element[:-1] + b', "redelivered": true}'


@dataclass
class ListModel:
    """A list, newest first, with what is taken from it; `make` draws the next element pushed."""

    make: Callable[[], bytes] = fresh
    elements: list[bytes] = field(default_factory=list)
    taken: list[bytes] = field(default_factory=list)
    pushed: int = 0
    left: int = 0
    restored: int = 0

    def push(self, number: int) -> None:
        for _ in range(number):
            self.elements.insert(0, self.make())
            self.pushed += 1

    def pop(self, number: int) -> None:
        for _ in range(min(number, len(self.elements))):
            self.taken.append(self.elements.pop())
            self.left += 1

    def restore(self, number: int) -> None:
        for _ in range(min(number, len(self.taken))):
            self.elements.append(put_back(self.taken.pop()))
            self.restored += 1

    def delete(self, _: int = 0) -> None:
        self.left += len(self.elements)
        self.elements.clear()

    def do(self, acts: Sequence[tuple[str, int]]) -> None:
        for act, number in acts:
            getattr(self, act)(number)

    @property
    def counted(self) -> tuple[int, int, int]:
        return self.pushed, self.left, self.restored

    def read(self, at_s: float, ends: int, marker: bytes | None = None, search: int = 0) -> Reading:
        """A reading of `ends` elements at each end; the marker is looked for among the newest `search`."""
        found = self.elements.index(marker) if marker in self.elements[:search] else None
        return Reading(at_s, len(self.elements), self.elements[:ends], self.elements[-ends:] if ends else [], found)


def acts(most: int = 8) -> Any:
    """A few things that happen to a list between two looks."""
    kinds = st.sampled_from(["push", "push", "push", "pop", "pop", "restore", "delete"])
    return st.lists(st.tuples(kinds, st.integers(1, most)), max_size=5)
