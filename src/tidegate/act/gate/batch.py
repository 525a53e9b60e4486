"""Batches of Kombu 5.7: one script for many messages where they need no decision of their own, else one for each.

A batch is decided on when it is flushed, so an outcome reaches its caller only there: what was let in is in, and
`QueueFull` says how many were not. A full buffer that Kombu flushes on the way keeps its refusals for the end, or the
rest of the batch would be thrown away. The caller of a message that another run stands in for has its result already:
it is set to REVOKED, for that message will not run.

Imported only where Kombu has batches.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tidegate.act.gate import stock, telling
from tidegate.act.gate.letters import Company, Letter
from tidegate.act.gate.skipped import Fenced, Skipped
from tidegate.broker.patience import waiting_at_most
from tidegate.broker.scripts import MANY, RING, Argument, Script, ask_again, is_unknown, queue_push
from tidegate.errors import NotPublished, QueueFull
from tidegate.facts.gate import Outcome


@dataclass(slots=True)
class Call:
    """One command of a batch: a script for one letter or for many of one list, or the plain push of many."""

    script: Script | None
    keys: Sequence[str]
    arguments: list[Argument]
    letters: list[Letter]


#: A letter that others may share a command with, one that has its own, or a command of Kombu's.
Entry = tuple[Letter, Company] | Call | tuple[str, Any]


class GateBatch(stock.redis.PublishBatch):  # type: ignore[misc]
    """A batch of letters, and of Kombu's own commands where the gate has nothing to say."""

    def __init__(self, channel: Any, max_size: int, timeout_s: float | None) -> None:
        super().__init__(channel, max_size)
        self._timeout_s = timeout_s
        self._entries: list[Entry] = []
        self._on_the_way = False
        self._refused: list[NotPublished] = []
        self._letters = 0
        # What Kombu calls to send the buffer.
        self.pipeline.execute = self._execute

    def add(self, name: str, *args: Any) -> None:
        """One of Kombu's own commands."""
        self._entries.append((name, args))

    def add_letter(self, letter: Letter) -> None:
        """One message for the gate to decide on."""
        company = letter.company()
        self._entries.append((letter, company) if company is not None else _alone(letter))
        letter.message = None

    def publish(self, message: Any, **kwargs: Any) -> Any:
        """As stock's; a buffer that gets full is flushed, and its refusals wait for the end."""
        self._check_usable()
        before = len(self._entries)
        try:
            result = self.channel.basic_publish(message, _publish_batch=self, **kwargs)
        except BaseException:
            del self._entries[before:]
            raise
        self._buffered = len(self._entries)
        if self._buffered >= self.max_size:
            self._make_room(before)
        return result

    def _make_room(self, before: int) -> None:
        """Sends the full buffer; where the commands of the last message are too many for it, without them."""
        self._on_the_way = True
        try:
            if before and self._buffered > self.max_size:
                last = self._entries[before:]
                del self._entries[before:]
                self.flush()
                self._entries.extend(last)
                self._buffered = len(last)
            if self._buffered >= self.max_size:
                self.flush()
        finally:
            self._on_the_way = False

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

    def discard(self) -> None:
        """Stock's."""
        super().discard()
        self._entries.clear()

    def _execute(self) -> None:
        entries, self._entries = self._entries, []
        calls = _calls(entries)
        for call in calls:
            if not isinstance(call, Call):
                getattr(self.pipeline, call[0])(*call[1])
            elif call.script is None:
                queue_push(self.pipeline, call.keys[0], call.arguments)
            else:
                call.script.queue(self.pipeline, call.keys, call.arguments)
        with waiting_at_most(self._timeout_s):
            answers = type(self.pipeline).execute(self.pipeline, raise_on_error=False)
            self._settle(
                [(call, answer) for call, answer in zip(calls, answers, strict=True) if isinstance(call, Call)]
            )
        for call, answer in zip(calls, answers, strict=True):
            if not isinstance(call, Call) and isinstance(answer, Exception):
                raise answer

    def _settle(self, answered: list[tuple[Call, Any]]) -> None:
        """Takes the answers; what was not decided on is asked again, in order."""
        self._letters += sum(len(call.letters) for call, _ in answered)
        while answered:
            again = [another for call, answer in answered for another in self._undecided(call, answer)]
            asked = [(call.script, call.keys, call.arguments) for call in again if call.script is not None]
            answers = ask_again(self.pipeline, asked)
            answered = list(zip(again, answers, strict=True))

    def _undecided(self, call: Call, answer: Any) -> list[Call]:
        """What has to be asked again: a script that the server did not know (then nothing was done), or all for which a
        list had no room without further ado, one by one."""
        if is_unknown(answer):
            return [call]
        if isinstance(answer, Exception) or call.script not in (MANY, None):
            for letter in call.letters:
                self._settle_one(letter, answer)
            return []
        room = answer if call.script is MANY else len(call.letters)
        for letter in call.letters[:room]:
            if letter.publication is not None:
                letter.publication.outcome = Outcome.ADMITTED
        return [_alone(letter) for letter in call.letters[room:]]

    def _settle_one(self, letter: Letter, answer: Any) -> None:
        try:
            self.channel.settle(letter, answer)
        except NotPublished as error:
            self._refused.append(error)
        except Skipped as skipped:
            telling.of_result_given_out(letter, skipped.pending)
        except Fenced:
            return  # its claim says so


def _of_many(letter: Letter, company: Company) -> Call:
    _, most, ceiling = company
    if most or ceiling or letter.lists.expires_ms:
        return Call(MANY, letter.lists.keys, letter.arguments_of_many(company), [letter])
    # Through a script every message would be copied twice more.
    return Call(None, letter.lists.keys, [letter.payload], [letter])


def _bell(letter: Letter) -> Call:
    return Call(RING, (), [letter.terms.prefix, letter.terms.queue], [])


def _alone(letter: Letter) -> Call:
    return Call(letter.way, letter.keys(), letter.arguments(), [letter])


def _calls(entries: Iterable[Entry]) -> list[Call | tuple[str, Any]]:
    """As few as there can be: letters that need no decision of their own share one with others of their list, as long
    as none for the same queue was between them."""
    calls: list[Call | tuple[str, Any]] = []
    last: dict[str, tuple[Company | None, Call]] = {}
    bells: dict[str, Call] = {}
    for entry in entries:
        if isinstance(entry, Call):
            last[entry.letters[0].terms.queue] = None, entry
            calls.append(entry)
            continue
        letter, company = entry
        if isinstance(letter, str):
            calls.append((letter, company))
            continue
        queue = letter.terms.queue
        known = last.get(queue)
        if known is not None and known[0] == company:
            known[1].letters.append(letter)
            known[1].arguments.append(letter.payload)
            continue
        call = _of_many(letter, company)
        last[queue] = company, call
        calls.append(call)
        if call.script is None:
            bells[queue] = _bell(letter)
    return [*calls, *bells.values()]


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
