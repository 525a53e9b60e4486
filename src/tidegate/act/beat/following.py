"""The thread of a beat that looks after the intervals which follow the workers; beat itself never waits for it."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

from tidegate.act import journal
from tidegate.act.beat.pacing import Follower
from tidegate.act.beat.rules import name_of
from tidegate.act.beat.watched import Watched
from tidegate.broker.beat import key_of
from tidegate.broker.orders import encode_paced
from tidegate.errors import TidegateError
from tidegate.facts.beat import Paced
from tidegate.facts.journal import JournalEntry
from tidegate.facts.unknown import known
from tidegate.model.pacing.aims import Aim, Bounds
from tidegate.model.pacing.holding import why_held
from tidegate.model.pacing.law import Track, begun, stepped
from tidegate.observe.app import address_of
from tidegate.observe.conf import values_in
from tidegate.observe.probe.link import Away, Link, refusal_among

log = logging.getLogger("tidegate.beat")

TURN_S = 0.5
#: A beat that leads asks once a second: one that has not asked for so long does not lead.
_LEADS_S = 3.0
#: After other workers came or went the intervals go there quickly for so long.
_CHANGED_S = 30.0
#: What was seen longer ago holds nothing back: a look that keeps failing must not stop the schedule.
_SEEN_S = 5.0
_NOTHING_YET = Aim(interval_s=0.0, why="no measurements yet: declared interval", work={}, per_message={})


class _Link(Link):
    log = log
    away = "the workers can't be looked at, so intervals that follow them stay as they are: %s"
    back = "the workers can be looked at again"


def pacer_of(app: Any) -> "Following | None":
    """What paces the entries of an application; None where its broker is none that can be looked at."""
    try:
        address, values = address_of(app), values_in(app.conf)
    except (TidegateError, TypeError, ValueError) as error:
        log.warning("no interval follows the workers: %s", error)
        return None
    watched = Watched(values["tidegate_target_utilisation"], values["tidegate_wait_target_s"])
    return Following(_Link(address), name_of(app), watched)


class Following:
    """A `Pacer`. What it tells is replaced as a whole, never changed, so that reading it needs no lock."""

    def __init__(self, link: Link, name: str, watched: Watched) -> None:
        self._link, self._name, self._watched = link, name, watched
        self._followers: Mapping[str, Follower] = {}
        self._tracks: dict[str, Track] = {}
        self._paced: Mapping[str, Paced] = {}
        self._written: dict[str, Paced] = {}
        self._lock = threading.Lock()
        self._let_go: Counter[str] = Counter()
        self._came_due: Counter[str] = Counter()
        self._held: Counter[str] = Counter()
        self._asked_s = -_LEADS_S
        self._seen_s = float("-inf")
        self._changed_s = -_CHANGED_S
        self._complained = ""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self, followers: Collection[Follower]) -> None:
        """These from now on; the thread begins with the first."""
        self._followers = {follower.entry: follower for follower in followers}
        if followers and self._thread is None and not self._ended.is_set():
            self._thread = threading.Thread(target=self._run, name="tidegate-pacing", daemon=True)
            self._thread.start()

    def pace(self, entry: str) -> Paced | None:
        """The interval that the entry should have; 1 µs."""
        self._asked_s = time.monotonic()
        return self._paced.get(entry) if entry in self._followers else None

    def holds(self, entry: str) -> str:
        """Why the run should be held back, by the last look; counts it. Nothing is where that was too long ago."""
        with self._lock:
            if time.monotonic() - self._seen_s > _SEEN_S:
                self._let_go.clear()
                return ""
            why = why_held(entry, self._watched.aims, self._watched.depths, self._let_go.elements())
            (self._held if why else self._let_go)[entry] += 1
            self._came_due[entry] += 1
        return why

    def close(self) -> None:
        """Ends the thread, which waits for nothing."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(TURN_S):
            if self._followers and time.monotonic() - self._asked_s < _LEADS_S:
                self._guarded()
            else:
                # Another beat may lead now, and writes its own.
                self._written.clear()
        self._link.close()

    def _guarded(self) -> None:
        try:
            self._turn(time.monotonic())
        except Away:
            return
        except Exception as error:
            if isinstance(error, TidegateError):
                self._link.failed(str(error), in_doubt=True)
            elif self._complained != type(error).__name__:
                self._complained = type(error).__name__
                log.warning("intervals stay as they are (%s: %s)", self._complained, error, exc_info=True)

    def _turn(self, now_s: float) -> None:
        followers = self._followers
        bounds = {
            name: Bounds(declared_s=one.declared_s, min_s=one.min_s, max_s=one.max_s) for name, one in followers.items()
        }
        for name in followers.keys() - self._tracks.keys():
            self._tracks[name] = begun(followers[name].now_s, bounds[name], now_s)
        intervals = {name: (followers[name].task, self._tracks[name].interval_s) for name in followers}
        before = Counter(self._let_go)
        if self._watched.look(self._link.open(), intervals, bounds, now_s):
            self._changed_s = now_s
        with self._lock:
            self._seen_s = time.monotonic()
            self._let_go -= before
            came_due, held = self._came_due, self._held
            self._came_due, self._held = Counter(), Counter()
        paced = {}
        for name in followers:
            share = held[name] / came_due[name] if came_due[name] else None
            paced[name] = self._step(name, bounds[name], now_s, share)
        self._paced = paced
        self._write(paced)
        self._link.works()

    def _step(self, name: str, bounds: Bounds, now_s: float, held: float | None) -> Paced:
        aim = self._watched.aims.get(name, _NOTHING_YET)
        if not aim.work or not known(aim.interval_s):
            self._tracks[name] = begun(bounds.declared_s, bounds, now_s)
            return Paced(interval_s=self._tracks[name].interval_s, why=aim.why, basis="declared")
        same = self._paced.get(name)
        if same is None or same.basis == "declared":
            self._changed_s = now_s
        changed = now_s - self._changed_s < _CHANGED_S
        track = self._tracks[name] = stepped(
            self._tracks[name], aim.interval_s, bounds, now_s, held=held, changed=changed
        )
        why = (
            aim.why if track.factor < 1.01 else f"{aim.why}; widened by {track.factor - 1:.0%}, for runs are held back"
        )
        # The numbers of the sentence are those of the last change.
        if same is not None and same.interval_s == track.interval_s and same.basis == "plan":
            return same
        return Paced(interval_s=track.interval_s, why=why, basis="plan")

    def _write(self, paced: Mapping[str, Paced]) -> None:
        """What is new goes to where `tidegate schedule` reads it, and changes of an interval into the journal."""
        new = {name: one for name, one in paced.items() if self._written.get(name) != one}
        gone = self._written.keys() - paced.keys()
        if not new and not gone:
            return
        prefix = self._link.address.layout.prefix
        key = key_of(prefix, self._name, "paced")
        commands: list[Any] = [("HSET", key, name, encode_paced(one)) for name, one in new.items()]
        commands += [("HDEL", key, name) for name in gone]
        for name, one in new.items():
            was = self._written.get(name)
            was_s = (
                was.interval_s if was is not None else self._followers[name].now_s if name in self._followers else 0.0
            )
            if was_s and abs(one.interval_s / was_s - 1) > 1e-6:
                commands.append(journal.adding(prefix, self._change(name, was_s, one)))
        refusal = refusal_among(self._link.ask(*commands))
        if refusal is not None:
            self._link.complain(refusal.why)
            return
        self._written = dict(paced)

    def _change(self, name: str, was_s: float, now: Paced) -> JournalEntry:
        return JournalEntry(
            at_s=time.time(),
            act="beat",
            what="paced",
            key=name,
            task=self._followers[name].task if name in self._followers else "",
            why=now.why,
            was=f"{was_s:.3g}",
            now=f"{now.interval_s:.3g}",
        )
