"""Servers on loopback that do what a broker should not: silent, foreign, half-hearted; all gone with their `with`."""

import select
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
LOOKS_UP_S = 0.01
DRIP_S = 0.1

Behaviour = Callable[[socket.socket, threading.Event], None]


class FaultyServer:
    """Gives every connection to `behave(line, over)`, in a thread of its own; `over` is set when the server closes."""

    def __init__(self, behave: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self._behave = behave
        self._tls = tls
        self._over = threading.Event()
        self._lines: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((HOST, 0))
        self._listener.settimeout(LOOKS_UP_S)
        self.port = int(self._listener.getsockname()[1])
        self._accepting = threading.Thread(target=self._accept)

    def url(self, scheme: str = "redis", credentials: str = "", tail: str = "/0") -> str:
        return f"{scheme}://{credentials}{HOST}:{self.port}{tail}"

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._over.set()
        self._accepting.join()
        for line in self._lines:
            shut(line)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            with suppress(TimeoutError):
                line, _ = self._listener.accept()
                line.settimeout(None)
                self._lines.append(line)
                self._threads.append(threading.Thread(target=self._serve, args=(line,)))
                self._threads[-1].start()

    def _serve(self, line: socket.socket) -> None:
        # The other side hangs up when it has seen enough; that is what the tests are about.
        with closing(line), suppress(OSError), closing(self._wrapped(line)) as wrapped:
            self._behave(wrapped, self._over)

    def _wrapped(self, line: socket.socket) -> socket.socket:
        return line if self._tls is None else self._tls.wrap_socket(line, server_side=True)


def shut(line: socket.socket) -> None:
    """End both directions, so that whoever waits on it wakes up."""
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


def silent(line: socket.socket, over: threading.Event) -> None:
    """Accepts and says nothing."""
    over.wait()


def closes(line: socket.socket, over: threading.Event) -> None:
    """Closes at once."""


def says(words: bytes) -> Behaviour:
    """Speaks first, whatever comes, then waits, as SSH and mail servers do."""

    def behave(line: socket.socket, over: threading.Event) -> None:
        line.sendall(words)
        over.wait()

    return behave


def answers(words: bytes, *, stays: bool = True) -> Behaviour:
    """The same answer to everything that comes in; hangs up after the first unless it `stays`."""

    def behave(line: socket.socket, over: threading.Event) -> None:
        while line.recv(1 << 16):
            line.sendall(words)
            if not stays:
                return

    return behave


def each_command(words: bytes) -> Behaviour:
    """Speaks the Redis protocol, and has one answer to every command."""

    def behave(line: socket.socket, over: threading.Event) -> None:
        while received := line.recv(1 << 16):
            line.sendall(words * received.count(b"*"))

    return behave


def echoes(line: socket.socket, over: threading.Event) -> None:
    """Sends back what it gets."""
    while received := line.recv(1 << 16):
        line.sendall(received)


def quotes_arguments(line: socket.socket, over: threading.Event) -> None:
    """Knows no command, and quotes what it was sent, as Redis does."""
    while received := line.recv(1 << 16):
        text = b" ".join(word for word in received.split(b"\r\n") if word[:1] not in (b"*", b"$"))
        line.sendall(b"-ERR unknown command, with args beginning with: %s\r\n" % text * received.count(b"*"))


def drips(words: bytes) -> Behaviour:
    """Sends its words one byte at a time, for ever: no single wait is long."""

    def behave(line: socket.socket, over: threading.Event) -> None:
        while True:
            for byte in words:
                line.sendall(bytes([byte]))
                if over.wait(DRIP_S):
                    return

    return behave


class Proxy(FaultyServer):
    """Forwards to the real server until the client has sent `trigger` for the `after`-th time; then its fault begins.

    `fault` gets what the server would have answered: it may `pass_on`, `swallow`, `cut` or `trickle` it.
    """

    def __init__(
        self, port: int, fault: "Fault", trigger: bytes = b"*", after: int = 1, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(self._forward, tls)
        self._port = port
        self._fault = fault
        self._trigger = trigger
        self._left = after
        self.sprung = threading.Event()

    def _forward(self, line: socket.socket, over: threading.Event) -> None:
        with socket.create_connection((HOST, self._port)) as server:
            while not over.is_set():
                # One thread for both ways: a TLS socket is not for two.
                for end in _readable(line, server):
                    if not (data := end.recv(1 << 16)):
                        return
                    if end is server:
                        (self._fault if self.sprung.is_set() else pass_on)(line, data, over)
                    else:
                        self._send_on(data, server)

    def _send_on(self, request: bytes, server: socket.socket) -> None:
        self._left -= request.count(self._trigger)
        if self._left <= 0:
            self.sprung.set()
        server.sendall(request)


def _readable(*lines: socket.socket) -> list[socket.socket]:
    held = [line for line in lines if isinstance(line, ssl.SSLSocket) and line.pending()]
    return held or select.select(lines, [], [], LOOKS_UP_S)[0]


Fault = Callable[[socket.socket, bytes, threading.Event], None]


def pass_on(line: socket.socket, answer: bytes, over: threading.Event) -> None:
    """No fault at all."""
    line.sendall(answer)


def swallow(line: socket.socket, answer: bytes, over: threading.Event) -> None:
    """The server goes silent."""


def cut(line: socket.socket, answer: bytes, over: threading.Event) -> None:
    """The connection ends in the middle of an answer."""
    line.sendall(answer[: len(answer) // 2])
    raise ConnectionAbortedError


def trickle(line: socket.socket, answer: bytes, over: threading.Event) -> None:
    """The answer comes one byte at a time."""
    for byte in answer:
        line.sendall(bytes([byte]))
        if over.wait(DRIP_S):
            return
