"""One entry of the journal: what Tidegate did to a message or to the schedule, when and why."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """`act` is the part of Tidegate that did it (`gate`, `beat`), `what` its own word for it (an `Outcome`, or an order).

    `id` is the message's task id, `key` the key of its overlap, or the entry of the schedule; empty where there is none.
    `who` (user@machine) ordered it, and `was` and `now` say what he changed; empty where nobody did.
    """

    at_s: float
    act: str
    what: str
    queue: str = ""
    task: str = ""
    id: str = ""
    key: str = ""
    why: str = ""
    who: str = ""
    was: str = ""
    now: str = ""
