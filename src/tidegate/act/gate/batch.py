"""Batches of Kombu 5.7: as many commands as stock's, each one our script; what was refused is said when it is flushed.

A batch is decided on when it is flushed, so an outcome reaches its caller only there: what was let in is in, and
`QueueFull` says how many were not. A full buffer that Kombu flushes on the way keeps its refusals for the end, or the
rest of the batch would be thrown away. A message that another run stands in for is counted and journaled; its caller
has the result of a message that will not run, for it was given out before.

Imported only where Kombu has batches.
"""

from collections.abc import Sequence
from typing import Any

from tidegate.act.gate import stock
from tidegate.act.gate.letters import Letter
from tidegate.act.gate.skipped import Skipped
from tidegate.broker.patience import waiting_at_most
from tidegate.broker.scripts import ask_again, is_unknown
from tidegate.errors import NotPublished, QueueFull


class GateBatch(stock.redis.PublishBatch):  # type: ignore[misc]
    """A batch whose commands are letters, or Kombu's own where the gate has nothing to say."""

    def __init__(self, channel: Any, max_size: int, timeout_s: float | None) -> None:
        super().__init__(channel, max_size)
        self._timeout_s = timeout_s
        # One for each command, in their order: those in the pipeline, then those of the message being routed.
        self._entries: list[Letter | None] = []
        self._on_the_way = False
        self._refused: list[NotPublished] = []
        self._letters = 0
        self.pipeline.execute = self._execute

    def add(self, name: str, *args: Any) -> None:
        """One of Kombu's own commands."""
        super().add(name, *args)
        self._entries.append(None)

    def add_letter(self, letter: Letter) -> None:
        """One message for the gate to decide on."""
        first, *others = letter.keys()
        # The pipeline of a prefixing client puts the prefix before the first key, and only there.
        keys = [first[len(letter.prefix) :], *others]
        super().add("evalsha", letter.script.digest, len(keys), *keys, *letter.arguments())
        self._entries.append(letter)

    def publish(self, message: Any, **kwargs: Any) -> Any:
        """Stock's; a buffer that gets full is flushed, and its refusals wait for the end."""
        self._on_the_way = True
        try:
            return super().publish(message, **kwargs)
        finally:
            self._on_the_way = False
            del self._entries[self._buffered :]

    def flush(self) -> None:
        """Stock's; raises QueueFull where messages were refused since the last time, after the others are in."""
        try:
            super().flush()
        except stock.redis.BatchPublishError as error:
            if isinstance(error.__cause__, NotPublished):
                raise error.__cause__ from None
            raise
        if self._refused and not self._on_the_way:
            refused, self._refused, many, self._letters = self._refused, [], self._letters, 0
            raise _summary(refused, many)

    def _execute(self) -> None:
        """What Kombu calls to send the buffer."""
        entries, self._entries = self._entries[: self._buffered], self._entries[self._buffered :]
        with waiting_at_most(self._timeout_s):
            answers = type(self.pipeline).execute(self.pipeline, raise_on_error=False)
            sent = [(letter, answer) for letter, answer in zip(entries, answers, strict=True) if letter is not None]
            self._settle(self._known(sent))
        for letter, answer in zip(entries, answers, strict=True):
            if letter is None and isinstance(answer, Exception):
                raise answer

    def _known(self, sent: list[tuple[Letter, Any]]) -> list[tuple[Letter, Any]]:
        """The same, where the server did not know the script: nothing was done, so these are sent again, in order."""
        unknown = [at for at, (_, answer) in enumerate(sent) if is_unknown(answer)]
        calls = [(sent[at][0].script, sent[at][0].keys(), sent[at][0].arguments()) for at in unknown]
        for at, answer in zip(unknown, ask_again(self.pipeline, calls), strict=True):
            sent[at] = (sent[at][0], answer)
        return sent

    def _settle(self, sent: list[tuple[Letter, Any]]) -> None:
        self._letters += len(sent)
        for letter, answer in sent:
            try:
                self.channel.settle(letter, answer)
            except NotPublished as error:
                self._refused.append(error)
            except Skipped:
                continue


def _summary(refused: Sequence[NotPublished], many: int) -> NotPublished:
    first = refused[0]
    message = f"{len(refused)} of {many} messages of the batch were not published, the others were; the first: {first}"
    if not isinstance(first, QueueFull):
        return type(first)(message)
    return QueueFull(
        message,
        queue=first.queue,
        depth=first.depth,
        bound=first.bound,
        limit=first.limit,
        dead_letter=first.dead_letter,
    )
