"""Which removed messages can have a lock at all, so that the others need not be opened: of most there is none."""

from collections.abc import Iterable
from typing import Any

from tidegate.act.relief.locks import SINGLETON_PREFIX, once_key
from tidegate.broker.bodies import ODD
from tidegate.broker.client import Broker
from tidegate.broker.narrow import narrow_decoder
from tidegate.broker.reads import batched, keys_like

#: Of more locks than these nobody is asked for his: every message is opened then.
_MOST_LOCKS = 200_000
_ONCE_PREFIX = once_key("", {})


class Lockable:
    """Made once an act: one SCAN per thousand keys of the database, and one GET for each lock of celery-singleton."""

    def __init__(self, broker: Broker, app: Any) -> None:
        self._read = narrow_decoder(("id",))
        self._tasks = _locking(app)
        singles = keys_like(broker, f"{SINGLETON_PREFIX}*", _MOST_LOCKS)
        self._once = keys_like(broker, f"{_ONCE_PREFIX}*", _MOST_LOCKS)
        self._all = singles is None or self._once is None
        held = batched(broker, [("GET", key) for key in singles or ()])
        self._ids = {value.decode(errors="replace") for value in held if isinstance(value, bytes)}
        self._may_once: dict[str, bool] = {}

    def among(self, elements: Iterable[bytes]) -> Iterable[bytes]:
        """Those whose task takes locks, or whose lock is held under a default name; 1 µs each."""
        return elements if self._all else (element for element in elements if self._may_hold(element))

    def _may_hold(self, element: bytes) -> bool:
        if not (self._tasks or self._ids or self._once):
            return False
        try:
            headers = self._read(element).headers
        except ODD:
            return True
        return headers.task in self._tasks or headers.id in self._ids or self._named_once(headers.task)

    def _named_once(self, task: str) -> bool:
        if task not in self._may_once:
            self._may_once[task] = any(key.startswith(f"{_ONCE_PREFIX}{task}") for key in self._once or ())
        return self._may_once[task]


def _locking(app: Any) -> set[str]:
    """The tasks of the application that are of one of the two packages."""
    tasks = app.tasks if app is not None else {}
    return {name for name, task in tasks.items() if hasattr(task, "singleton_backend") or hasattr(task, "once_backend")}
