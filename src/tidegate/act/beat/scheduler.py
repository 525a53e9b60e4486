"""The scheduler: a mixin over any of Celery's, and the ready one over the persistent one."""

import time
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from celery import beat

from tidegate.act.beat.book import AGAIN_US, Book
from tidegate.act.beat.calendar import moment_of
from tidegate.act.beat.deciding import Decision, Moment, decide
from tidegate.act.beat.kept import Kept
from tidegate.act.beat.outcomes import Tally, log, rarely
from tidegate.act.beat.pacing import Pacer
from tidegate.act.beat.parts import pacer_of, policy_of, standing_of
from tidegate.act.beat.sending import MOST_DOUBTS, Post, Sending
from tidegate.act.beat.sound import sound
from tidegate.act.beat.standing import Alone, Standing, Verdict
from tidegate.act.claim import Claim
from tidegate.act.gate.install import is_installed
from tidegate.facts.beat import BeatOutcome

#: The longest a tick sleeps, for orders and the lease.
LONGEST_S = 0.5
#: The shortest: what comes due within it goes out together.
SHORTEST_S = 0.005
#: So many due times are sent in one go.
MOST_AT_ONCE = 100
#: A wall clock that moved by more against the schedule's was set.
JUMP_US = 500_000


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
        self.standing: Standing = Alone() if lazy else standing_of(app)
        self.pacer: Pacer | None = None if lazy else pacer_of(app)
        self.tally = Tally(self)
        self._post = Post(self)
        self._term: int | None = None
        self._edition: int | None = None
        self._looked_s = float("-inf")
        self._skew_us: int | None = None
        self._doubtful: dict[str, Sending] = {}
        self._asked: set[str] = set()
        self.book: Book | None = None
        super().__init__(app, *args, **kwargs)  # type: ignore[call-arg]

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

    # The tick.

    def tick(self, *_: Any, **__: Any) -> float:
        """Decides on what is due and sends it; the seconds until it is to be called again. Never raises."""
        if not self.standing.check():
            self._stand_by()
            return min(LONGEST_S, self.max_interval)
        moment = self._moment()
        book = self._up_to_date(moment)
        self._settle_doubts(book, moment)
        self._run_asked(book, moment)
        taken = book.agenda.take(moment.now_us, MOST_AT_ONCE)
        if taken:
            self._turn(book, taken, moment)
        return self._sleep_s(book)

    def _stand_by(self) -> None:
        if self._term is not None:
            log.info("another beat leads, or the server is away: standing by")
        self._term = None

    def _sleep_s(self, book: Book) -> float:
        next_us = book.agenda.next_us()
        longest_s = min(LONGEST_S, self.max_interval)
        if next_us is None:
            return longest_s
        wait_s = next_us / 1e6 - self.standing.now_s()
        return 0.0 if wait_s <= 0 else min(max(wait_s, SHORTEST_S), longest_s)

    def _moment(self) -> Moment:
        return Moment(int(self.standing.now_s() * 1e6), int(self.wall_s() * 1e6))

    # What is known.

    def _up_to_date(self, moment: Moment) -> Book:
        book = self._made_book()
        if self._term != self.standing.term:
            self._begin_term(book, moment)
        elif time.monotonic() - self._looked_s >= 1.0:
            self._look(book, moment)
        if self._edition != self.standing.edition:
            self._edition = self.standing.edition
            book.order(self.standing.orders(), moment.now_us, moment.wall_us)
        self._watch_the_wall(book, moment)
        return book

    def _made_book(self) -> Book:
        if self.book is None:
            conf = self.app.conf
            self.book = Book(
                self.pacer,
                self.policy_of,
                shares=self.standing.terms is not None,
                spread=conf.get("tidegate_beat_spread", True) is not False,
            )
        return self.book

    def _begin_term(self, book: Book, moment: Moment) -> None:
        """This beat leads from now on: what others have decided meanwhile is read, and all is worked out anew."""
        listed = self._listed()
        if listed is None:
            listed = {name: kept.entry for name, kept in book.entries.items()}
        self._doubtful.clear()
        for kept in book.entries.values():
            kept.cursor, kept.last_us = "", 0
        book.remove([name for name in book.entries if name not in listed])
        taken = book.take_in(listed, listed, self.standing.orders())
        cursors = self.standing.cursors(list(listed))
        for kept in taken:
            kept.cursor = cursors.get(kept.name, "")
        book.plan_all(taken, moment.now_us, moment.wall_us)
        self._term, self._edition, self._looked_s = self.standing.term, self.standing.edition, time.monotonic()
        for kept in taken:
            self._check_task(kept.entry)

    def _listed(self) -> Mapping[str, Any] | None:
        try:
            return self.listed()
        except Exception as error:  # noqa: BLE001  a database that is away
            rarely.say("listed", "the entries can't be read (%s: %s)", type(error).__name__, error)
            return None

    def _look(self, book: Book, moment: Moment) -> None:
        """Once a second: entries that came, went or changed, and the intervals that follow the workers."""
        self._looked_s = time.monotonic()
        listed = self._listed()
        changed, gone = ([], []) if listed is None else book.differs(listed)
        if listed is not None and (changed or gone):
            self._take_up(book, listed, changed, gone, moment)
        book.pace(moment.now_us, moment.wall_us)

    def _take_up(
        self, book: Book, listed: Mapping[str, Any], changed: Collection[str], gone: Collection[str], moment: Moment
    ) -> None:
        book.remove(gone)
        fresh = [name for name in changed if name not in book.entries]
        taken = book.take_in(listed, changed, self.standing.orders())
        cursors = self.standing.cursors(fresh) if fresh else {}
        for kept in taken:
            kept.cursor = cursors.get(kept.name, kept.cursor)
            self._check_task(kept.entry)
        book.plan_all(taken, moment.now_us, moment.wall_us)

    def _watch_the_wall(self, book: Book, moment: Moment) -> None:
        """A wall clock that was set: what goes by the calendar is worked out anew."""
        skew_us = moment.wall_us - moment.now_us
        if self._skew_us is not None and abs(skew_us - self._skew_us) > JUMP_US:
            log.warning("the clock of this machine was set by %.1f s", (skew_us - self._skew_us) / 1e6)
            for kept in book.entries.values():
                if not kept.interval_us and kept.ticket:
                    book.plan(kept, moment.now_us, moment.wall_us)
        elif self._skew_us is not None:
            return
        self._skew_us = skew_us

    def _check_task(self, entry: Any) -> None:
        if entry.task not in self.app.tasks:
            log.debug("%s: the task %s is not known here; it is sent by its name", entry.name, entry.task)

    # What is due.

    def _turn(self, book: Book, taken: list[Kept], moment: Moment) -> None:
        """Decides on each, writes what needs no message, and sends the rest."""
        verdicts: list[Verdict] = []
        sendings: list[Sending] = []
        for kept in taken:
            decision = self._decided(book, kept, moment)
            if decision is None:
                continue
            verdicts += decision.verdicts
            if decision.send_us:
                before = str(decision.verdicts[-1].due_us) if decision.verdicts else kept.cursor
                sendings.append(self._sending(book, kept, decision, before))
            elif not decision.verdicts:
                self._go_on(book, kept, kept.due_us, kept.cursor, moment)
        if verdicts and not self.standing.record(verdicts):
            # The server is away: nothing of this turn is decided.
            for kept in taken:
                if not kept.ticket:
                    book.agenda.put(kept, moment.now_us + int(LONGEST_S * 1e6))
            return
        sent = {sending.kept.name for sending in sendings}
        for verdict in verdicts:
            self._note_verdict(book, verdict, moment, goes_on=verdict.entry not in sent)
        if sendings:
            self._send(book, sendings, moment)

    def _decided(self, book: Book, kept: Kept, moment: Moment) -> Decision | None:
        """None where it is not due after all, or can't be worked out: then it has a new place."""
        if not kept.due_us or (not kept.interval_us and kept.due_us > moment.wall_us):
            book.plan(kept, moment.now_us, moment.wall_us)
            return None
        try:
            if not self.permits(kept.entry, moment_of(kept.due_us)):
                return Decision()
            why_held = self.pacer.holds(kept.name) if self.pacer is not None and kept.follows else ""
            return decide(kept, moment, self.app, why_held=why_held, gated=is_installed(self.app))
        except Exception as error:  # noqa: BLE001  one entry's schedule must not stop the others
            book.report(kept, error)
            book.agenda.put(kept, moment.now_us + AGAIN_US)
            return None

    def _sending(self, book: Book, kept: Kept, decision: Decision, before: str) -> Sending:
        options: dict[str, Any] = {}
        if decision.expires_s is not None:
            options["expires"] = decision.expires_s
        if kept.policy.overlap is not None and is_installed(self.app):
            options["overlap"] = kept.policy.overlap.value
        jittered = kept.due_us == decision.send_us and book.jitter_of(kept) > 0
        label = BeatOutcome.JITTERED if jittered else BeatOutcome.SENT
        claim = Claim(self.standing.terms, kept.name, decision.send_us, before, label=label)
        return Sending(kept, claim, options)

    def _note_verdict(self, book: Book, verdict: Verdict, moment: Moment, *, goes_on: bool) -> None:
        kept = book.entries[verdict.entry]
        kept.cursor = str(verdict.due_us)
        kept.last_us = verdict.due_us
        self.tally.note(kept.name, verdict.outcome, verdict.due_us, verdict.many, verdict.why)
        if goes_on:
            self._go_on(book, kept, verdict.due_us, kept.cursor, moment)

    def _send(self, book: Book, sendings: list[Sending], moment: Moment) -> None:
        flushed = self._post.send_all(sendings)
        for sending in sendings:
            self._note_sent(book, sending, sending.outcome(flushed=flushed), moment)

    def _note_sent(self, book: Book, sending: Sending, outcome: BeatOutcome | None, moment: Moment) -> None:
        kept, claim = sending.kept, sending.claim
        if outcome is None and kept.doubts < MOST_DOUBTS:
            self._doubt(sending)
            return
        kept.doubts = 0
        outcome = outcome or BeatOutcome.FAILED
        self.tally.note(kept.name, outcome, claim.due_us, why=claim.why)
        if outcome is BeatOutcome.STANDBY:
            self.standing.lost(claim.why or "another beat has decided on what was due")
        elif not claim.ask:
            cursor = self._written(sending, outcome)
            self._note_run(kept, claim, sending.id)
            self._go_on(book, kept, claim.due_us, cursor, moment)

    def _doubt(self, sending: Sending) -> None:
        """Nobody knows what became of it: the cursor says it, when the server answers again."""
        sending.kept.doubts += 1
        if sending.claim.ask:
            self._asked.discard(sending.claim.ask)
        else:
            self._doubtful[sending.kept.name] = sending

    def _written(self, sending: Sending, outcome: BeatOutcome) -> str:
        """The cursor that the server holds after that: an outcome of this side alone is written there now."""
        claim, due = sending.claim, str(sending.claim.due_us)
        if claim.terms is None or claim.outcome is not None:
            return due
        verdict = Verdict(claim.entry, claim.due_us, claim.before, outcome, why=str(sending.error or "")[:200])
        return due if self.standing.record([verdict]) else claim.before

    def _settle_doubts(self, book: Book, moment: Moment) -> None:
        if not self._doubtful:
            return
        cursors = self.standing.cursors(list(self._doubtful))
        if not self.standing.leads:
            return
        doubtful, self._doubtful = self._doubtful, {}
        for name, sending in doubtful.items():
            if book.entries.get(name) is sending.kept:
                self._settle(book, sending, cursors.get(name, ""), moment)

    def _settle(self, book: Book, sending: Sending, cursor: str, moment: Moment) -> None:
        kept, claim = sending.kept, sending.claim
        if cursor == str(claim.due_us):
            claim.outcome = claim.label
            self._note_sent(book, sending, claim.label, moment)
            return
        # Not sent (it is due again), or another beat was faster.
        kept.cursor = cursor
        kept.last_us = int(cursor) if cursor and cursor != claim.before else kept.last_us
        book.plan(kept, moment.now_us, moment.wall_us)

    def _run_asked(self, book: Book, moment: Moment) -> None:
        """The runs that operators asked for, beside what is due."""
        asks = self.standing.asks()
        self._asked.intersection_update(ask.id for ask in asks.values())
        sendings = []
        for name, ask in asks.items():
            kept = book.entries.get(name)
            if kept is not None and ask.id not in self._asked:
                self._asked.add(ask.id)
                sendings.append(Sending(kept, Claim(self.standing.terms, name, 0, ask=ask.id), {}))
        if sendings:
            self._send(book, sendings, moment)

    def _note_run(self, kept: Kept, claim: Claim, id_: str) -> None:
        if id_:
            kept.run = id_, claim.due_us
        try:
            kept.entry = self.keep_run(kept.entry, moment_of(claim.due_us))
        except Exception as error:  # noqa: BLE001  it is sent, whatever a database says
            rarely.say("keep", "the last run can't be noted (%s: %s)", type(error).__name__, error)

    def _go_on(self, book: Book, kept: Kept, due_us: int, cursor: str, moment: Moment) -> None:
        kept.last_us, kept.cursor = due_us, cursor
        if book.entries.get(kept.name) is kept:
            book.plan(kept, moment.now_us, moment.wall_us)

    # What Celery has otherwise.

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> Any:
        """Celery's, with the options that its policy gives it; what it raises is noted, and said once a minute."""
        sending = self._post.now
        if sending is None:
            return super().apply_async(entry, producer=producer, advance=advance, **kwargs)  # type: ignore[misc]
        own, entry.options = entry.options, {**entry.options, **sending.options}
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


class PersistentScheduler(TidegateMixin, beat.PersistentScheduler):  # type: ignore[misc]
    """`beat_scheduler = "tidegate"`: entries from `beat_schedule`, run state in Celery's own file."""
