"""What the scheduler has to notice between two ticks: a new lease, orders, entries that come and go, a clock that is set."""

import time
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from tidegate.act.beat.book import Book
from tidegate.act.beat.deciding import Moment
from tidegate.act.beat.kept import Kept
from tidegate.act.beat.outcomes import log, rarely

#: A wall clock that moved by more against the schedule's was set.
JUMP_US = 500_000
LOOKS_EVERY_S = 1.0
_MOST_NAMED = 5


class Watch:
    """Keeps the book up to date; asks the scheduler what there is, and its standing what others have decided."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._book: Book | None = None
        self._term: int | None = None
        self._edition: int | None = None
        self._looked_s = 0.0
        self._skew_us: int | None = None
        self._named: set[str] = set()

    @property
    def book(self) -> Book:
        """What is known of the entries; made at the first need, for the settings are complete then."""
        if self._book is None:
            scheduler = self._scheduler
            spread = scheduler.app.conf.get("tidegate_beat_spread", True) is not False
            shares = scheduler.standing.terms is not None
            self._book = Book(scheduler.pacer, scheduler.policy_of, shares=shares, spread=spread)
        return self._book

    def stand_by(self) -> None:
        """This beat does not lead now: what it knows is to be read again when it does."""
        if self._term is not None:
            log.info("another beat leads, or the server is away: standing by")
        self._term = None

    def up_to_date(self, moment: Moment) -> Book:
        """The book as it holds now. Never raises."""
        book, standing = self.book, self._scheduler.standing
        if self._term != standing.term:
            self._begin_term(book, moment)
        elif time.monotonic() - self._looked_s >= LOOKS_EVERY_S:
            self._look(book, moment)
        if self._edition != standing.edition:
            self._edition = standing.edition
            book.order(standing.orders(), moment.now_us, moment.wall_us)
        self._watch_the_wall(book, moment)
        return book

    def _begin_term(self, book: Book, moment: Moment) -> None:
        """This beat leads from now on: what others have decided meanwhile is read, and all is worked out anew."""
        standing = self._scheduler.standing
        self._term, self._edition, self._looked_s = standing.term, standing.edition, time.monotonic()
        listed = self._listed()
        if listed is None:
            listed = {name: kept.entry for name, kept in book.entries.items()}
        for kept in book.entries.values():
            kept.cursor_us = kept.last_us = 0
        self._take_up(book, listed, listed, [name for name in book.entries if name not in listed], moment)

    def _look(self, book: Book, moment: Moment) -> None:
        """Entries that came, went or changed, and the intervals that follow the workers."""
        self._looked_s = time.monotonic()
        listed = self._listed()
        if listed is not None:
            changed, gone = book.differs(listed)
            if changed or gone:
                self._take_up(book, listed, changed, gone, moment)
        book.pace(moment.now_us, moment.wall_us)

    def _listed(self) -> Mapping[str, Any] | None:
        try:
            return self._scheduler.listed()  # type: ignore[no-any-return]
        except Exception as error:  # noqa: BLE001  a database that is away
            rarely.say("listed", "the entries can't be read (%s: %s)", type(error).__name__, error)
            return None

    def _take_up(
        self, book: Book, listed: Mapping[str, Any], changed: Collection[str], gone: Iterable[str], moment: Moment
    ) -> None:
        book.remove(gone)
        standing = self._scheduler.standing
        taken = book.take_in(listed, changed, standing.orders())
        unknown = [kept.name for kept in taken if not kept.cursor_us]
        cursors = standing.cursors(unknown) if unknown else {}
        for kept in taken:
            if kept.name in cursors:
                kept.cursor = cursors[kept.name]
        book.plan_all(taken, moment.now_us, moment.wall_us)
        self._name_strangers(taken)

    def _name_strangers(self, taken: Iterable[Kept]) -> None:
        """Says once which tasks are not known here: another process may have them, or it is a typing error."""
        tasks = self._scheduler.app.tasks
        strange = sorted({str(kept.entry.task) for kept in taken if kept.entry.task not in tasks} - self._named)
        if strange:
            self._named.update(strange)
            named = ", ".join(strange[:_MOST_NAMED]) + (" …" if len(strange) > _MOST_NAMED else "")
            log.warning("%d tasks are sent by their name, for they are not known here: %s", len(strange), named)

    def _watch_the_wall(self, book: Book, moment: Moment) -> None:
        """A wall clock that was set: what goes by the calendar is worked out anew."""
        skew_us = moment.wall_us - moment.now_us
        before_us, self._skew_us = self._skew_us, skew_us
        if before_us is None or abs(skew_us - before_us) <= JUMP_US:
            return
        log.warning("the clock of this machine was set by %.1f s", (skew_us - before_us) / 1e6)
        for kept in book.entries.values():
            if not kept.interval_us and kept.place:
                book.plan(kept, moment.now_us, moment.wall_us)
