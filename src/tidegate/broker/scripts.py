"""The Lua scripts of the gate: put together from `lua/*.lua`, sent by digest, loaded again where the server forgot them.

They run on the client that Kombu's channel has, so that they take its connection, its turn, and its errors. The keys
are given whole: the prefixing clients of Kombu prefix only the first key of EVALSHA, so they are gone around.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import redis
from redis.client import Pipeline
from redis.exceptions import NoScriptError

Argument = str | bytes | int | float


class Script:
    """One script, made of the named files in their order; the last one gives the answer."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.text = "\n".join(_text(name) for name in names)
        self.digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: Any, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """The answer: one round trip, two where the server does not know the script yet. Raises what redis-py raises."""
        rest = (len(keys), *keys, *arguments)
        try:
            return redis.Redis.execute_command(client, "EVALSHA", self.digest, *rest)
        except NoScriptError:
            return redis.Redis.execute_command(client, "EVAL", self.text, *rest)

    def send(self, client: Any, keys: Sequence[str], arguments: Sequence[Argument]) -> None:
        """Sends it on the connection that the client holds, and does not wait; `read` has the answer."""
        client.connection.send_command("EVALSHA", self.digest, len(keys), *keys, *arguments)

    def read(self, client: Any, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """The answer to `send` of the same keys and arguments; one round trip where the server knew no such script."""
        try:
            return redis.Redis.parse_response(client, client.connection, "EVALSHA")
        except NoScriptError:
            client.connection.send_command("EVAL", self.text, len(keys), *keys, *arguments)
            return redis.Redis.parse_response(client, client.connection, "EVAL")

    def queue(self, pipeline: Any, keys: Sequence[str], arguments: Sequence[Argument]) -> None:
        """Adds it to a pipeline; its answer there can be a NoScriptError, after which nothing was done."""
        Pipeline.execute_command(pipeline, "EVALSHA", self.digest, len(keys), *keys, *arguments)


@cache
def _text(name: str) -> str:
    return (files("tidegate.broker") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
