"""One run as it is recorded, and what a request says of its message: read on the task's own path, so it has to be quick."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from zlib import crc32

from tidegate.broker.envelope import epoch
from tidegate.facts.measured import OUTCOMES

#: Longer names are cut: a task's name of ten thousand letters is nobody's.
LONGEST_NAME = 160
#: Tasks of which one run's children are counted by name; more are counted as one.
MOST_CHILDREN = 50
OTHER_CHILDREN = "(other tasks)"
SUCCESS, FAILURE, RETRY, IGNORED, REJECTED, LOST = map(
    OUTCOMES.index, ("success", "failure", "retry", "ignored", "rejected", "lost")
)
#: The place among OUTCOMES by Celery's state at the end of a run that did not succeed.
OUTCOME_OF_STATE = {"FAILURE": FAILURE, "RETRY": RETRY, "IGNORED": IGNORED, "REJECTED": REJECTED}
#: No time of publication, and no ETA.
NO_TIME = 0.0


class Flag:
    """What else is known of a run: bits of a number. No `enum.Flag`, which takes half a microsecond to ask."""

    FIRST = 1  # the first try of a message that is its own root: a firing
    REDELIVERED = 2
    FRESH = 4  # the first run of its process
    BROKER_CLOCK = 8  # its stamp is in the broker's time, not in its publisher's
    ODD_STAMP = 16  # it has a stamp that can't be one


class Names(NamedTuple):
    """What the runs of one kind have in common; `entry` is empty where there is none."""

    task: str
    exchange: str
    routing_key: str
    entry: str


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """Names that are known, as one object: told apart by identity."""

    names: Names


class Run(NamedTuple):
    """One run. Times are microseconds of CLOCK_MONOTONIC, which all processes of a machine share.

    `busy` slots are those of its worker, its own among them. `cpu_us` 0: it can't be told. `outside_us` is the CPU time
    that the process spent since its run before. `stamp_s` and `eta_s` are as the message says, NO_TIME where it says
    nothing. `serial` counts the runs of a slot.
    """

    slot: int
    kind: Kind
    machine: str
    children: Mapping[str, int] | None
    flags: int
    busy: int
    busy_at_end: int
    outcome: int
    root: int
    serial: int
    start_us: int
    end_us: int
    cpu_us: int
    outside_us: int
    stamp_s: float
    eta_s: float


def said_of(said: Mapping[str, Any], task: str) -> tuple[Any, Any, int, float, float, int]:
    """(names, origin, root, stamp, ETA, flags) of a request; names and origin as they came, whatever they are.

    `said` is what stands in the request: anything that a message may hold. About a microsecond.
    """
    delivery = said.get("delivery_info")
    if type(delivery) is not dict:
        delivery = {}
    root, stamp, eta = said.get("root_id"), said.get("enqueued_at"), said.get("eta")
    flags = 0
    if root == said.get("id") and not said.get("retries"):
        flags = 1
    if delivery.get("redelivered"):
        # A firing that is delivered again was counted when it came first.
        flags = 2
    if type(stamp) is not float:
        stamp = foreign_stamp(said)
        if stamp is None:
            stamp, flags = NO_TIME, flags | 16
    elif "enqueued_clock" in said:
        flags |= 8
    names = (task, delivery.get("exchange"), delivery.get("routing_key"), said.get("periodic_task_name"))
    hashed = crc32(root.encode("utf-8", "replace")) if type(root) is str else 0
    return names, said.get("origin"), hashed, stamp, NO_TIME if eta is None else _eta(eta), flags


def name_of(value: object) -> str:
    """The text of a name as it can be written down, cut where it is too long; empty where it is none."""
    return value[:LONGEST_NAME].encode("utf-8", "replace").decode() if type(value) is str else ""


def machine_of(origin: object) -> str:
    """The machine in an origin, as in `gen123@host`."""
    return name_of(origin).rpartition("@")[2]


def foreign_stamp(said: Mapping[str, Any]) -> float | None:
    """The time of publication that others wrote: Sentry, Judoscale, or a header of ours as text.

    NO_TIME where there is none, None where there is one that can't be a time.
    """
    properties = said.get("properties")
    published = properties.get("published_at") if type(properties) is dict else None
    for stamp in (said.get("enqueued_at"), said.get("sentry-task-enqueued-time"), published):
        if stamp is not None:
            return _time(stamp)
    return NO_TIME


def _time(stamp: object) -> float | None:
    if type(stamp) is str:
        return epoch(stamp[:LONGEST_NAME])
    # A huge number would not go into a float.
    return epoch(stamp) if isinstance(stamp, (int, float)) and abs(stamp) < 1e30 else None


def _eta(eta: object) -> float:
    return (epoch(eta[:LONGEST_NAME]) or NO_TIME) if type(eta) is str else NO_TIME
