"""How often, and why, the gate let a message pass without having decided on it: counted always, logged once a minute.

The counts are kept in the process until a server takes them: with the next message that is decided on.
"""

import logging
import threading
import time
from collections import Counter

log = logging.getLogger("tidegate.gate")

LOG_EVERY_S = 60.0
#: The counts are offered again this long after a server refused them.
TRY_AGAIN_S = 60.0
PUBLISHED = "messages are published plainly"


class Openings:
    """The counts of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._logged_at: dict[str, float] = {}
        self._try_at = 0.0

    def note(self, why: str, what: object, means: str = PUBLISHED) -> None:
        """One message went past the gate. `why` is one of a few words; `what` is told in the log, with what it means."""
        with self._lock:
            self._counts[why] += 1
            now = time.monotonic()
            due = now - self._logged_at.get(why, float("-inf")) >= LOG_EVERY_S
            if due:
                self._logged_at[why] = now
        if due:
            log.warning("the gate is open (%s): %s, as without it: %s", why, means, _in_words(what))

    @property
    def waiting(self) -> bool:
        """Whether a server should be offered counts now."""
        return bool(self._counts) and time.monotonic() >= self._try_at

    def take(self) -> dict[str, int]:
        """What was counted since the last time."""
        with self._lock:
            taken, self._counts = dict(self._counts), Counter()
        return taken

    def give_back(self, counts: dict[str, int]) -> None:
        """No server took them: they wait for another time."""
        with self._lock:
            self._counts.update(counts)
            self._try_at = time.monotonic() + TRY_AGAIN_S


def _in_words(what: object) -> str:
    """The kind of an error and its text; the `repr` of redis-py's errors leaves out what the server said."""
    return f"{type(what).__name__}: {what}" if isinstance(what, BaseException) else str(what)


openings = Openings()
