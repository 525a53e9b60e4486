"""A log line of each kind at most once a minute, with the number of those that were left out between."""

import logging
import threading
import time

_MOST_KINDS = 1000


class Rarely:
    """For what may happen thousands of times a second; 0.3 µs where nothing is said."""

    def __init__(self, log: logging.Logger, every_s: float = 60.0) -> None:
        self._log = log
        self._every_s = every_s
        self._lock = threading.Lock()
        self._kinds: dict[str, tuple[float, int]] = {}

    def say(self, kind: str, message: str, *args: object, level: int = logging.WARNING, exc_info: bool = False) -> None:
        """Says it, unless one of its kind was said within the last minute."""
        now_s = time.monotonic()
        with self._lock:
            due_s, left_out = self._kinds.get(kind, (0.0, 0))
            if now_s < due_s:
                self._kinds[kind] = (due_s, left_out + 1)
                return
            if len(self._kinds) >= _MOST_KINDS:
                self._kinds.clear()
            self._kinds[kind] = (now_s + self._every_s, 0)
        more = f" (and {left_out:,} more since it was last said)" if left_out else ""
        self._log.log(level, message + more, *args, exc_info=exc_info)
