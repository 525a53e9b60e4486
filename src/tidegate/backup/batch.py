"""Messages in a row: the batches that a backup holds, each message with its place, and how many go at once."""

from collections.abc import Sequence
from dataclasses import dataclass


def fitting(elements: Sequence[bytes], most: int, most_bytes: int) -> Sequence[bytes]:
    """The first of them: `most`, or as many as weigh no more than that together, and one at least."""
    weight = 0
    for place, element in enumerate(elements[:most]):
        weight += len(element)
        if weight > most_bytes and place:
            return elements[:place]
    return elements[:most]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Messages of one list of a queue, as they stood in Redis, oldest first.

    `step` is the priority step of the list, `positions` the place of every element counted from the oldest one that was
    there when the act began (0), ascending. `moment_s` is the server's time when they were read.
    """

    queue: str
    step: int
    positions: Sequence[int]
    elements: Sequence[bytes]
    moment_s: float = 0.0
