"""A worker says once a second that it lives and what it has in hand, so that no mark waits for one that is dead.

One thread with a connection of its own and short timeouts: five commands a second, and the worker never waits for it.
"""

import atexit
import json
import logging
import os
import secrets
import threading
import time
from typing import Any

from celery import bootsteps, current_app, signals

from tidegate.act.gate import running
from tidegate.act.gate.hands import hands
from tidegate.act.gate.openings import openings
from tidegate.broker.address import Address
from tidegate.broker.client import Command, Refusal, as_text
from tidegate.broker.keys import GATE
from tidegate.broker.scripts import COUNTS, Argument, Script
from tidegate.errors import TidegateError
from tidegate.observe.app import address_of
from tidegate.observe.probe.link import Away, Link, refusal_among
from tidegate.observe.process import Process, process_in, spoke_at, this_process

log = logging.getLogger("tidegate.gate")

SWEEP = Script("marks", "firings", "sweep")
EVERY_S = 1.0
EXPIRES_MS = 5000
#: How often a worker says which process it is, for whoever looks when it is dead; and how long that is kept.
_NAMED_EVERY_S, _NAMED_FOR_S = 600.0, 86_400
_UID = "tidegate.gate.running"
_FINISH_S = 2.0

_presence: "Presence | None" = None


class _Link(Link):
    log = log
    away = "this worker can't say that it lives, so marks of what it holds do not count: %s"
    back = "this worker says again that it lives"


