"""A private Valkey or Redis server: started in 0.1 s, on loopback, and gone with whoever started it."""

import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from tidegate.demo.binary import find_binary
from tidegate.demo.processes import Guarded
from tidegate.demo.wire import Complaint, Reply, ask, fields
from tidegate.errors import NoServer, StoppedAnswering, UsageError

HOST = "127.0.0.1"
READY_S = 20.0
ENDS_S = 10.0
PORTS_TRIED = 10
#: Linux allows 108 bytes for the path of a socket, macOS 104.
LONGEST_SOCKET_PATH = 100
#: What makes the server private: it is chosen here and can't be given.
OURS = frozenset({"port", "bind", "unixsocket", "unixsocketperm", "dir", "daemonize", "logfile"})
#: A broker that is thrown away has nothing to save.
DEFAULTS = {"save": "", "appendonly": "no"}
PORT_TAKEN = (
    "Address already in use",
    "Failed listening on port",
    "Could not create server TCP listening socket",
)


class PrivateBroker:
    """A server of one's own, on a unix socket in a private directory and on a free port of 127.0.0.1.

    `config` holds directives of the server (`{"maxmemory": "50mb"}`); nothing is saved unless it says so.
    The server and its directory go when it is stopped, and also when its owner is killed.
    Raises `NoBinary` without a server program, `NoServer` with its last log line where it refuses to start.
    """

    def __init__(self, binary: str | Path | None = None, config: Mapping[str, str] | None = None) -> None:
        self.binary = find_binary(binary)
        self.config = {**DEFAULTS, **(config or {})}
        if taken := sorted(OURS & self.config.keys()):
            message = f"a private broker chooses {', '.join(taken)} itself: take it out of the config"
            raise UsageError(message)
        self.host = HOST
        self.port = 0
        self.pid = 0
        self.server = "valkey" if "valkey" in self.binary.name else "redis"
        self.version = ""
        self.directory = Path()
        self._process: Guarded | None = None

    @property
    def socket_path(self) -> Path:
        """The unix socket that nobody else can reach: the directory is open to its owner alone."""
        return self.directory / "s"

    @property
    def url(self) -> str:
        """The server as a broker URL over TCP, with its password where it has one."""
        return f"redis://{self._password()}{self.host}:{self.port}/0"

    @property
    def socket_url(self) -> str:
        """The server as Celery names it over the unix socket."""
        return f"redis+socket://{self._password()}{quote(str(self.socket_path))}?virtual_host=0"

    def start(self) -> Self:
        """Start the server and come back when it answers as itself; nothing where it runs already."""
        if self._process is not None:
            return self
        self.directory = _private_directory()
        for _ in range(PORTS_TRIED):
            self.port = free_port()
            if self._launch():
                return self
            self.stop()
            self.directory.mkdir(mode=0o700)
        shutil.rmtree(self.directory)
        message = f"the private server found no free port in {PORTS_TRIED} tries"
        raise NoServer(message)

    def stop(self) -> None:
        """End the server and remove its directory; nothing where it does not run."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """End the server as a crash would, by SIGKILL; its directory stays for `restart()`."""
        process = self._running()
        process.signal(signal.SIGKILL)
        process.wait(ENDS_S)

    def restart(self) -> None:
        """The same server again, with the same port and directory; what it was configured to save is back."""
        process = self._running()
        process.signal(signal.SIGTERM)
        if process.wait(ENDS_S) is None:
            self.kill()
        process.start()
        self._await_ready(process)

    def pause(self) -> None:
        """Let the server go silent without closing anything (SIGSTOP)."""
        self._running().signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on (SIGCONT)."""
        self._running().signal(signal.SIGCONT)

    def ask(self, *words: str, db: int = 0) -> Reply:
        """The reply to one command, over the unix socket; an error reply is a `Complaint`."""
        return ask(self.socket_path, *self._login(), ("SELECT", str(db)), words)[-1]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.stop()

    def _running(self) -> Guarded:
        if self._process is None:
            message = "the private broker does not run: start() it first"
            raise NoServer(message)
        return self._process

    def _password(self) -> str:
        password = self.config.get("requirepass")
        return f":{quote(password, safe='')}@" if password else ""

    def _login(self) -> list[tuple[str, ...]]:
        password = self.config.get("requirepass")
        return [("AUTH", password)] if password else []

    def _launch(self) -> bool:
        """Start the process; False where its port was taken in the meantime."""
        # SIGKILL: at the end the directory goes as well, so there is nothing the server should save first.
        process = Guarded(self._command(), self.directory / "log", scratch=self.directory, end_signal=signal.SIGKILL)
        self._process = process
        try:
            self._await_ready(process)
        except NoServer:
            if any(sign in line for line in process.last_lines() for sign in PORT_TAKEN):
                return False
            self.stop()
            raise
        return True

    def _command(self) -> list[str]:
        given = {
            "port": str(self.port),
            "bind": HOST,
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self.directory),
            "daemonize": "no",
            **self.config,
        }
        return [str(self.binary), *(word for name, value in given.items() for word in (f"--{name}", value))]

    def _await_ready(self, process: Guarded) -> None:
        deadline = time.monotonic() + READY_S
        while not self._answers_as(process.pid):
            if process.wait(0.003) is not None:
                last = (process.last_lines(1) or ["it said nothing"])[0]
                message = f"the private server refused to start: {last.strip()}"
                raise NoServer(message)
            if time.monotonic() > deadline:
                message = f"the private server did not answer within {READY_S:g} s"
                raise NoServer(message)

    def _answers_as(self, pid: int) -> bool:
        """True where the server on our socket is the process we started, and has loaded its data."""
        try:
            *_, ping, info = ask(self.socket_path, *self._login(), ("PING",), ("INFO", "server"))
        except (OSError, StoppedAnswering):
            return False
        if isinstance(info, Complaint):
            # Users of an ACL file are unknown to us; on a socket of ours alone a refusal is a sign of life.
            self.pid = pid
            return info.startswith(("NOAUTH", "NOPERM"))
        about = fields(str(info))
        self._note(about)
        return ping == "PONG" and self.pid == pid

    def _note(self, about: Mapping[str, str]) -> None:
        self.pid = int(about.get("process_id", 0))
        self.server = "valkey" if "valkey_version" in about else "redis"
        self.version = about.get("valkey_version") or about.get("redis_version", "")


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _private_directory() -> Path:
    """A new directory, open to its owner alone, whose socket path is short enough."""
    place = tempfile.gettempdir()
    longest = LONGEST_SOCKET_PATH - len("/tidegate-12345678/s")
    return Path(tempfile.mkdtemp(prefix="tidegate-", dir=place if len(place.encode()) <= longest else "/tmp"))
