"""One run as it is recorded: what was known when it started, and what its end added. Read from a task's request."""

from collections.abc import Mapping
from typing import Any
from zlib import crc32

import msgspec

#: Longer names are cut: a task's name of ten thousand letters is nobody's.
LONGEST_NAME = 160
#: Tasks of which one run's children are counted by name; more are counted as one.
MOST_CHILDREN = 50
OTHER_CHILDREN = "(other tasks)"
#: Celery's states at the end of a run. None: the process is about to go, without a word.
OUTCOME_OF_STATE = {
    "SUCCESS": "success",
    "FAILURE": "failure",
    "RETRY": "retry",
    "IGNORED": "ignored",
    "REJECTED": "rejected",
    None: "lost",
}
#: A stamp that can't be one; it is counted as odd.
ODD_STAMP = "?"


class Flag:
    """What else is known of a run: bits of a number. No `enum.Flag`, which takes half a microsecond to ask."""

    FIRST = 1  # the first try of a message that is its own root: a firing
    REDELIVERED = 2
    FRESH = 4  # the first run of its process
    BROKER_CLOCK = 8  # its stamp is in the broker's time, not in its publisher's


class Started(msgspec.Struct, array_like=True, gc=False):
    """A run that has begun. Times are microseconds of CLOCK_MONOTONIC, which all processes of a machine share.

    `busy` slots are those of its worker, its own among them. `outside_us` is the CPU time that the process spent
    since its last run. `stamp` and `eta` are as they stood in the message.
    """

    serial: int
    task: str
    exchange: str
    routing_key: str
    entry: str
    start_us: int
    stamp: float | str | None
    eta: str | None
    origin: str
    root: int
    flags: int
    busy: int
    outside_us: int


class Ended(msgspec.Struct, array_like=True, gc=False):
    """The end of the run of that serial; `cpu_us` 0 where it can't be told, `children` are counted by task."""

    serial: int
    end_us: int
    cpu_us: int
    busy: int
    outcome: str
    children: dict[str, int] | None = None


def described(said: Mapping[str, Any], task: str) -> tuple[Any, ...]:
    """What a request says of its message, as (task, exchange, routing key, entry, stamp, eta, origin, root, flags).

    `said` is what stands in the request: anything a message may hold. Never raises for odd values; about 2 µs.
    """
    delivery = said.get("delivery_info")
    if type(delivery) is not dict:
        delivery = {}
    own, root, stamp, eta = said.get("id"), said.get("root_id"), said.get("enqueued_at"), said.get("eta")
    flags = 0
    if own == root and not said.get("retries"):
        flags = 1
    if delivery.get("redelivered"):
        flags = 2
    if said.get("enqueued_clock") == "broker":
        flags |= 8
    if type(stamp) is not float:
        stamp = foreign_stamp(said)
    return (
        name_of(task),
        name_of(delivery.get("exchange")),
        name_of(delivery.get("routing_key")),
        name_of(said.get("periodic_task_name")),
        stamp,
        None if eta is None else name_of(eta),
        name_of(said.get("origin")),
        crc32(root.encode("utf-8", "replace")) if type(root) is str else 0,
        flags,
    )


def name_of(value: object) -> str:
    """The text of a name, cut where it is too long; empty where it is none."""
    if type(value) is not str:
        return ""
    return value if len(value) <= LONGEST_NAME else value[:LONGEST_NAME]


def foreign_stamp(said: Mapping[str, Any]) -> float | str | None:
    """The time of publication that others wrote, as they wrote it: Sentry, Judoscale, or a header of ours as text."""
    properties = said.get("properties")
    published = properties.get("published_at") if type(properties) is dict else None
    for stamp in (said.get("enqueued_at"), said.get("sentry-task-enqueued-time"), published):
        if stamp is not None:
            return _plain(stamp)
    return None


def _plain(stamp: object) -> float | str:
    if type(stamp) is float:
        return stamp
    if type(stamp) is int and abs(stamp) < 1 << 62:
        return float(stamp)
    return stamp[:LONGEST_NAME] if type(stamp) is str else ODD_STAMP


def shortened(started: Started) -> Started:
    """The same with names of 40 letters at most, for the rare one that fills a page."""
    long = {field: getattr(started, field) for field in ("task", "exchange", "routing_key", "entry", "origin")}
    cut = {field: value[:40] for field, value in long.items()}
    stamp = started.stamp[:40] if isinstance(started.stamp, str) else started.stamp
    return msgspec.structs.replace(started, **cut, stamp=stamp, eta=started.eta and started.eta[:40])


def sendable(name: str) -> str:
    """The name with what is no Unicode replaced: it would not go through any encoder."""
    return name.encode("utf-8", "replace").decode()
