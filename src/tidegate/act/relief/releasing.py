"""Locks of other tools that belong to removed messages: released, or nobody could queue such a task again.

celery-singleton and celery-once take a lock when a task is queued, and release it when it has run, which a removed one
never does. With the application its tasks name their locks themselves; without it the packages' defaults are tried, on
the broker's own database.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from tidegate.act.relief.lockable import Lockable
from tidegate.act.relief.locks import ONCE, SINGLETON, once_key, singleton_key
from tidegate.broker.client import Broker, Refusal, as_text
from tidegate.broker.embedded import Embedded, embedded_in
from tidegate.broker.scripts import RELIEF_UNLOCK, run_by
from tidegate.facts.unknown import known

log = logging.getLogger("tidegate.relief")

#: Locks in one MGET.
_AT_ONCE = 500


class _Lock(NamedTuple):
    """`holder` is what the lock must hold to be this message's; None where it holds what nobody but its tool knows."""

    tool: str
    key: str
    holder: str | None


class _Place(Protocol):
    """Where locks are kept."""

    def held(self, keys: Sequence[str]) -> list[str | None]: ...

    def drop(self, locks: Sequence[tuple[str, str]]) -> int: ...


class Releasing:
    """Releases the locks of removed messages. Its notes say of what they could not be worked out.

    Where messages with the same arguments stay (`alike_stay`), as in a dedupe, the locks of celery-once stay as well: they
    do not say whose they are, and the one that waits on needs it.
    """

    def __init__(self, broker: Broker, app: Any = None, *, alike_stay: bool = False) -> None:
        self._alike_stay = alike_stay
        self._broker = _OfBroker(broker)
        self._app = app
        self._lockable = Lockable(broker, app)
        self._notes: dict[str, int] = Counter()

    def removed(self, elements: Iterable[bytes]) -> Counter[str]:
        """How many locks went, by tool; a second time none do. One MGET for 500 messages, and one script where any is held.

        A lock that a newer message holds by now stays. What fails is noted, and ends nothing.
        """
        released: Counter[str] = Counter()
        for place, locks in self._locks_of(elements).items():
            for first in range(0, len(locks), _AT_ONCE):
                released += self._release(place, locks[first : first + _AT_ONCE])
        return released

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be worked out, and of how many messages."""
        return tuple(f"{why} ({many:,} messages)" for why, many in self._notes.items())

    def _locks_of(self, elements: Iterable[bytes]) -> dict[_Place, list[_Lock]]:
        found: dict[_Place, list[_Lock]] = defaultdict(list)
        for element in self._lockable.among(elements):
            carried = embedded_in(element)
            if known(carried):
                for place, lock in self._named(carried):
                    if not (self._alike_stay and lock.holder is None):
                        found[place].append(lock)
            else:
                self._note(f"locks of messages that can't be read stay: {carried.why}")
        return found

    def _named(self, carried: Embedded) -> Iterable[tuple[_Place, _Lock]]:
        task = self._app.tasks.get(carried.task) if self._app is not None else None
        if task is None:
            return self._guessed(carried)
        try:
            return list(_named_by(task, carried))
        except Exception as error:  # noqa: BLE001  the application's own code
            self._note(
                f"{carried.task} can't name its lock ({type(error).__name__}: {error}): it stays until it expires"
            )
            return []

    def _guessed(self, carried: Embedded) -> Iterable[tuple[_Place, _Lock]]:
        yield self._broker, _Lock(SINGLETON, singleton_key(carried.task, carried.args, carried.kwargs), carried.id)
        if not carried.args:
            yield self._broker, _Lock(ONCE, once_key(carried.task, carried.kwargs), None)

    def _release(self, place: _Place, locks: Sequence[_Lock]) -> Counter[str]:
        released: Counter[str] = Counter()
        try:
            held = place.held([lock.key for lock in locks])
            own = [(lock, now) for lock, now in zip(locks, held, strict=True) if now and lock.holder in (None, now)]
            for tool in dict.fromkeys(lock.tool for lock, _ in own):
                released[tool] += place.drop([(lock.key, now) for lock, now in own if lock.tool == tool])
        except Exception as error:  # noqa: BLE001  the server of the locks may be another one, with clients of its own
            self._notes[f"locks could not be released ({type(error).__name__}: {error})"] += len(locks)
        return released

    def _note(self, why: str) -> None:
        self._notes[why] += 1


def _named_by(task: Any, carried: Embedded) -> Iterable[tuple[_Place, _Lock]]:
    """The locks by the task's own methods, where it is a task of one of the two packages."""
    args, kwargs = list(carried.args), dict(carried.kwargs)
    if hasattr(task, "generate_lock") and hasattr(task, "singleton_backend"):
        key = task.generate_lock(task.name, args, kwargs)
        yield _OfTool(task.singleton_backend.redis), _Lock(SINGLETON, key, carried.id)
    if hasattr(task, "get_key") and hasattr(task, "once_backend"):
        yield _OfTool(task.once_backend.redis), _Lock(ONCE, task.get_key(args, kwargs), None)


class _OfBroker:
    """The broker's own database."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def held(self, keys: Sequence[str]) -> list[str | None]:
        """What each lock holds; one MGET."""
        [answer] = _answered(self._broker.ask(("MGET", *keys)))
        return [None if value is None else as_text(value) for value in answer]

    def drop(self, locks: Sequence[tuple[str, str]]) -> int:
        """How many went, of those that hold what they are known by; one script."""
        if not locks:
            return 0
        keys, holders = zip(*locks, strict=True)
        return int(_answered(run_by(self._broker.ask, RELIEF_UNLOCK, keys, holders))[0])


class _OfTool(NamedTuple):
    """Where the tool keeps its locks, by its own client."""

    client: Any

    def held(self, keys: Sequence[str]) -> list[str | None]:
        """What each lock holds; one MGET."""
        return [
            value if value is None or isinstance(value, str) else as_text(value) for value in self.client.mget(keys)
        ]

    def drop(self, locks: Sequence[tuple[str, str]]) -> int:
        """How many went, of those that hold what they are known by; one script."""
        keys, holders = zip(*locks, strict=True) if locks else ((), ())
        return int(RELIEF_UNLOCK.run(self.client, keys, holders))


def _answered(answers: list[Any]) -> list[Any]:
    refusal = next((answer for answer in answers if isinstance(answer, Refusal)), None)
    if refusal is not None:
        raise RuntimeError(refusal.why)
    return answers
