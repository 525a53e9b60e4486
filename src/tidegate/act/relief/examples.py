"""A few of the messages that are selected, as one line each."""

from itertools import chain, islice, zip_longest

from tidegate.broker.envelope import decode
from tidegate.facts.message import Message
from tidegate.facts.unknown import known
from tidegate.units import duration

MOST = 5
_WIDEST = 60


class Examples:
    """Keeps up to five messages, of as many tasks as there are, the newest of each.

    An age is told by the stamp, else by place where the arrivals are known.
    """

    def __init__(self, now_s: float, arrival_per_s: float | None) -> None:
        self._now_s, self._arrival_per_s = now_s, arrival_per_s
        self._kept: dict[str, list[tuple[bytes, int]]] = {}

    def offer(self, task: str, element: bytes, newer: int) -> None:
        """One more that was selected; `newer` stand before it in its list. Next to nothing once there are enough."""
        kept = self._kept.get(task)
        if kept is None:
            if len(self._kept) < MOST:
                self._kept[task] = [(element, newer)]
        elif len(kept) < MOST:
            kept.append((element, newer))

    def lines(self) -> tuple[str, ...]:
        """The examples, one of every task before the second of any."""
        rounds = chain.from_iterable(zip_longest(*self._kept.values()))
        return tuple(self._line(*example) for example in islice((found for found in rounds if found), MOST))

    def _line(self, element: bytes, newer: int) -> str:
        message = decode(element)
        age = self._age(message, newer)
        return f"{picture(message)}{age}"

    def _age(self, message: Message, newer: int) -> str:
        if message.enqueued_at is not None:
            return f", {duration(max(0.0, self._now_s - message.enqueued_at))} old"
        if self._arrival_per_s:
            return f", about {duration(newer / self._arrival_per_s)} old by its place"
        return ""


def picture(message: Message) -> str:
    """`task(1, 'a', cluster=3)`, cut where it is long; why it can't be read where it can't."""
    if message.undecodable is not None:
        return f"can't be read: {message.undecodable}"
    if message.task is None:
        return "not a task"
    return f"{message.task}({_cut(_arguments(message))})"


def _arguments(message: Message) -> str:
    args, kwargs = message.args, message.kwargs
    if args is None or kwargs is None or not known(args) or not known(kwargs):
        return message.argsrepr or "…"
    return ", ".join([*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())])


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"
