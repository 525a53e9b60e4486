"""The Lua scripts of the gate: put together from `lua/*.lua`, sent by digest, loaded again where the server forgot them.

They run on the client that Kombu's channel has, so that they take its connection, its turn, and its errors. The keys
are given whole: the prefixing clients of Kombu prefix only the first key of EVALSHA, so they are gone around.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import redis
from redis.client import Pipeline
from redis.exceptions import NoPermissionError, NoScriptError, OutOfMemoryError

from tidegate.broker.client import Refusal
from tidegate.broker.keys import GATE

Argument = str | bytes | int | float

#: What the server says, without the code before it, which redis-py takes off.
_UNKNOWN_SCRIPT = "No matching script"
#: The hash of the counts, behind the prefix: "<outcome>|<queue>" or "open|<why>" → how often.
COUNTS = f"{GATE}counts"


def sha1hex(text: bytes) -> str:
    """What `redis.sha1hex` makes of it in a script."""
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()


class Script:
    """One script, made of the named files in their order; the last one gives the answer."""

    def __init__(self, *names: str) -> None:
        self.names = names
        self.text = self._whole_text()
        self.digest = sha1hex(self.text.encode())

    def _whole_text(self) -> str:
        return "\n".join(_text(name) for name in self.names)

    def call(self, keys: Sequence[str], arguments: Sequence[Argument]) -> tuple[Argument, ...]:
        """The command that runs it by its digest."""
        return ("EVALSHA", self.digest, len(keys), *keys, *arguments)

    def whole(self, keys: Sequence[str], arguments: Sequence[Argument]) -> tuple[Argument, ...]:
        """The command for a server that does not know it yet, which does from then on."""
        return ("EVAL", self.text, len(keys), *keys, *arguments)

    def run(self, client: Any, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """The answer: one round trip, two where the server does not know the script yet. Raises what redis-py raises."""
        try:
            return redis.Redis.execute_command(client, *self.call(keys, arguments))
        except NoScriptError:
            return redis.Redis.execute_command(client, *self.whole(keys, arguments))

    def send(self, client: Any, keys: Sequence[str], arguments: Sequence[Argument]) -> None:
        """Sends it on the connection that the client holds, and does not wait; `read` has the answer."""
        client.connection.send_command(*self.call(keys, arguments))

    def read(self, client: Any, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """The answer to `send` of the same keys and arguments; one round trip where the server knew no such script."""
        try:
            return redis.Redis.parse_response(client, client.connection, "EVALSHA")
        except NoScriptError:
            client.connection.send_command(*self.whole(keys, arguments))
            return redis.Redis.parse_response(client, client.connection, "EVAL")

    def queue(self, pipeline: Any, keys: Sequence[str], arguments: Sequence[Argument]) -> None:
        """Adds it to a pipeline; its answer there can be a NoScriptError, after which nothing was done."""
        Pipeline.execute_command(pipeline, *self.call(keys, arguments))


class Fenced(Script):
    """The same script for a due time of beat: it runs only where that beat leads and nobody has decided on it before.

    Its arguments stand before those of the claim, and its answer can be `{"fenced", why}` or `{"buffered"}`, too.
    """

    def _whole_text(self) -> str:
        inner = f"local function gate_decide()\n{super()._whole_text()}\nend\n"
        return "\n".join((_text("decided"), _text("fence"), inner, _text("fenced")))


@cache
def _text(name: str) -> str:
    return (files("tidegate.broker") / "lua" / f"{name}.lua").read_text(encoding="utf-8")


#: Decides on a message that is bounded or guarded, and pushes it.
ADMIT = Script(
    "door", "ceiling", "aside", "quick", "words", "marks", "firings", "spill", "droppable", "bounds", "admit"
)
#: Pushes a message that is neither.
PUSH = Script("door", "push")
#: Pushes many that nothing guards, as far as there is room.
MANY = Script("door", "ceiling", "aside", "many")
#: Takes what waits beside a queue's lists away.
EMPTY = Script("spill", "empty")
#: Rings for a queue, for whoever pushed without a script.
RING = Script("door", "ring")
#: Writes an operator's order or ask, with its line of the journal.
ORDER = Script("order")
#: The same two for due times of beat; and the claim alone, for a message that goes another way afterwards.
FENCED = {ADMIT: Fenced(*ADMIT.names), PUSH: Fenced(*PUSH.names)}
CLAIM = Fenced("claim")
#: Renews or takes the lease of a schedule, gives it up, and writes outcomes that need no message.
LEASE, UNLEASE, RECORD = Script("lease"), Script("unlease"), Script("decided", "record")
#: The acts of relief: one begins, is taken over, says how far it is; and what it does to a list.
RELIEF_BEGIN, RELIEF_CLAIM = Script("relief/words", "relief/begin"), Script("relief/words", "relief/claim")
RELIEF_NOTE, RELIEF_GATHER = (
    Script("relief/words", "relief/allowed", "relief/note"),
    Script("relief/words", "relief/gather"),
)
RELIEF_SWAP, RELIEF_SPLICE = (Script("door", "relief/words", f"relief/{name}") for name in ("swap", "splice"))
RELIEF_STEP = Script("door", "words", "marks", "firings", "relief/words", "relief/step")
RELIEF_NEWEST = Script("door", "relief/words", "relief/newest")
RELIEF_FRONT, RELIEF_FEED = (Script("door", "relief/words", f"relief/{name}") for name in ("front", "feed"))
#: Releases locks of other tools.
RELIEF_UNLOCK = Script("relief/unlock")
#: Put back what a dead worker holds: without a guard, and with one.
RELIEF_PUT_BACK = Script("door", "relief/put_back")
RELIEF_RESTORE = Script("relief/held", "words", "marks", "firings", "hands", "restore")

#: The spill keeper: who acts, and messages to the disk and back.
KEEP_LEASE, KEEP_LEAVE, KEEP_PARK, KEEP_NOTE = (
    Script("keep/words", f"keep/{name}") for name in ("lease", "leave", "park", "note")
)
KEEP_FEED = Script("door", "keep/words", "keep/feed")


def run_by(ask: Callable[..., list[Any]], script: Script, keys: Sequence[str], *calls: Sequence[Argument]) -> list[Any]:
    """The answers of `ask` to calls of one script: one round trip, two where the server does not know it yet."""
    answers = ask(*(script.call(keys, arguments) for arguments in calls))
    again = [place for place, one in enumerate(answers) if isinstance(one, Refusal) and _UNKNOWN_SCRIPT in one.why]
    if again:
        whole = [(script.whole if place == again[0] else script.call)(keys, calls[place]) for place in again]
        for place, answer in zip(again, ask(*whole), strict=True):
            answers[place] = answer
    return answers


def queue_push(pipeline: Any, key: str, payloads: Sequence[Argument]) -> None:
    """Adds the plain push of many messages to a pipeline; its answer is the length of the list."""
    Pipeline.execute_command(pipeline, "LPUSH", key, *payloads)


def is_out_of_memory(error: Exception) -> bool:
    """Whether a server refused a write because its memory is used up; old ones say so inside a script's error."""
    return isinstance(error, OutOfMemoryError) or "OOM command not allowed" in str(error)


