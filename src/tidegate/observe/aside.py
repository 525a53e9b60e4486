"""What acts of relief have set aside of queues, and whether whoever did it is still there."""

from collections.abc import Mapping, Sequence

from tidegate.broker.aside import hidden_by_step, hidden_depths, holders, records
from tidegate.broker.client import Broker
from tidegate.facts.seen import SetAside
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.observe.measured import broker_time
from tidegate.observe.process import process_in

#: An act on another machine that said nothing for so long is taken for dead; it speaks with every step.
SILENT_S = 15.0
_FIELDS = ("act", "state", "process", "who", "started_ms", "alive_ms")


def see_aside(broker: Broker, queues: Sequence[str]) -> dict[str, Maybe[SetAside | None]]:
    """What is set aside of each queue, by name; one MGET, and two commands and thirty LLEN for each that an act has."""
    held = holders(broker, queues)
    if not known(held):
        return dict.fromkeys(queues, held)
    if not held:
        return {}
    said = records(broker, list(dict.fromkeys(held.values())), _FIELDS)
    now_s = broker_time(broker)
    return {queue: _aside(broker, queue, act, said[act], now_s) for queue, act in held.items()}


def _aside(broker: Broker, queue: str, act: str, said: Mapping[str, str], now_s: float) -> Maybe[SetAside]:
    by_priority: dict[int, int] = {}
    for step, depth in hidden_by_step(broker, queue).items():
        if not known(depth):
            return depth
        by_priority[step] = depth
    alive_s, started_s = _seconds(said, "alive_ms"), _seconds(said, "started_ms")
    return SetAside(
        id=act,
        by_priority=by_priority,
        act=said.get("act", ""),
        started_at=started_s,
        who=said.get("who", ""),
        silent_s=None if alive_s is None else max(0.0, now_s - alive_s),
        interrupted=is_interrupted(said.get("state", ""), said.get("process", ""), alive_s, now_s),
    )


def is_interrupted(state: str, process: str, alive_s: float | None, now_s: float) -> Maybe[bool]:
    """Whether nobody goes on with the act: it says so, its process is surely gone, or it is silent on another machine."""
    who = process_in(process)
    if state == "interrupted" or (who is not None and who.is_gone()):
        return True
    if who is not None and who.is_here():
        return False
    return Unknown("the act has no record") if alive_s is None else now_s - alive_s > SILENT_S


def lists_aside(broker: Broker, queue: str) -> list[str]:
    """The lists of the queue that an act has set aside, oldest first; one MGET, and thirty LLEN where one has it."""
    held = holders(broker, [queue])
    return list(hidden_depths(broker, queue)) if known(held) and held else []


def _seconds(said: Mapping[str, str], name: str) -> float | None:
    text = said.get(name, "")
    return int(text) / 1000 if text.isdigit() and len(text) < 16 else None
