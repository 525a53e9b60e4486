"""How rules speak: fine, noticed, or could not look; and words that several of them need."""

import json
import shlex
from collections.abc import Mapping

from tidegate.facts.diagnosis import Finding, Level, QueueReport, TaskReport
from tidegate.facts.unknown import Unknown, known
from tidegate.model.case import Case
from tidegate.units import duration


def fine(rule: str, sentence: str, **evidence: object) -> Finding:
    """The healthy sentence."""
    return Finding(rule=rule, level=Level.OK, sentence=sentence, evidence=evidence)


def could_not_look(rule: str, what: str, unknown: Mapping[str, Unknown]) -> Finding:
    """Not seen, so neither fine nor bad: an INFO with the reason for every field."""
    whys = {name: value.why for name, value in unknown.items()}
    reason = "; ".join(dict.fromkeys(whys.values()))
    return Finding(rule=rule, level=Level.INFO, sentence=f"Could not look at {what}: {reason}.", unknown=whys)


def unseen(**values: object) -> dict[str, Unknown]:
    """Those of the values that could not be seen."""
    return {name: value for name, value in values.items() if isinstance(value, Unknown)}


def unread(case: Case) -> dict[str, Unknown]:
    """The queues of which something may wait that was not looked into, by name."""
    deep = {queue.name: queue.depth for queue in case.queues if isinstance(queue.depth, Unknown)}
    why = Unknown("its messages were not looked at")
    return deep | {queue.name: why for queue in case.waiting if case.census(queue.name) is None}


def shell(text: str) -> str:
    """A name as one word of a command line; names of queues come from outside, and remedies are pasted."""
    return shlex.quote(text)


def quoted(text: str) -> str:
    """A name as a string of Python source, on one line whatever stands in it."""
    return json.dumps(text)


def interval_advice(task: TaskReport) -> str | None:
    """`at most every 1.5 s (1.2 s is the edge)`, None where the interval is unknown."""
    if not known(task.edge_interval_s) or not known(task.min_safe_interval_s):
        return None
    return f"at most every {duration(task.min_safe_interval_s)} ({duration(task.edge_interval_s)} is the edge)"


def wait_s(queue: QueueReport) -> float | None:
    """How long a message that comes now will wait, where anything leaves."""
    if not known(queue.depth) or not known(queue.service_per_s) or queue.service_per_s <= 0:
        return None
    return queue.depth / queue.service_per_s