class Presence:
    """What one worker process says of itself, from its start to its end."""

    def __init__(self, node: str, address: Address, visibility_timeout_s: float) -> None:
        self.worker = secrets.token_hex(6)
        self._node = node
        self._prefix = address.layout.prefix
        self._index = address.layout.unacked_index_key()
        self._visibility_ms = int(visibility_timeout_s * 1000)
        self._link = _Link(address)
        self._me = this_process()
        self._others: dict[str, Process | None] = {}
        self._arrived = False
        self._named_at_s = float("-inf")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tidegate-presence", daemon=True)

    def start(self) -> None:
        """From now on it speaks."""
        self._thread.start()

    def finish(self) -> None:
        """Says that it is gone, and ends; two seconds at most. Not for a forked child of it."""
        if os.getpid() != self._me.pid or self._ended.is_set():
            return
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(_FINISH_S)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._safely(self._speak)
            self._ended.wait(EVERY_S)
        self._safely(self._go)
        self._link.close()

    def _safely(self, act: Any) -> None:
        try:
            act()
        except Away:
            return
        except Exception as error:  # noqa: BLE001  the worker never notices
            self._link.failed(f"{type(error).__name__}: {error}", in_doubt=True)

    def _speak(self) -> None:
        """What is gathered after the server said its time is never older than that."""
        seconds, micros = self._asked(("TIME",))[0]
        said = self._said(int(seconds) * 1000 + int(micros) // 1000)
        self._asked(("SET", self._key(f"worker:{self.worker}"), said, "PX", EXPIRES_MS))
        if time.monotonic() - self._named_at_s > _NAMED_EVERY_S:
            self._name(int(seconds))
        self._declare_dead()
        self._arrived = True
        self._asked(("HSET", self._key("nodes"), self._node, self.worker))
        self._sweep()
        self._count()
        self._link.works()

    def _name(self, now_s: int) -> None:
        """What is known of this process when it is dead; those that are long dead are forgotten."""
        processes = self._key("processes")
        self._asked(
            ("HSET", processes, self.worker, json.dumps({"at": now_s, **self._identity()})),
            ("EXPIRE", processes, _NAMED_FOR_S),
            ("EXPIRE", self._key(f"took:{self.worker}"), _NAMED_FOR_S),
        )
        pairs = self._asked(("HGETALL", processes))[0]
        said = {as_text(worker): spoke_at(value) for worker, value in zip(pairs[::2], pairs[1::2], strict=True)}
        if old := [worker for worker, at in said.items() if at < now_s - _NAMED_FOR_S]:
            self._asked(("HDEL", processes, *old))
        self._named_at_s = time.monotonic()

    def _identity(self) -> dict[str, Any]:
        me = self._me
        return {"node": self._node, "machine": me.machine, "pid": me.pid, "started": me.started}

    def _said(self, as_of_ms: int) -> str:
        running, lost = hands.runs()
        return json.dumps(
            {
                "as_of": as_of_ms,
                "sessions": hands.sessions(),
                "running": running,
                "lost": lost,
                **self._identity(),
            }
        )

    def _declare_dead(self) -> None:
        """Those of this machine that are gone, and at first who had this name; who lives speaks again at once."""
        self._hear(self._asked(("HGETALL", self._key("nodes")))[0])
        dead = [worker for worker, process in self._others.items() if process is not None and process.is_gone()]
        if dead:
            self._asked(("DEL", *(self._key(f"worker:{worker}") for worker in dead)))
            # Not read again: what it said is gone, and its name is swept.
            self._others.update(dict.fromkeys(dead))

    def _hear(self, pairs: list[Any]) -> None:
        """Reads of every worker once which process it is."""
        nodes = {as_text(worker): as_text(node) for node, worker in zip(pairs[::2], pairs[1::2], strict=True)}
        nodes.pop(self.worker, None)
        new = [worker for worker in nodes if worker not in self._others]
        said = self._asked(("MGET", *(self._key(f"worker:{worker}") for worker in new)))[0] if new else []
        heard = {worker: process_in(value) for worker, value in zip(new, said, strict=True)}
        self._others = {worker: self._others.get(worker, heard.get(worker)) for worker in nodes}
        if not self._arrived:
            self._depose([worker for worker in new if nodes[worker] == self._node], heard)

    def _depose(self, namesakes: list[str], heard: dict[str, Process | None]) -> None:
        """Declares dead who had this name on another machine: a name is one worker's."""
        there = [worker for worker in namesakes if (process := heard[worker]) is not None and not process.is_here()]
        if there:
            self._asked(("DEL", *(self._key(f"worker:{worker}") for worker in there)))

    def _sweep(self) -> None:
        keys = [self._key("sweep")]
        arguments: list[Argument] = [self._prefix, self._visibility_ms, self._index, self._key("nodes")]
        answer = self._link.run(SWEEP, keys, arguments)[0]
        if isinstance(answer, Refusal):
            openings.note("sweep", answer.why, "marks are only judged when somebody publishes")

    def _count(self) -> None:
        counts = openings.take()
        try:
            self._asked(*(("HINCRBY", f"{self._prefix}{COUNTS}", f"open|{why}", many) for why, many in counts.items()))
        except Away:
            openings.give_back(counts)
            raise

    def _go(self) -> None:
        nodes = self._key("nodes")
        _, present = self._asked(("DEL", self._key(f"worker:{self.worker}")), ("HGET", nodes, self._node))
        if present is not None and as_text(present) == self.worker:
            self._asked(("HDEL", nodes, self._node))

    def _asked(self, *commands: Command) -> list[Any]:
        answers = self._link.ask(*commands)
        refusal = refusal_among(answers)
        if refusal is not None:
            self._link.complain(refusal.why)
            raise Away(refusal.why, in_doubt=False)
        return answers

    def _key(self, name: str) -> str:
        return f"{self._prefix}{GATE}{name}"


class GateStep(bootsteps.StartStopStep):
    """The gate as a step of a worker: its presence, before anything is taken, and what tells of its runs."""

    requires = ("celery.worker.components:Pool",)

    def create(self, worker: Any) -> Any:
        """Who this worker is; None where the gate is off, or the broker is none that it can speak to."""
        global _presence
        app = worker.app
        if app.conf.get("tidegate_gate", True) is False:
            return None
        try:
            options = app.conf.broker_transport_options or {}
            address = address_of(app)
            presence = Presence(str(worker.hostname), address, float(options.get("visibility_timeout", 3600)))
        except (TidegateError, TypeError, ValueError) as error:
            log.warning("the gate does not follow what this worker holds: %s", error)
            return None
        shut_down()
        _presence = presence
        hands.begin(presence.worker, app)
        connect()
        app.steps["consumer"].add(RunsStep)
        signals.worker_shutdown.connect(shut_down, weak=False, dispatch_uid=_UID)
        atexit.register(shut_down)
        return presence

    def start(self, worker: Any) -> None:
        """Speaks for the first time; the consumer starts after it."""
        if self.obj is not None:
            self.obj.start()

    def stop(self, worker: Any) -> None:
        """Nothing yet: runs go on until the pool has ended, and `worker_shutdown` comes after that."""

    def terminate(self, worker: Any) -> None:
        """Nothing either: the process ends, and says so as it does."""


class RunsStep(bootsteps.StartStopStep):
    """Tells of the runs of a worker that runs its tasks itself; in a pool of processes each of them does it."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """Celery makes the tracers anew whenever the consumer starts."""
        if hands.worker:
            solo = type(consumer.pool).__module__.endswith(".solo")
            running.watch(consumer.app.tasks, running.Teller(address_of(consumer.app)), solo=solo)

    def stop(self, consumer: Any) -> None:
        """Nothing: what runs is still told."""


def connect() -> None:
    """Connects the handler of new pool processes; for every process that imports the application, for they may be spawned."""
    signals.worker_process_init.connect(_enter_pool_process, weak=False, dispatch_uid=_UID)


def disconnect() -> None:
    """Takes the handlers of this process away again, for tests."""
    for signal in (signals.worker_process_init, signals.worker_shutdown):
        signal.disconnect(dispatch_uid=_UID)
    shut_down()


def shut_down(**_: Any) -> None:
    """Ends the presence of this process, if it has one."""
    global _presence
    presence, _presence = _presence, None
    if presence is not None:
        presence.finish()
        hands.end()


def _enter_pool_process(**_: Any) -> None:
    """Handler of `worker_process_init`, in every new process of a pool; the solo pool sends it in the worker itself."""
    try:
        if current_app.conf.get("tidegate_gate", True) is not False:
            running.watch(current_app.tasks, running.Teller(address_of(current_app)))
    except Exception as error:  # noqa: BLE001  the pool process starts all the same
        log.warning("the gate is not told of the runs of a pool process: %s: %s", type(error).__name__, error)
