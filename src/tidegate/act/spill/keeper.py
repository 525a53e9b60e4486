"""The keeper: one process that puts what is over the bounds on its disk, and brings it back as the queues drain.

Of any number of keepers one acts: the one whose token is in `tidegate:gate:1:keeper`. Every script compares it.
"""

import json
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tidegate.act.spill.keeping import Kept, NotOurs, Run, Said
from tidegate.act.spill.store import Store
from tidegate.broker.address import Address
from tidegate.broker.client import Broker, Refusal, as_text, connect
from tidegate.broker.reads import lengths
from tidegate.broker.scripts import KEEP_LEASE, KEEP_LEAVE, Argument, run_by
from tidegate.broker.spilled import side_list
from tidegate.errors import BadStore, CannotLook, TidegateError
from tidegate.facts.spilled import KeeperSeen, KeptSeen
from tidegate.facts.unknown import known
from tidegate.observe.keyspace import discover
from tidegate.observe.process import process_in, this_process

FILE = "spill.sqlite"
EXPIRES_MS = 5000
#: How often the queues that exist are looked up anew, and whether another of their lists begins to spill: that costs
#: ten LLEN a queue.
_SEARCH_S, _WATCH_S = 10.0, 1.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0


class Keeper:
    """Keeps the overflow of one broker's queues in one directory; call `turn` again and again, `close` at the end.

    `queues` are those that are kept, all that are found where there are none. Raises the store's errors when it opens.
    """

    def __init__(
        self,
        address: Address,
        directory: Path,
        *,
        queues: Sequence[str] = (),
        most_bytes: int | None = None,
        timeout_s: float = 5.0,
        say: Said = lambda text: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _made(directory)
        self.store = Store.open(directory / FILE, most_bytes)
        self.acts = False
        self._address, self._timeout_s = address, timeout_s
        self._queues, self._say, self._clock = tuple(queues), say, clock
        self._directory = directory.absolute()
        self._token = secrets.token_hex(8)
        self._former = ""
        self._broker: Broker | None = None
        self._run = Run("")
        self._kept: dict[str, Kept] = {}
        self._names: dict[str, str] = {}
        self._searched_s = self._watched_s = float("-inf")
        self._pause_s, self._not_before_s = 0.0, 0.0
        self._said: set[str] = set()
        self._since_s = time.time()

    def turn(self) -> bool:
        """One round over all lists; False where nothing could be done, because the server is away or another keeper acts.

        Never raises for what the server does; raises BadStore where the disk fails.
        """
        if self._clock() < self._not_before_s:
            return False
        try:
            return self._turn()
        except CannotLook as error:
            self._away(str(error))
            return False

    def close(self) -> None:
        """Another keeper may act at once; what is on the disk stays there."""
        try:
            if self._broker is not None and self.acts:
                run_by(self._broker.ask, KEEP_LEAVE, [], [self._address.layout.prefix, self._token])
        except TidegateError:
            self._say("the server is away: another keeper can act in five seconds")
        self._drop()
        self.store.close()

    def seen(self) -> KeeperSeen:
        """What it has done so far, and what waits on the disk."""
        rows = [
            KeptSeen(list=one.key, on_disk=one.on_disk, parked=one.parked, fed=one.fed) for one in self._kept.values()
        ]
        return KeeperSeen(
            acts=self.acts,
            directory=str(self._directory),
            messages=sum(row.on_disk for row in rows),
            bytes_on_disk=self.store.bytes_on_disk(),
            most_bytes=self.store.most_bytes,
            lists=tuple(sorted(rows, key=lambda row: row.list)),
        )

    def _turn(self) -> bool:
        broker = self._connected()
        if not self._leads(broker):
            return False
        self._search(broker)
        saved_s = self._saved_s(broker)
        for one in self._kept.values():
            try:
                one.turn(self._clock(), saved_s)
            except NotOurs as error:
                self._once(str(error))
        self._pause_s = 0.0
        return True

    def _leads(self, broker: Broker) -> bool:
        word, *more = self._asked(broker, "")
        if word == "waits":
            process = process_in(more[0])
            if process is not None and (process.is_gone() or (self._former and self._former in as_text(more[0]))):
                word, *more = self._asked(broker, as_text(more[0]))
        if word == "acts":
            self.acts = True
            return True
        if self.acts or not self._said:
            self._once(f"another keeper acts ({_shown(more[0])}); this one waits")
        self.acts = False
        self._forget_all()
        return False

    def _asked(self, broker: Broker, dead: str) -> list[Any]:
        me = this_process()
        said = {
            "token": self._token,
            "node": socket.gethostname(),
            "machine": me.machine,
            "pid": me.pid,
            "started": me.started,
            "dir": str(self._directory),
            "store": self.store.id,
            "since": round(self._since_s, 3),
        }
        call: list[Argument] = [broker.layout.prefix, self._token, json.dumps(said), EXPIRES_MS, dead]
        [answer] = run_by(broker.ask, KEEP_LEASE, [], call)
        if isinstance(answer, Refusal):
            raise CannotLook(f"the server refuses: {answer.why}")
        return [as_text(answer[0]), *answer[1:]]

    def _search(self, broker: Broker) -> None:
        """Lists that spill or did, among the queues there are and on the disk."""
        if self._clock() - self._searched_s >= _SEARCH_S:
            self._searched_s = self._clock()
            queues = self._queues or tuple(discover(broker).queues)
            self._names = {key: queue for queue in queues for _, key in broker.layout.lists(queue)}
            for key in self.store.lists():
                self._names.setdefault(key, broker.layout.without_step(key)[len(broker.layout.prefix) :])
        if self._clock() - self._watched_s >= _WATCH_S:
            self._watched_s = self._clock()
            self._join(broker, [key for key in self._watched(broker) if key not in self._kept])

    def _watched(self, broker: Broker) -> list[str]:
        """Lists whose side list holds messages, and those that have some on the disk."""
        keys = list(self._names)
        depths = lengths(broker, [side_list(broker.layout.prefix, key) for key in keys])
        held = set(self.store.lists())
        return [key for key, depth in zip(keys, depths, strict=True) if key in held or (known(depth) and depth)]

    def _join(self, broker: Broker, keys: Sequence[str]) -> None:
        where = f"{socket.gethostname()}:{self._directory}"
        for key in keys:
            self._kept[key] = Kept(broker, self._run, self.store, key, self._names[key], self._token, where, self._say)

    def _saved_s(self, broker: Broker) -> float:
        """Until when (by our clock) the server has saved what it did; now, where it saves every second or never."""
        now_s = self._clock()
        save, info = broker.ask(("CONFIG", "GET", "save"), ("INFO", "persistence"))
        fields = (
            dict(line.split(":", 1) for line in as_text(info).splitlines() if ":" in line)
            if isinstance(info, bytes)
            else {}
        )
        rdb_only = (
            fields.get("aof_enabled") == "0" and not isinstance(save, Refusal) and len(save) > 1 and bool(save[1])
        )
        if not rdb_only:
            return now_s
        return now_s - max(0.0, time.time() - float(fields.get("rdb_last_save_time", 0)))

    def _connected(self) -> Broker:
        if self._broker is None:
            self._broker = connect(self._address, self._timeout_s, watched=False)
            self._run = self._run_of(self._broker)
            for one in self._kept.values():
                one.broker, one.run, one.token = self._broker, self._run, self._token
        return self._broker

    def _run_of(self, broker: Broker) -> Run:
        """Which life of the server it is. Behind sentinels another server may have taken over, whatever it writes."""
        said, always = broker.ask(("INFO", "server"), ("CONFIG", "GET", "append*"))
        settings = dict(zip(always[::2], always[1::2], strict=True)) if isinstance(always, list) else {}
        keeps_all = settings.get(b"appendonly") == b"yes" and settings.get(b"appendfsync") == b"always"
        fields = dict(line.split(":", 1) for line in as_text(said).splitlines() if ":" in line)
        run = fields.get("run_id", "") if isinstance(said, bytes) else ""
        return Run(run, goes_back=not keeps_all or self._address.sentinel_master is not None)

    def _away(self, why: str) -> None:
        self._once(f"the server can't be used ({why}); trying again")
        if self.acts:
            # What was sent may arrive when its effect was looked for already: then nobody of that name may act any more.
            self._former, self._token = self._token, secrets.token_hex(8)
        self.acts = False
        self._drop()
        self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2 or _FIRST_PAUSE_S)
        self._not_before_s = self._clock() + self._pause_s

    def _drop(self) -> None:
        broker, self._broker = self._broker, None
        self._forget_all()
        if broker is not None:
            broker.close()

    def _forget_all(self) -> None:
        """What was known of the server is asked anew."""
        for one in self._kept.values():
            one.lost_touch()
        self._searched_s = self._watched_s = float("-inf")

    def _once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)


def _made(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadStore(
            f"{directory} can't be made ({error.strerror}): name a directory that this user may write to"
        ) from error


def _shown(said: object) -> str:
    process = process_in(said)
    return f"process {process.pid} on {process.machine.partition('|')[0]}" if process is not None else "unknown"
