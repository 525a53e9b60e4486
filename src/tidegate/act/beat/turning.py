"""One turn: what is due is decided on, what needs no message is written, the rest is sent, and what became of it noted."""

from collections import Counter
from typing import Any

from tidegate.act.beat.behind import Behind, is_gated
from tidegate.act.beat.book import AGAIN_US, Book
from tidegate.act.beat.calendar import moment_of
from tidegate.act.beat.deciding import Decision, Moment, decide
from tidegate.act.beat.kept import Kept
from tidegate.act.beat.outcomes import Tally, rarely
from tidegate.act.beat.sending import MOST_DOUBTS, Post, Sending
from tidegate.act.beat.standing import ANY_CURSOR, Verdict
from tidegate.act.claim import Claim
from tidegate.facts.beat import BeatOutcome

#: So many due times are sent in one go.
MOST_AT_ONCE = 100
#: The shortest sleep: what comes due within it goes out together.
SHORTEST_S = 0.01
#: While the server is away, what is due waits so long for the next try.
PATIENCE_US = 500_000
_SENT = (BeatOutcome.SENT, BeatOutcome.JITTERED, BeatOutcome.BUFFERED)


class Turns:
    """Takes from the agenda what is due, for a scheduler that leads."""

    def __init__(self, scheduler: Any, tally: Tally, post: Post, behind: Behind) -> None:
        self._scheduler, self._tally, self._post = scheduler, tally, post
        self._behind = behind
        self._doubtful: dict[str, Sending] = {}
        #: How often nobody learnt what became of an entry's due time.
        self._doubts: Counter[str] = Counter()
        self._asked: set[str] = set()

    def take(self, book: Book, moment: Moment) -> float:
        """One turn; the seconds until something is due again. Never raises."""
        self._settle_doubts(book, moment)
        self._run_asked(book, moment)
        taken = book.agenda.take(moment.now_us, MOST_AT_ONCE)
        if taken:
            self._turn(book, taken, moment)
        if book.reported:
            self._tell(book)
        next_us = book.agenda.next_us()
        if next_us is None:
            return PATIENCE_US / 1e6
        wait_s = next_us / 1e6 - self._scheduler.standing.now_s()
        return 0.0 if wait_s <= 0 else max(wait_s, SHORTEST_S)

    def _tell(self, book: Book) -> None:
        """What schedules raised, where the schedule is shown; no due time has come of it."""
        told, book.reported = book.reported, {}
        failed = BeatOutcome.FAILED
        self._scheduler.standing.record([Verdict(name, 0, ANY_CURSOR, failed, 0, why) for name, why in told.items()])

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
                sendings.append(self._sending(book, kept, decision))
            elif not decision.verdicts:
                self._go_on(book, kept, kept.due_us, kept.cursor, moment)
        if verdicts and not self._scheduler.standing.record(verdicts):
            # The server is away: nothing of this turn is decided.
            for kept in taken:
                if kept.place is None:
                    book.agenda.put(kept, moment.now_us + PATIENCE_US)
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
            if not self._scheduler.permits(kept.entry, moment_of(kept.due_us)):
                return Decision()
            return self._decision(book, kept, moment)
        except Exception as error:  # noqa: BLE001  one entry's schedule must not stop the others
            book.report(kept, error)
            book.agenda.put(kept, moment.now_us + AGAIN_US)
            return None

    def _decision(self, book: Book, kept: Kept, moment: Moment) -> Decision:
        app, pacer = self._scheduler.app, self._scheduler.pacer
        why_held = pacer.holds(kept.name) if pacer is not None and kept.follows else ""
        gated = is_gated(app)
        # By its jitter a due time is sent later, but it does not come late.
        moment = moment.earlier(book.jitter_of(kept))
        decision = decide(kept, moment, app, why_held=why_held, gated=gated)
        why = self._behind.why_skipped(kept, decision.send_us) if decision.send_us and not gated else ""
        return decision.passing_over(kept, BeatOutcome.OVERLAP_SKIPPED, why) if why else decision

    def _sending(self, book: Book, kept: Kept, decision: Decision) -> Sending:
        options: dict[str, Any] = {}
        if decision.expires_s is not None:
            options["expires"] = decision.expires_s
        jittered = kept.due_us == decision.send_us and book.jitter_of(kept) > 0
        label = BeatOutcome.JITTERED if jittered else BeatOutcome.SENT
        claim = Claim(self._scheduler.standing.terms, kept.name, decision.send_us, decision.before(kept), label=label)
        return Sending(kept, claim, options)

    def _note_verdict(self, book: Book, verdict: Verdict, moment: Moment, *, goes_on: bool) -> None:
        kept = book.entries[verdict.entry]
        kept.cursor_us = kept.last_us = verdict.due_us
        self._tally.note(kept.name, verdict.outcome, verdict.due_us, verdict.many, verdict.why)
        if goes_on:
            self._go_on(book, kept, verdict.due_us, kept.cursor, moment)

    def _send(self, book: Book, sendings: list[Sending], moment: Moment) -> None:
        flushed = self._post.send_all(sendings)
        for sending in sendings:
            self._note_sent(book, sending, sending.outcome(flushed=flushed), moment)

    def _note_sent(self, book: Book, sending: Sending, outcome: BeatOutcome | None, moment: Moment) -> None:
        kept, claim = sending.kept, sending.claim
        if outcome is None and self._doubts[kept.name] < MOST_DOUBTS:
            self._doubt(sending)
            return
        self._doubts.pop(kept.name, None)
        outcome = outcome or BeatOutcome.FAILED
        self._tally.note(kept.name, outcome, claim.due_us, why=claim.why)
        if outcome is BeatOutcome.STANDBY:
            self._scheduler.standing.lost(claim.why or "another beat has decided on what was due")
        elif not claim.ask:
            cursor = self._written(sending, outcome)
            if outcome in _SENT:
                self._behind.note(kept, sending.id, claim.due_us)
            self._note_run(kept, claim)
            self._go_on(book, kept, claim.due_us, cursor, moment)

    def _doubt(self, sending: Sending) -> None:
        """Nobody knows what became of it: the cursor says it, when the server answers again."""
        self._doubts[sending.kept.name] += 1
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
        return due if self._scheduler.standing.record([verdict]) else claim.before

    def _settle_doubts(self, book: Book, moment: Moment) -> None:
        if not self._doubtful:
            return
        cursors = self._scheduler.standing.cursors(list(self._doubtful))
        if not self._scheduler.standing.leads:
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
        asks = self._scheduler.standing.asks()
        self._asked.intersection_update(ask.id for ask in asks.values())
        sendings = []
        for name, ask in asks.items():
            kept = book.entries.get(name)
            if kept is not None and ask.id not in self._asked:
                self._asked.add(ask.id)
                sendings.append(Sending(kept, Claim(self._scheduler.standing.terms, name, 0, ask=ask.id), {}))
        if sendings:
            self._send(book, sendings, moment)

    def _note_run(self, kept: Kept, claim: Claim) -> None:
        try:
            kept.entry = self._scheduler.keep_run(kept.entry, moment_of(claim.due_us))
        except Exception as error:  # noqa: BLE001  it is sent, whatever a database says
            rarely.say("keep", "the last run can't be noted (%s: %s)", type(error).__name__, error)

    def _go_on(self, book: Book, kept: Kept, due_us: int, cursor: str, moment: Moment) -> None:
        kept.last_us = due_us
        kept.cursor = cursor
        if book.entries.get(kept.name) is kept:
            book.plan(kept, moment.now_us, moment.wall_us)
