"""The few words of the Redis protocol that a private broker is asked in; a client library costs 134 ms."""

import socket
from pathlib import Path
from typing import BinaryIO

from tidegate.errors import StoppedAnswering

ANSWERS_S = 5.0

Reply = str | int | list["Reply"] | None


class Complaint(str):
    """An error reply, as the server worded it."""

    __slots__ = ()


def ask(path: Path, *requests: tuple[str, ...]) -> list[Reply]:
    """Send the commands over the unix socket at `path` in one go; one reply each, errors as `Complaint`.

    Raises OSError where nobody listens there, `StoppedAnswering` where the connection closes or stays silent.
    """
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(ANSWERS_S)
        line.connect(str(path))
        line.sendall(b"".join(_encoded(request) for request in requests))
        with line.makefile("rb") as answers:
            return [_reply(answers) for _ in requests]


def _encoded(request: tuple[str, ...]) -> bytes:
    words = [word.encode() for word in request]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def _reply(answers: BinaryIO) -> Reply:
    head = answers.readline().decode(errors="replace")
    if not head.endswith("\r\n"):
        message = "the private server closed the connection in the middle of a reply"
        raise StoppedAnswering(message)
    kind, rest = head[0], head[1:-2]
    if kind == "$":
        return _bulk(answers, int(rest))
    if kind == "*":
        return [_reply(answers) for _ in range(int(rest))]
    if kind == ":":
        return int(rest)
    return Complaint(rest) if kind == "-" else rest


def _bulk(answers: BinaryIO, length: int) -> str | None:
    return None if length < 0 else answers.read(length + 2)[:-2].decode(errors="replace")


def fields(info: str) -> dict[str, str]:
    """The `name:value` lines of an INFO reply."""
    return dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
