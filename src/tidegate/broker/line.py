"""A connection on which scripts are run, one after the other: for a process that has something to say now and then."""

import os
import threading
import time
from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from tidegate.broker.address import Address
from tidegate.broker.client import open_connection
from tidegate.broker.scripts import Argument, Script
from tidegate.errors import TidegateError

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0


class Line:
    """Opened when it is needed, closed when it fails, and then left alone for a while; for any number of threads.

    No call takes longer than `timeout_s` a round trip, and while the server is away, none takes any time.
    """

    def __init__(self, address: Address, timeout_s: float = 1.0) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._connection: Any = None
        self._process = 0
        self._turn = threading.Lock()
        self._pause_s = 0.0
        self._not_before_s = 0.0

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> str:
        """Runs the script; why it could not be run, or empty."""
        self._after_fork()
        with self._turn:
            if time.monotonic() < self._not_before_s:
                return "the server was away a moment ago"
            try:
                self._run(script, keys, arguments)
            except (TidegateError, RedisError, OSError, ValueError) as error:
                self._failed()
                return f"{type(error).__name__}: {error}"
            self._pause_s = 0.0
            return ""

    def close(self) -> None:
        """Ends the connection; the next call opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()

    def _run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        if self._connection is None:
            self._connection = open_connection(self._address, self._timeout_s)
        try:
            return self._ask(self._connection, script.call(keys, arguments))
        except NoScriptError:
            return self._ask(self._connection, script.whole(keys, arguments))

    def _ask(self, connection: Any, command: Sequence[Argument]) -> Any:
        connection.send_command(*command)
        return connection.read_response()

    def _failed(self) -> None:
        self.close()
        self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2 or _FIRST_PAUSE_S)
        self._not_before_s = time.monotonic() + self._pause_s

    def _after_fork(self) -> None:
        if self._process != os.getpid():
            # The parent's connection is the parent's, and whoever had the turn there does not exist here.
            self._process, self._turn, self._connection = os.getpid(), threading.Lock(), None
