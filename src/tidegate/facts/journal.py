"""One entry of the journal: what Tidegate did to a message, when and why."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """`act` is the part of Tidegate that did it (`gate`), `what` its own word for it (an `Outcome`).

    `id` is the message's task id, `key` the key of its overlap; empty where there is none.
    """

    at_s: float
    act: str
    what: str
    queue: str = ""
    task: str = ""
    id: str = ""
    key: str = ""
    why: str = ""
