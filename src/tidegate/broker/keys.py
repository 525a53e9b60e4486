"""Every key that Kombu and Celery keep in Redis, one function or pattern each: its type and what it means.

Read in kombu 5.5 to 5.7. With `global_keyprefix` every name below stands behind that prefix.

    q, q\\x06\\x163, …                 list    messages of queue q, by priority step; head (index 0) is the newest
    _kombu.binding.<exchange>          set     members `routing_key SEP pattern SEP queue`
    _kombu.binding_permanent.<exchange> set    kombu 5.7: the members without a deadline
    _kombu.binding_deadlines           zset    kombu 5.7: binding tables that expire
    unacked                            hash    delivery tag → [message, exchange, routing key]
    unacked_index                      zset    delivery tag, scored with the time of delivery
    unacked_mutex                      string  who restores at present
    celery-task-meta-<id>              string  a result
    celery-taskset-meta-<id>[.c]       string  a group's result, a chord's counter
    <oid>.reply.celery.pidbox          list    answers to remote control
    redbeat:…, redbeat::…              various RedBeat's schedule
"""

import re
from dataclasses import dataclass

SEP = "\x06\x16"
BINDING = "_kombu.binding."
GATE = "tidegate:gate:1:"
"""What stands before the names of the gate's keys, behind the prefix; the number is the version of their format."""
SPILL = f"{GATE}spill:"
"""What stands before the name of a list, behind the prefix, in the name of its side list."""
PRIORITY_STEPS = tuple(range(10))
"""All steps a priority can take. Kombu uses 0, 3, 6, 9 unless told otherwise; asking for all ten costs ten LLEN."""

_GAP = re.compile(r"\W+")
_LONGEST_SEP = 16
_FAMILIES = (
    ("bindings", re.compile(r"^_kombu\.binding")),
    ("unacked", re.compile(r"^unacked(_index|_mutex)?$")),
    ("results", re.compile(r"^celery-task(set)?-meta-")),
    ("replies", re.compile(r"\.reply\.celery\.pidbox$")),
    ("schedules", re.compile(r"^redbeat:")),
    ("queues", re.compile(r"^tidegate:relief:1:(aside|later|back):")),
    ("tidegate", re.compile(r"^tidegate:")),
    ("locks", re.compile(r"^(SINGLETONLOCK_|qo_|celery-singleton|celery_once)")),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How one application names its keys: Kombu's transport options of the same names."""

    prefix: str = ""
    sep: str = SEP
    unacked: str = "unacked"
    unacked_index: str = "unacked_index"

    def list_of(self, queue: str, step: int) -> str:
        """The list with the messages of that queue and priority step."""
        return f"{self.prefix}{queue}{self.sep}{step}" if step else f"{self.prefix}{queue}"

    def lists(self, queue: str) -> list[tuple[int, str]]:
        """All lists a queue can consist of, most urgent first."""
        return [(step, self.list_of(queue, step)) for step in PRIORITY_STEPS]

    def binding(self, exchange: str) -> str:
        """The set of bindings of that exchange."""
        return f"{self.prefix}{BINDING}{exchange}"

    def unacked_key(self) -> str:
        """The hash of what workers have taken and not acknowledged."""
        return f"{self.prefix}{self.unacked}"

    def unacked_index_key(self) -> str:
        """The sorted set of delivery times of the same."""
        return f"{self.prefix}{self.unacked_index}"

    def queue_of_member(self, member: str) -> tuple[str, str] | None:
        """(routing key, queue) of a binding; None where it is not one.

        A member written with another separator is recognised where the pattern is empty, as for every direct exchange.
        """
        parts = member.split(self.sep)
        if len(parts) == 3:
            return parts[0], parts[2]
        for gap in _GAP.finditer(member):
            # The longest pair that ends the gap; only so far back, or a hostile member would take quadratic time.
            for half in range(min(len(gap[0]), _LONGEST_SEP * 2) // 2, 0, -1):
                middle, start = gap.end() - half, gap.end() - 2 * half
                if member[start:middle] == member[middle : gap.end()] and gap.end() < len(member):
                    return member[:start], member[gap.end() :]
        return None

    def without_step(self, key: str) -> str:
        """The queue's name in the name of one of its priority lists."""
        queue, sep, step = key.rpartition(self.sep)
        return queue if sep and step.isdigit() else key

    def events_pattern(self, db: int) -> str:
        """The pub/sub pattern of Celery's events: `worker-heartbeat`, `task-…`."""
        return f"{self.prefix}/{db}.celeryev/*"


def is_internal(queue: str) -> bool:
    """True for Celery's own queues: remote control, its replies, and events."""
    return queue.endswith(".celery.pidbox") or queue.startswith("celeryev")


def family_of(key: str) -> str | None:
    """The kind of key by its name without prefix; None where the name alone does not tell (queues, other programs).

    Lists that an act of relief has set aside are of the kind of their queue.
    """
    return next((name for name, pattern in _FAMILIES if pattern.search(key)), None)


def prefix_before_bindings(key: str) -> str | None:
    """The `global_keyprefix` of the application that wrote this binding; None where it is no binding."""
    position = key.find(BINDING)
    return key[:position] if position >= 0 else None
