"""Whether a worker is dead beyond doubt: only then may anybody else have what it holds.

A worker with the gate says every second that it lives, and which process it is. On its own machine the process itself
is the proof; from another machine it is silence, of fifteen seconds in which the server was up all the time.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tidegate.broker.client import Broker
from tidegate.broker.gate import workers_said
from tidegate.broker.reads import clients, info
from tidegate.facts.unknown import known
from tidegate.observe.unacked import Worker
from tidegate.units import plural

#: Its last word expires five seconds after it was said; so much longer it has to stay silent while we listen.
LISTEN_S, _TURN_S = 10.0, 0.5
SILENT_S = 15
#: After its start a server has not heard of those who have not come back yet.
SETTLED_S = 60
_NAMED = 3

Listening = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Worker id → why it is dead, and of the others, why that is not proved."""

    dead: dict[str, str] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)


def judge_workers(broker: Broker, workers: Sequence[Worker], listening: Listening | None = None) -> Verdicts:
    """Who of them is dead; ten seconds where one is silent and of another machine, else at once."""
    verdicts, silent = Verdicts(), []
    for worker in workers:
        process = worker.process
        if process is not None and process.is_here():
            if process.is_gone():
                verdicts.dead[worker.id] = f"its process {process.pid} on this machine is gone"
            else:
                verdicts.others[worker.id] = f"its process {process.pid} on this machine lives"
        elif worker.heard:
            verdicts.others[worker.id] = "it said within five seconds that it lives"
        else:
            silent.append(worker)
    if silent:
        _listen_for(broker, silent, verdicts, listening)
    return verdicts


def _listen_for(broker: Broker, silent: Sequence[Worker], verdicts: Verdicts, listening: Listening | None) -> None:
    why_not = _unsettled(broker)
    spoke: set[str] = set()
    if not why_not:
        for left_s in _turns(listening):
            said = workers_said(broker, [worker.id for worker in silent])
            if not known(said):
                why_not = said.why
                break
            spoke |= said.keys()
            if len(spoke) == len(silent) or not left_s:
                break
    for worker in silent:
        if why_not or worker.id in spoke:
            verdicts.others[worker.id] = why_not or "it said meanwhile that it lives"
        else:
            verdicts.dead[worker.id] = f"it has said nothing for {SILENT_S} s, from another machine"


def nobody_holds(broker: Broker, listening: Listening | None = None) -> str:
    """Why somebody may hold what is unacknowledged, empty where nobody can: no other client is connected to the database.

    Ten seconds, in which none may come either; INFO, CLIENT LIST and CLIENT ID.
    """
    why_not = _unsettled(broker)
    if why_not:
        return why_not
    for left_s in _turns(listening):
        why_not = _others(broker)
        if why_not or not left_s:
            break
    return why_not


def _turns(listening: Listening | None) -> Iterator[float]:
    """Sleeps between its turns; each is how many seconds are left, the last one none."""
    until_s = time.monotonic() + LISTEN_S
    while True:
        left_s = max(0.0, until_s - time.monotonic())
        if listening is not None:
            listening(left_s)
        yield left_s
        if not left_s:
            return
        time.sleep(min(_TURN_S, left_s))


def _unsettled(broker: Broker) -> str:
    """Why silence proves nothing at present."""
    fields = info(broker)
    if not known(fields):
        return f"how long the server is up can't be seen ({fields.why})"
    up = fields.get("uptime_in_seconds", "")
    if not up.isdigit() or int(up) < SETTLED_S:
        return f"the server started less than {SETTLED_S} s ago, and workers that live may not have come back yet"
    return ""


def _others(broker: Broker) -> str:
    found, own = clients(broker), broker.one("CLIENT", "ID")
    if not known(found):
        return f"who is connected can't be seen ({found.why})"
    others = [row for row in found if _may_hold(row, broker.address.db) and row.get("id") != str(own)]
    if not others:
        return ""
    named = ", ".join(row.get("addr", "?") for row in others[:_NAMED]) + (", …" if len(others) > _NAMED else "")
    return f"{plural(len(others), 'client')} beside this one are connected to database {broker.address.db} ({named})"


def _may_hold(row: dict[str, str], db: int) -> bool:
    """Whether it may be a worker of this database: replicas and monitors are not."""
    return row.get("db") == str(db) and not set(row.get("flags", "")) & set("SMO")
