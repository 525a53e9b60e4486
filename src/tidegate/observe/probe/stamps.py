"""What every published message gets: the time of publication, and the periodic entry that it goes back to.

`enqueued_at` is always written anew, for a retry copies its headers. `periodic_task_name` (the name that
django-celery-beat uses) is written by beat for its own messages and handed on by every run to its children; a message
that has one keeps it.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from tidegate.observe.probe.run import LONGEST_NAME, name_of

log = logging.getLogger("tidegate.probe")

#: (seconds since the epoch, whether they are the broker's); the publisher's own clock where the broker's is unknown.
Clock = Callable[[], tuple[float, bool]]


def own_clock() -> tuple[float, bool]:
    """The clock of this machine."""
    return time.time(), False


class _Firing(threading.local):
    """The entry that beat publishes at the moment."""

    entry = ""


class Stamps:
    """The handler of `before_task_publish`, one for the whole process."""

    def __init__(self, wanted: Callable[[], bool]) -> None:
        """`wanted` is asked once, at the first message."""
        self._wanted: Callable[[], bool] = wanted
        self._firing = _Firing()
        self.forget()

    def forget(self) -> None:
        """Begins anew, outside of any worker."""
        self._on: bool | None = None
        self._complained = False
        self.clock: Clock = own_clock
        #: Notes a child of the present run, and gives that run's entry.
        self.published: Callable[[object], str] | None = None

    @property
    def entry(self) -> str:
        """The entry that beat publishes at the moment."""
        return self._firing.entry

    def stamp(self, sender: Any = None, headers: Any = None, **_: Any) -> None:
        """Writes into the headers of a message that is about to be published; 2 µs. Never raises."""
        try:
            if not self._on:
                if self._on is None:
                    self._on = self._wanted()
                if not self._on:
                    return
            entry = self._firing.entry
            if self.published is not None:
                entry = self.published(sender) or entry
            at_s, of_broker = self.clock()
            headers["enqueued_at"] = round(at_s, 6)
            if of_broker:
                headers["enqueued_clock"] = "broker"
            elif "enqueued_clock" in headers:
                # A retry of what was published by a worker.
                del headers["enqueued_clock"]
            if entry and not headers.get("periodic_task_name"):
                headers["periodic_task_name"] = entry
        except Exception as error:  # noqa: BLE001  the message goes out without a stamp
            if not self._complained:
                self._complained = True
                log.warning("the probe can't stamp messages (%s: %s)", type(error).__name__, error)

    def watch_beat(self, sender: Any = None, **_: Any) -> None:
        """Handler of `beat_init`: from now on the scheduler says which entry it publishes."""
        scheduler = sender.scheduler
        if getattr(scheduler.apply_async, "tidegate", None) is not None:
            return
        scheduler.apply_async = self._naming(scheduler.apply_async)

    def _naming(self, apply_async: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(apply_async)
        def named(entry: Any, producer: Any = None, advance: bool = True, **options: Any) -> Any:
            before, self._firing.entry = self._firing.entry, name_of(getattr(entry, "name", ""))[:LONGEST_NAME]
            try:
                return apply_async(entry, producer=producer, advance=advance, **options)
            finally:
                self._firing.entry = before

        named.tidegate = True  # type: ignore[attr-defined]
        return named
