"""What a rescue of a full server came to."""

from dataclasses import dataclass

from tidegate.facts.relief import Relieved


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescued(Relieved):
    """As every act, and what makes it a rescue. `scanned` messages went to the disk, `kept` of them are back in the queue,
    `removed` are not yet; in a dry run `removed` would go there.

    `room_s`: after so many seconds workers could start; None where there is no room yet. `free_bytes`: as much of
    `limit_bytes` is kept free. `most_on_disk`: the most messages that were in `directory` at any time.
    """

    directory: str
    on_disk: int = 0
    most_on_disk: int = 0
    late: int = 0
    room_s: float | None = None
    used_bytes: int = 0
    limit_bytes: int = 0
    free_bytes: int = 0
    done: bool = False
