"""What a backup holds: batches of messages of one list, each message with its place in it."""

from collections.abc import Sequence
from dataclasses import dataclass


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
