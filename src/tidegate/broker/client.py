"""One connection that only looks: requests in order, refusals as values, a deadline on every answer.

Never a MULTI: at its memory limit Redis 7 refuses every transaction, and a look has no need of one.
"""

import threading
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import NoPermissionError, RedisError, ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel

from tidegate.broker.address import Address
from tidegate.broker.trouble import explain, stopped_answering
from tidegate.errors import NoServer

#: Large reads arrive in few pieces; the default of 32 KB makes thirty of a chunk of messages.
_READ_BYTES = 1 << 20

Command = tuple[str | bytes | int | float, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The server's answer to one command was an error; the others of the same request may have been answered."""

    why: str
    denied: bool = False


class Broker:
    """A connection to one broker, used for reading only; open it with `connect`.

    Not for use by two threads at a time. `spent` counts the commands sent, by name.
    """

    def __init__(self, address: Address, connection: AbstractConnection, timeout_s: float) -> None:
        self.address = address
        self.layout = address.layout
        self.timeout_s = timeout_s
        self.spent: Counter[str] = Counter()
        self._connection = connection

    def ask(self, *commands: Command) -> list[Any]:
        """The answers to all commands, in order, in one round trip; an error answer is a `Refusal`.

        Raises CannotLook where the connection fails or the answers take longer than the timeout.
        """
        if not commands:
            return []
        with self._within_timeout():
            self._send(commands)
            return [self._receive() for _ in commands]

    def one(self, *command: str | bytes | int | float) -> Any:
        """The answer to one command."""
        return self.ask(command)[0]

    def stream(self, commands: Iterable[Command]) -> Generator[Any, None, None]:
        """The answers one by one, with the next request on its way while the caller works on the present answer.

        The server's work and ours overlap so; `commands` may look at earlier answers, but not at the latest one.
        """
        waiting = iter(commands)
        ahead = self._send_next(waiting)
        while ahead:
            with self._within_timeout():
                answer = self._receive()
            ahead = self._send_next(waiting)
            try:
                yield answer
            except GeneratorExit:
                self._drain(ahead)
                raise

    def listen(self, pattern: str) -> "Listener":
        """A second connection that hears what is published on channels matching the pattern."""
        return Listener(open_connection(self.address, self.timeout_s), pattern, self.address, self.timeout_s)

    def close(self) -> None:
        """Closes the connection; a closed one can't be used again."""
        self._connection.disconnect()

    def __enter__(self) -> "Broker":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _send_next(self, waiting: Iterator[Command]) -> bool:
        command = next(waiting, None)
        if command is None:
            return False
        with self._within_timeout():
            self._send([command])
        return True

    def _send(self, commands: Iterable[Command]) -> None:
        listed = list(commands)
        self.spent.update(_name(command) for command in listed)
        self._connection.send_packed_command(self._connection.pack_commands(listed))

    def _receive(self) -> Any:
        try:
            return self._connection.read_response()
        except ResponseError as error:
            return Refusal(str(error), isinstance(error, NoPermissionError))

    def _drain(self, ahead: bool) -> None:
        if ahead:
            with self._within_timeout():
                self._receive()

    @contextmanager
    def _within_timeout(self) -> Iterator[None]:
        """Ends the wait also for a server that keeps dripping bytes, which no socket timeout would."""
        overdue = threading.Event()
        watch = threading.Timer(self.timeout_s + 0.1, self._hang_up, [overdue])
        watch.daemon = True
        watch.start()
        try:
            yield
        except (RedisError, OSError) as error:
            if overdue.is_set():
                raise stopped_answering(self.address, self.timeout_s) from error
            raise explain(error, self.address, self.timeout_s) from error
        finally:
            watch.cancel()

    def _hang_up(self, overdue: threading.Event) -> None:
        overdue.set()
        _shut(self._connection)


class Listener:
    """Hears a pub/sub pattern; publishing costs the server one copy per listener, listening costs it nothing else."""

    def __init__(self, connection: AbstractConnection, pattern: str, address: Address, timeout_s: float) -> None:
        self._connection = connection
        self._address = address
        self._timeout_s = timeout_s
        self._connection.send_command("PSUBSCRIBE", pattern)
        #: Why nothing can be heard, where the user may not subscribe.
        self.refused: str | None = None
        try:
            self._connection.read_response()
        except ResponseError as error:
            self.refused = str(error)

    def heard(self) -> Iterator[tuple[str, bytes]]:
        """(channel, payload) of everything published since the last call; never waits."""
        while self.refused is None and self._ready():
            reply = self._connection.read_response()
            if isinstance(reply, list) and len(reply) == 4:
                yield as_text(reply[2]), reply[3]

    def _ready(self) -> bool:
        try:
            return bool(self._connection.can_read(0))
        except RedisError as error:
            raise explain(error, self._address, self._timeout_s) from error

    def close(self) -> None:
        """Ends the subscription."""
        self._connection.disconnect()


def connect(address: Address, timeout_s: float = 5.0) -> Broker:
    """An open connection to the broker; raises CannotLook with one line that says what is wrong and what to do.

    Every wait is bounded by `timeout_s`. Of a fail-over list the first server that answers is taken; sentinels are
    asked for the master.
    """
    try:
        return Broker(address, open_connection(address, timeout_s), timeout_s)
    except (RedisError, OSError) as error:
        raise explain(error, address, timeout_s) from error


def open_connection(address: Address, timeout_s: float) -> AbstractConnection:
    """A raw connection, authenticated and with its database selected."""
    if address.sentinel_master is not None:
        return _open(address, _master_of(address, timeout_s), timeout_s)
    last: Exception = NoServer(f"no server is named in {address.shown}")
    for place in address.hosts or ((address.path or "", 0),):
        try:
            return _open(address, place, timeout_s)
        except (RedisError, OSError) as error:
            last = error
    raise last


def _open(address: Address, place: tuple[str, int], timeout_s: float) -> AbstractConnection:
    connection = _build(address, place, timeout_s)
    watch = threading.Timer(timeout_s + 0.1, _shut, [connection])
    watch.daemon = True
    watch.start()
    try:
        connection.connect()
    except BaseException:
        connection.disconnect()
        raise
    finally:
        watch.cancel()
    return connection


def _build(address: Address, place: tuple[str, int], timeout_s: float) -> AbstractConnection:
    common: dict[str, Any] = {
        "db": address.db,
        "username": address.username,
        "password": address.password,
        "socket_timeout": timeout_s,
        "socket_read_size": _READ_BYTES,
        "encoding_errors": "surrogateescape",
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
    }
    if address.path is not None:
        return UnixDomainSocketConnection(path=address.path, **common)  # type: ignore[abstract]
    common.update(host=place[0], port=place[1], socket_connect_timeout=timeout_s)
    if address.tls is not None:
        return SSLConnection(**common, **_tls_options(address.tls))
    return Connection(**common)


def _tls_options(options: Any) -> dict[str, Any]:
    """Kombu's spellings of ssl_cert_reqs (CERT_NONE, an ssl constant) as redis-py wants them."""
    result = dict(options)
    wanted = str(result.get("ssl_cert_reqs", "required")).rpartition("CERT_")[2].lower()
    result["ssl_cert_reqs"] = {"0": "none", "1": "optional", "2": "required"}.get(wanted, wanted)
    if result["ssl_cert_reqs"] != "required":
        result.setdefault("ssl_check_hostname", False)
    elif "ssl_check_hostname" in result:
        result["ssl_check_hostname"] = str(result["ssl_check_hostname"]).lower() != "false"
    return result


def _master_of(address: Address, timeout_s: float) -> tuple[str, int]:
    options = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, **address.sentinel_options}
    options.setdefault("retry", Retry(NoBackoff(), 0))
    sentinel = Sentinel(list(address.hosts), sentinel_kwargs=options)
    try:
        host, port = sentinel.discover_master(address.sentinel_master or "mymaster")
    except RedisError as error:
        # Its text quotes whole connection objects; which of the two it was is all that matters.
        message = (
            f"no sentinel at {address.place} answered with a master named {address.sentinel_master!r}: check the "
            'addresses, and name the master with --transport-options \'{"master_name": "…"}\''
        )
        raise NoServer(message) from error
    finally:
        for client in sentinel.sentinels:
            client.close()
    return str(host), int(port)


def as_text(value: object) -> str:
    """Bytes as text, keeping what is no UTF-8 reversible."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _name(command: Command) -> str:
    head = str(command[0]).lower()
    # INFO commandstats counts subcommands apart: cmdstat_memory|usage.
    return f"{head}|{str(command[1]).lower()}" if head in ("memory", "config", "client", "object") else head


def _shut(connection: AbstractConnection) -> None:
    sock = getattr(connection, "_sock", None)
    if sock is not None:
        try:
            sock.shutdown(2)
        except OSError:
            # It was closed in the same moment: what we wanted.
            return
