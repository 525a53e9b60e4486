"""The scheduler: a mixin over any of Celery's, and the ready one over the persistent one."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from celery import beat

from tidegate.act.beat.behind import Behind, is_gated
from tidegate.act.beat.book import Book
from tidegate.act.beat.deciding import Moment
from tidegate.act.beat.following import pacer_of
from tidegate.act.beat.leading import standing_of
from tidegate.act.beat.outcomes import Tally, rarely
from tidegate.act.beat.pacing import Pacer
from tidegate.act.beat.policies import options_of, policy_of
from tidegate.act.beat.sending import Post
from tidegate.act.beat.sound import sound
from tidegate.act.beat.standing import Alone, Standing
from tidegate.act.beat.store import KeptFile
from tidegate.act.beat.turning import Turns
from tidegate.act.beat.watching import Watch
from tidegate.act.gate.install import is_installed
from tidegate.act.gate.settings import bear_with_entries

#: The longest a tick sleeps, for orders and the lease.
LONGEST_S = 0.5


class TidegateMixin:
    """Stands before a scheduler class of Celery's: what is due is found by a heap, decided on once, and counted.

    What a flavour may have otherwise, each of them with what holds where it does not:

    `listed()`         all entries by name, at most once a second: `self.schedule`. An entry is taken up anew when it, or
                       its schedule, is another object that says something else; give None where nothing can have changed
    `permits(entry, due)`  whether this due time may be sent: True. False lets it pass without a message or a count
    `send_entry(entry)`    publishes one: `apply_entry(entry, producer=self.producer)`
    `keep_run(entry, due)` how it is noted that it ran, and the entry to go on with: Celery's `reserve`, with the due time
                       as `last_run_at`
    `policy_of(entry)`     what holds beside its schedule: by settings, options and row
    `wall_s()`             the wall clock, for schedules that go by the calendar

    `standing` is the lease, `pacer` paces the entries that follow the workers (None: nothing does), `book` is what is
    known of the entries, `tally.counts` are the outcomes in this process.
    """

    app: Any
    producer: Any
    schedule: Any
    max_interval: float
    logger: Any

    def __init__(self, app: Any, *args: Any, **kwargs: Any) -> None:
        lazy = bool(kwargs.get("lazy"))
        if not lazy:
            bear_with_entries(app)
        self.standing: Standing = Alone() if lazy else standing_of(app)
        self.pacer: Pacer | None = None if lazy else pacer_of(app)
        self.tally = Tally(self)
        self._post = Post(self)
        self._watch = Watch(self)
        self.app = app
        self._behind = Behind(app)
        self._turns = Turns(self, self.tally, self._post, self._behind)
        super().__init__(app, *args, **kwargs)  # type: ignore[call-arg]

    @property
    def book(self) -> Book:
        """What is known of the entries."""
        return self._watch.book

    def why_not_held(self, entry: str) -> str:
        """Why the overlap that an entry asks for is not held here; empty where it is, or none is asked for."""
        kept = self.book.entries.get(entry)
        return "" if kept is None or is_gated(self.app) else self._behind.why_not_held(kept)

    # What a flavour may have otherwise.

    def listed(self) -> Mapping[str, Any] | None:
        """All entries by name; None where nothing can have changed since the last time."""
        return self.schedule  # type: ignore[no-any-return]

    def permits(self, entry: Any, due: datetime) -> bool:
        """Whether this due time may be sent."""
        return True

    def send_entry(self, entry: Any) -> None:
        """Publishes one run of it."""
        self.apply_entry(entry, producer=self.producer)  # type: ignore[attr-defined]

    def keep_run(self, entry: Any, due: datetime) -> Any:
        """Notes that it ran; gives the entry to go on with."""
        entry = self.reserve(entry)  # type: ignore[attr-defined]
        entry.last_run_at = due
        return entry

    def policy_of(self, entry: Any) -> Any:
        """What holds for it beside its schedule."""
        return policy_of(self.app, entry)

    def wall_s(self) -> float:
        """Seconds since the epoch by this machine."""
        return time.time()

    def tick(self, *_: Any, **__: Any) -> float:
        """Decides on what is due and sends it; the seconds until it is to be called again. Never raises."""
        longest_s = min(LONGEST_S, self.max_interval)
        try:
            if not self.standing.check():
                self._watch.stand_by()
                return longest_s
            moment = self._moment()
            return min(self._turns.take(self._watch.up_to_date(moment), moment), longest_s)
        except Exception as error:  # noqa: BLE001  beat goes on, whatever a part of it does
            rarely.say("tick", "a tick failed (%s: %s)", type(error).__name__, error, exc_info=True)
            return longest_s

    def _moment(self) -> Moment:
        return Moment(int(self.standing.now_s() * 1e6), int(self.wall_s() * 1e6))

    # What Celery has otherwise.

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Celery's, with the options that its policy gives it; what it raises is noted, and said once a minute."""
        sending = self._post.now
        if sending is None:
            return super().apply_async(entry, producer=producer, advance=advance, **kwargs)  # type: ignore[misc]
        own = entry.options
        entry.options = sending.with_due({**options_of(entry, gated=is_installed(self.app)), **sending.options})
        try:
            result = super().apply_async(entry, producer=producer, advance=advance, **kwargs)  # type: ignore[misc]
        except Exception as error:  # noqa: BLE001  of this entry: the others go out
            self._post.failed(error)
            return None
        finally:
            entry.options = own
        self._post.sent(result)
        return result

    def merge_inplace(self, given: Mapping[str, Any]) -> None:
        """Celery's, without what can't be an entry: that is reported."""
        super().merge_inplace(sound(given, self.app))  # type: ignore[misc]

    def update_from_dict(self, given: Mapping[str, Any]) -> None:
        """The same."""
        super().update_from_dict(sound(given, self.app))  # type: ignore[misc]

    def close(self) -> None:
        """Celery's, and the lease is given up, so that another beat goes on at once."""
        try:
            super().close()  # type: ignore[misc]
        finally:
            self.standing.close()
            if self.pacer is not None:
                self.pacer.close()


class PersistentScheduler(TidegateMixin, KeptFile, beat.PersistentScheduler):  # type: ignore[misc]
    """`beat_scheduler = "tidegate"`: entries from `beat_schedule`, run state in Celery's own file."""
