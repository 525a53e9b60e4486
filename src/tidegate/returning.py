"""What workers hold, and how it comes back to its queues, in one call each: what `tidegate unacked` does, for programs."""

from typing import Any

from tidegate.act.relief.proving import Listening
from tidegate.act.relief.putting_back import Progress, put_back
from tidegate.broker.address import Address
from tidegate.broker.client import connect
from tidegate.facts.unacked import HeldLook, PutBack
from tidegate.observe.unacked import see_held


def held_at(address: Address, queue: str | None = None, most: int = 1000, *, timeout_s: float = 5.0) -> HeldLook:
    """The oldest messages that workers at that address hold, of one queue or of all; writes nothing.

    Two commands for 200 messages, and one LRANGE for every worker with the gate.
    """
    with connect(address, timeout_s) as broker:
        return see_held(broker, queue, most)


def put_back_at(
    address: Address,
    node: str | None = None,
    *,
    yes: bool = False,
    app: Any = None,
    timeout_s: float = 5.0,
    listening: Listening | None = None,
    progress: Progress | None = None,
) -> PutBack:
    """Puts back what that worker holds, or every dead one; without `yes` only says what it would.

    Raises Refused where no worker is proved dead, and NothingFound where none has that name.
    """
    with connect(address, timeout_s) as broker:
        return put_back(broker, node, dry_run=not yes, app=app, listening=listening, progress=progress)
