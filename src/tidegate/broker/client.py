"""One connection that only looks: requests in order, refusals as values, a deadline on every answer.

Never a MULTI: at its memory limit Redis 7 refuses every transaction, and a look has no need of one.
"""

import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import InvalidResponse, NoPermissionError, RedisError, ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel

from tidegate.broker.address import Address
from tidegate.broker.deadline import bounded
from tidegate.broker.tls import tls_options
from tidegate.broker.trouble import explain, stopped_answering
from tidegate.errors import NoServer, UsageError

#: Large reads arrive in few pieces; the default of 32 KB makes thirty of a chunk of messages.
_READ_BYTES = 1 << 20
#: A socket's own timeout strikes first, and says better what happened.
_GRACE_S = 0.1
#: Events taken in at once: more come in than that only where somebody floods us.
_MOST_HEARD = 2000

#: ValueError: redis-py trips over an answer that is not of the form it should have.
_TROUBLE = (RedisError, OSError, ValueError)

Command = tuple[str | bytes | int | float, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The server's answer to one command was an error; the others of the same request may have been answered."""

    why: str
    denied: bool = False


class Broker:
    """A connection to one broker, open it with `connect`; whoever looks only reads on it.

    Not for use by two threads at a time. `spent` counts the commands sent, by name.
    """

    def __init__(
        self, address: Address, connection: AbstractConnection, timeout_s: float, *, watched: bool = True
    ) -> None:
        self.address = address
        self.layout = address.layout
        self.timeout_s = timeout_s
        self.watched = watched
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

    def ask_while(self, command: Command, meanwhile: Callable[[], object]) -> Any:
        """The answer to one command, with `meanwhile` called while the server works on it."""
        with self._within_timeout():
            self._send([command])
        meanwhile()
        with self._within_timeout():
            return self._receive()

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
        self._connection.send_packed_command(self._connection.pack_commands(map(_sendable, listed)))

    def _receive(self) -> Any:
        try:
            return self._connection.read_response()
        except ResponseError as error:
            return Refusal(str(error), isinstance(error, NoPermissionError))

    def _drain(self, ahead: bool) -> None:
        if ahead:
            with self._within_timeout():
                self._receive()

    def _within_timeout(self) -> AbstractContextManager[None]:
        bounds = _deadline if self.watched else _explained
        return bounds(self._connection, self.address, self.timeout_s)


class Listener:
    """Hears a pub/sub pattern; publishing costs the server one copy per listener, listening costs it nothing else."""

    def __init__(self, connection: AbstractConnection, pattern: str, address: Address, timeout_s: float) -> None:
        self._connection = connection
        self._address = address
        self._timeout_s = timeout_s
        #: Why nothing can be heard, where the user may not subscribe.
        self.refused: str | None = None
        try:
            with self._within_timeout():
                self._subscribe(pattern)
        except BaseException:
            self.close()
            raise

    def heard(self) -> list[tuple[str, bytes]]:
        """(channel, payload) of what was published since the last call, `_MOST_HEARD` at most; never waits for more."""
        if self.refused is not None:
            return []
        found: list[tuple[str, bytes]] = []
        with self._within_timeout():
            for _ in range(_MOST_HEARD):
                if not self._connection.can_read(0):
                    break
                reply = self._connection.read_response()
                if isinstance(reply, list) and len(reply) == 4:
                    found.append((as_text(reply[2]), reply[3]))
        return found

    def close(self) -> None:
        """Ends the subscription."""
        self._connection.disconnect()

    def _subscribe(self, pattern: str) -> None:
        self._connection.send_command(*_sendable(("PSUBSCRIBE", pattern)))
        try:
            self._connection.read_response()
        except ResponseError as error:
            self.refused = str(error)

    def _within_timeout(self) -> AbstractContextManager[None]:
        return _deadline(self._connection, self._address, self._timeout_s)


@contextmanager
def _deadline(connection: AbstractConnection, address: Address, timeout_s: float) -> Iterator[None]:
    """Ends the wait also for a server that keeps dripping bytes, which no socket timeout would."""
    overdue = threading.Event()
    watch = threading.Timer(timeout_s + _GRACE_S, _hang_up, [connection, overdue])
    watch.daemon = True
    watch.start()
    try:
        yield
    except _TROUBLE as error:
        if overdue.is_set():
            raise stopped_answering(address, timeout_s) from error
        raise explain(error, address, timeout_s, connected=True) from error
    finally:
        watch.cancel()


@contextmanager
def _explained(connection: AbstractConnection, address: Address, timeout_s: float) -> Iterator[None]:
    """The socket's own timeout, for whoever sends so many commands that a thread for each of them would cost the most."""
    try:
        yield
    except _TROUBLE as error:
        raise explain(error, address, timeout_s, connected=True) from error


def _hang_up(connection: AbstractConnection, overdue: threading.Event) -> None:
    overdue.set()
    _shut(connection)


def connect(address: Address, timeout_s: float = 5.0, *, watched: bool = True) -> Broker:
    """An open connection to the broker; raises CannotLook with one line that says what is wrong and what to do.

    Every wait is bounded by `timeout_s`. Of a fail-over list the first server that answers is taken; sentinels are
    asked for the master. Not `watched`, a server that drips its answer byte by byte is waited for.
    """
    return Broker(address, open_connection(address, timeout_s), timeout_s, watched=watched)


def open_connection(address: Address, timeout_s: float) -> AbstractConnection:
    """A raw connection, authenticated and with its database selected; raises CannotLook."""
    try:
        if address.sentinel_master is not None:
            return _open(address, _master_of(address, timeout_s), timeout_s)
        return _first_open(address, timeout_s)
    except _TROUBLE as error:
        raise explain(error, address, timeout_s) from error


def _first_open(address: Address, timeout_s: float) -> AbstractConnection:
    last: Exception = NoServer(f"no server is named in {address.shown}")
    for place in address.hosts or ((address.path or "", 0),):
        try:
            return _open(address, place, timeout_s)
        except _TROUBLE as error:
            last = error
    raise last


def _open(address: Address, place: tuple[str, int], timeout_s: float) -> AbstractConnection:
    connection = _build(address, place, timeout_s)

    def opened() -> AbstractConnection:
        try:
            connection.connect()
            _greet(connection)
        except BaseException:
            connection.disconnect()
            raise
        return connection

    return bounded(opened, timeout_s + _GRACE_S, give_up=lambda: _shut(connection), close=_close)


def _greet(connection: AbstractConnection) -> None:
    """Raises InvalidResponse where the other side has answers, but not those of Redis."""
    connection.send_command("PING")
    try:
        answer = connection.read_response()
    except NoPermissionError:
        # A strict server, but a server.
        return
    if answer != b"PONG":
        raise InvalidResponse(f"to PING it says {str(answer)[:60]!r}")


def _close(connection: AbstractConnection) -> None:
    connection.disconnect()


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
        return SSLConnection(**common, **tls_options(address.tls))
    return Connection(**common)


def _master_of(address: Address, timeout_s: float) -> tuple[str, int]:
    for place in address.hosts:
        try:
            return bounded(partial(_asked_master, address, place, timeout_s), timeout_s + _GRACE_S)
        except UsageError:
            raise
        except Exception:  # noqa: BLE001, S112  redis-py trips in many ways over what is no sentinel
            continue
    # What redis-py says quotes whole connection objects; which of the two it was is all that matters.
    message = (
        f"no sentinel at {address.place} answered with a master named {address.sentinel_master!r}: check the "
        'addresses, and name the master with --transport-options \'{"master_name": "…"}\''
    )
    raise NoServer(message)


def _asked_master(address: Address, place: tuple[str, int], timeout_s: float) -> tuple[str, int]:
    options = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, **address.sentinel_options}
    options.setdefault("retry", Retry(NoBackoff(), 0))
    try:
        sentinel = Sentinel([place], sentinel_kwargs=options)
    except TypeError as error:
        raise UsageError(f"sentinel_kwargs can't be used: {error}") from error
    try:
        host, port = sentinel.discover_master(address.sentinel_master or "mymaster")
    finally:
        for client in sentinel.sentinels:
            client.close()
    return str(host), int(port)


def as_text(value: object) -> str:
    """Bytes as text, keeping what is no UTF-8 reversible."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)


def _sendable(command: Command) -> Command:
    """The command with names that came as bytes of no encoding turned back into them: hiredis packs plain UTF-8 only."""
    return tuple(_as_bytes(word) if isinstance(word, str) else word for word in command)


def _as_bytes(word: str) -> bytes:
    try:
        return word.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Half a pair, in a name that somebody wrote in Python.
        return word.encode("utf-8", "surrogatepass")


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
