"""What one would do without Tidegate: pull the list in chunks, decode all of it, or ask for everything at once."""

import json
import socket
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import redis

CHUNK = 1000


def pull(client: redis.Redis, queue: str) -> int:
    """The list in chunks of a thousand with redis-py and hiredis, thrown away: the naive pull."""
    start = 0
    while rows := client.lrange(queue, start, start + CHUNK - 1):
        start += len(rows)  # type: ignore[arg-type]
    return start


def pull_and_push_back(client: redis.Redis, queue: str) -> None:
    """Every message out in chunks of a thousand from the tail, and into a fresh list that takes the queue's place."""
    while rows := client.lrange(queue, -CHUNK, -1):
        client.lpush("fresh", *reversed(rows))  # type: ignore[arg-type]
        client.ltrim(queue, 0, -CHUNK - 1)
    client.rename("fresh", queue)


@dataclass
class Count:
    """A census by hand."""

    messages: Counter[str] = field(default_factory=Counter)
    weights: Counter[str] = field(default_factory=Counter)
    expired: Counter[str] = field(default_factory=Counter)
    bodies: set[tuple[str, str]] = field(default_factory=set)

    def rows(self) -> set[tuple[str, int, int, int, int]]:
        """(task, messages, bytes, expired, repeats)."""
        kinds = Counter(task for task, _ in self.bodies)
        return {(t, n, self.weights[t], self.expired[t], n - kinds[t]) for t, n in self.messages.items()}


def count_by_json(client: redis.Redis, queue: str, now: float) -> Count:
    """The naive pull with json.loads on every message."""
    count, start = Count(), 0
    while rows := client.lrange(queue, start, start + CHUNK - 1):
        for row in rows:  # type: ignore[union-attr]
            _add(count, row, now)
        start += len(rows)  # type: ignore[arg-type]
    return count


def _add(count: Count, row: bytes, now: float) -> None:
    parsed = json.loads(row)
    task, expires = parsed["headers"]["task"], parsed["headers"]["expires"]
    count.messages[task] += 1
    count.weights[task] += len(row)
    count.expired[task] += expires is not None and datetime.fromisoformat(expires).timestamp() < now
    count.bodies.add((task, parsed["body"]))


def everything_at_once(path: Path, *words: str) -> None:
    """A command whose answer is read and thrown away as fast as it comes, so that only the server is measured."""
    text = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(path))
        # The PING behind it is answered last: its answer ends the wait.
        line.sendall(text.encode() + b"*1\r\n$4\r\nPING\r\n")
        buffer, end = bytearray(1 << 20), b""
        while not end.endswith(b"+PONG\r\n"):
            got = line.recv_into(buffer)
            end = (end + bytes(buffer[max(0, got - 16) : got]))[-16:]
