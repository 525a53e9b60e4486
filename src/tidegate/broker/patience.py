"""How long one publish may wait for a silent server, in all: over every connection, reply and retry below it.

Each thread (or greenlet) has a budget of seconds while it publishes, and a connection of ours spends from it whenever
it waits for its socket. When it is used up, `BrokerSilent` is raised, which no retry of redis-py, Kombu or Celery takes
up: they would double the message, or wait for ever. Without a budget the connection is redis-py's own, in every way.

Time that others spend between the attempts is not counted: a server that is down is not silent, and what they do then
(retry, and for how long) is theirs to say.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from redis import Connection
from redis.backoff import NoBackoff
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from tidegate.errors import BrokerSilent

_ONCE = Retry(NoBackoff(), 0)
#: A timeout of zero would make a socket non-blocking.
_LEAST_S = 0.001


class Patience:
    """The seconds that are left of one budget."""

    __slots__ = ("at_first_s", "left_s")

    def __init__(self, seconds: float) -> None:
        self.at_first_s = self.left_s = seconds


class _Here(threading.local):
    patience: Patience | None = None


_here = _Here()


def replace(patience: Patience | None) -> Patience | None:
    """Puts another budget in force in this thread, None for no limit; the one before, to be put back."""
    before, _here.patience = _here.patience, patience
    return before


@contextmanager
def waiting_at_most(seconds: float | None) -> Iterator[None]:
    """For the time of one publish; None waits for ever. They nest, the inner one counts."""
    before = replace(None if seconds is None else Patience(seconds))
    try:
        yield
    finally:
        replace(before)


def patient(connection_class: type[Any] | None, *, one_of_many: bool = False) -> type[Any]:
    """The class of connections that spend from the budget; `one_of_many` where another server is asked in time.

    None is redis-py's own class for TCP.
    """
    mixin, connection_class = _OneOfMany if one_of_many else _Patient, connection_class or Connection
    if issubclass(connection_class, mixin):
        return connection_class
    return type(connection_class.__name__, (mixin, connection_class), {})


class _Wait:
    """One wait for a socket: it gets the timeout that is left, and what it took is taken off."""

    __slots__ = ("connection", "patience", "since", "sock")

    def __init__(self, connection: "_Patient", patience: Patience) -> None:
        self.connection, self.patience = connection, patience

    def __enter__(self) -> None:
        if self.patience.left_s <= _LEAST_S:
            raise self._over()
        self.sock = self.connection._sock
        if self.sock is not None:
            self.sock.settimeout(self.connection._at_most_s(self.patience))
        self.since = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.patience.left_s -= time.monotonic() - self.since
        if self.sock is not None and self.connection._sock is self.sock:
            self.sock.settimeout(self.connection._socket_timeout)
        if isinstance(error, (TimeoutError, RedisTimeoutError)) and self.patience.left_s <= _LEAST_S:
            raise self._over() from error

    def _over(self) -> Exception:
        # An answer may still come: this connection must not be used again.
        self.connection.disconnect()  # type: ignore[attr-defined]
        return self.connection._silence(self.patience)


class _Patient:
    """Mixin of redis-py's connections: whatever waits for the socket spends from the budget of its thread."""

    _sock: Any
    _connect_by: float | None = None
    _socket_timeout: float | None = None
    _socket_connect_timeout: float | None = None

    # redis-py asks for these two at every address that it tries, and before a handshake over TLS.
    @property
    def socket_timeout(self) -> float | None:
        return self._in_time(self._socket_timeout)

    @socket_timeout.setter
    def socket_timeout(self, value: float | None) -> None:
        self._socket_timeout = value

    @property
    def socket_connect_timeout(self) -> float | None:
        return self._in_time(self._socket_connect_timeout)

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, value: float | None) -> None:
        self._socket_connect_timeout = value

    def _in_time(self, own: float | None) -> float | None:
        if self._connect_by is None:
            return own
        left_s = max(self._connect_by - time.monotonic(), _LEAST_S)
        return left_s if own is None else min(own, left_s)

    def _at_most_s(self, patience: Patience) -> float:
        own, share_s = self._socket_timeout, self._share_s(patience)
        return share_s if own is None else min(own, share_s)

    def _share_s(self, patience: Patience) -> float:
        return patience.left_s

    def _connect(self) -> Any:
        patience = _here.patience
        if patience is None:
            return super()._connect()  # type: ignore[misc]
        with _Wait(self, patience):
            self._connect_by = time.monotonic() + self._share_s(patience)
            try:
                sock = super()._connect()  # type: ignore[misc]
            finally:
                self._connect_by = None
        sock.settimeout(self._socket_timeout)
        return sock

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        patience = _here.patience
        if patience is None:
            super().send_packed_command(command, check_health)  # type: ignore[misc]
            return
        # First what would wait for the socket within the call, or its seconds were spent twice.
        if not self._sock:
            self.connect()  # type: ignore[attr-defined]
        if check_health:
            self.check_health()  # type: ignore[attr-defined]
        with _Wait(self, patience):
            super().send_packed_command(command, False)  # type: ignore[misc]

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        patience = _here.patience
        if patience is None:
            return super().read_response(*args, **kwargs)  # type: ignore[misc]
        with _Wait(self, patience):
            return super().read_response(*args, **kwargs)  # type: ignore[misc]

    def _silence(self, patience: Patience) -> Exception:
        where = getattr(self, "path", "") or f"{getattr(self, 'host', '?')}:{getattr(self, 'port', '?')}"
        message = (
            f"the server at {where} did not answer within {patience.at_first_s:g} s (tidegate_gate_timeout_s): it is "
            "frozen or unreachable; whether the message arrived is not known, and it is not sent again"
        )
        return BrokerSilent(message)


class _OneOfMany(_Patient):
    """Mixin for connections to sentinels: one that is silent costs half of what is left, and the next one is asked."""

    _retry: Any = _ONCE

    @property
    def retry(self) -> Any:
        return self._retry if _here.patience is None else _ONCE

    @retry.setter
    def retry(self, value: Any) -> None:
        self._retry = value

    def _share_s(self, patience: Patience) -> float:
        return patience.left_s / 2