def is_forbidden(error: Exception) -> bool:
    """Whether a server will go on refusing our scripts: it has none, or the user may not run them."""
    text = str(error).lower()
    return isinstance(error, NoPermissionError) or ("unknown command" in text and "eval" in text)


def is_unknown(answer: object) -> bool:
    """Whether the answer to a queued script says that the server does not know it, so that nothing was done."""
    return isinstance(answer, NoScriptError)


def add_counts(client: Any, prefix: str, counts: Mapping[str, int]) -> bool:
    """Adds to the counts that `gate status` shows; False where the server did not take them. One round trip."""
    pipeline = redis.Redis.pipeline(client, transaction=False)
    for name, many in counts.items():
        pipeline.hincrby(f"{prefix}{COUNTS}", name, many)
    try:
        pipeline.execute()
    except redis.RedisError:
        return False
    return True


def ask_again(pipeline: Any, calls: Sequence[tuple[Script, Sequence[str], Sequence[Argument]]]) -> list[Any]:
    """The answers to calls whose scripts the server did not know, errors among them; one round trip, in order."""
    again = Pipeline(pipeline.connection_pool, {}, transaction=False, shard_hint=None)
    sent: set[str] = set()
    for script, keys, arguments in calls:
        command = script.call if script.digest in sent else script.whole
        sent.add(script.digest)
        again.execute_command(*command(keys, arguments))
    return again.execute(raise_on_error=False)
