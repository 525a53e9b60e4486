"""An interval that follows a small cluster, all of it played: hosts come and go, others come and go, runs are uneven."""

import random
from collections import deque
from dataclasses import dataclass, field, replace

import pytest
from cluster import CHILD, START, Cluster, Message, Task, a_worker, an_entry

from tidegate.facts.measured import Measured
from tidegate.facts.planned import Question
from tidegate.facts.unknown import known
from tidegate.model.pacing.aims import Bounds, aims_of
from tidegate.model.pacing.holding import why_held
from tidegate.model.pacing.law import begun, stepped

OTHER, ENTRY = "screen.tasks.mail", "refresh"
STEP_S, LOOKS_S, PLANS_S, NOTICES_S, QUICK_S, WINDOW_S = 0.02, 0.5, 10.0, 5.0, 30.0, 600.0


@dataclass
class Played:
    """Two hosts of one slot; beat looks, plans and steps as the thread of a beat does."""

    bounds: Bounds
    run_s: float = 0.4
    scatter: float = 0.3
    others_per_s: float = 0.0
    wait_target_s: float | None = None
    seed: int = 3
    now_s: float = 0.0
    hosts: set[str] = field(default_factory=lambda: {"a@host1", "b@host2"})
    intervals: list[tuple[float, float]] = field(default_factory=list)
    depths: list[tuple[float, int]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    why: str = ""

    def __post_init__(self):
        self._luck = random.Random(self.seed)
        self._cluster = Cluster([Task(CHILD, lambda: self.run_s), Task(OTHER, lambda: 0.1)])
        self._free, self._waiting, self._number = dict.fromkeys(self.hosts, 0.0), deque(), 0
        self._track = begun(self.bounds.declared_s, self.bounds, 0.0)
        self._alive, self._seen_hosts, self._aims, self._depth, self._let_go = [], frozenset(), {}, {}, []
        self._looked = self._planned = self._changed = -1e9
        self._due, self._other_due, self._came, self._held = 0.0, self._luck.random(), 0, 0

    def go_on(self, seconds):
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self._turn()
            self.now_s += STEP_S
        return self

    def lose(self, host):
        self.hosts.discard(host)

    def bring_back(self, host):
        self.hosts.add(host)
        self._free[host] = self.now_s

    def _turn(self):
        if self.now_s - self._looked >= LOOKS_S:
            self._looked = self.now_s
            self._look()
        while self._other_due <= self.now_s:
            if self.others_per_s:
                self._send(OTHER, "")
            self._other_due = self.now_s + self._luck.expovariate(self.others_per_s or 1.0)
        if self.now_s >= self._due:
            self._come_due()
            self._due += self._track.interval_s
        for host in self.hosts:
            while self._waiting and self._free[host] <= self.now_s:
                self._run(host, self._waiting.popleft())

    def _come_due(self):
        self._came += 1
        if why_held(ENTRY, self._aims, self._depth, self._let_go):
            self._held += 1
            return
        self._let_go.append(ENTRY)
        self._send(CHILD, ENTRY)

    def _send(self, task, entry):
        self._number += 1
        self._waiting.append(Message(task, entry, self._number, self.now_s, True))

    def _run(self, host, message):
        mean_s = self.run_s if message.task == CHILD else 0.1
        run_s = mean_s * self._luck.uniform(1 - self.scatter, 1 + self.scatter)
        if message.task == OTHER:
            self.waits.append(self.now_s - message.published_s)
        task = next(one for one in self._cluster.tasks if one.name == message.task)
        self._cluster._note(task, message, self.now_s, run_s, 1)
        self._free[host] = self.now_s + run_s

    def _look(self):
        self._alive.append((self.now_s, frozenset(self.hosts)))
        # A host that is back counts at once, one that is gone when its sign of life has expired.
        lately = [hosts for at_s, hosts in self._alive if at_s >= self.now_s - NOTICES_S]
        hosts = frozenset().union(*lately)
        if hosts != self._seen_hosts:
            self._seen_hosts, self._changed, self._planned = hosts, self.now_s, -1e9
        if self.now_s - self._planned >= PLANS_S:
            self._planned = self.now_s
            # What was known once holds on, as it does in a beat.
            found = aims_of(self._question(hosts), {ENTRY: self.bounds})
            self._aims = {
                name: aim if known(aim.interval_s) else self._aims.get(name, aim) for name, aim in found.items()
            }
        self._step()
        self._depth, self._let_go = {"celery": len(self._waiting)}, []

    def _question(self, hosts):
        slices = [
            each for start, each in sorted(self._cluster.slices.items()) if start > START + self.now_s - WINDOW_S - 60
        ]
        workers = tuple(a_worker(host, at_s=START + self.now_s) for host in sorted(hosts))
        measured = Measured(at_s=START + self.now_s, slices=tuple(slices), workers=workers, bytes=1)
        now_s = self._track.interval_s
        entry = replace(an_entry(ENTRY, interval_s=now_s), mean_interval_s=now_s)
        return Question(
            at="now", url="redis://x/0", measured=measured, entries=(entry,), wait_target_s=self.wait_target_s
        )

    def _step(self):
        aim = self._aims.get(ENTRY)
        held, self._came, self._held = (self._held / self._came if self._came else None), 0, 0
        if aim is not None and known(aim.interval_s) and aim.work:
            changed = self.now_s - self._changed < QUICK_S
            self._track = stepped(self._track, aim.interval_s, self.bounds, self.now_s, held=held, changed=changed)
        self.why = aim.why if aim is not None else ""
        self.intervals.append((self.now_s, self._track.interval_s))
        self.depths.append((self.now_s, len(self._waiting)))

    def swing(self, since_s):
        found = [interval_s for at_s, interval_s in self.intervals if at_s >= since_s]
        return max(found) / min(found) - 1

    def deepest(self, since_s=0.0):
        return max(depth for at_s, depth in self.depths if at_s >= since_s)


def bounds(**changes):
    return Bounds(**{"declared_s": 0.35, "min_s": 0.05, "max_s": 8.0} | changes)


def test_a_lost_host_and_its_return_keep_their_marks():
    played = Played(bounds()).go_on(300)
    both_s = played._track.interval_s
    assert both_s == pytest.approx(0.4 / 1.6, rel=0.1)
    played.lose("b@host2")
    played.go_on(15)
    assert played._track.interval_s == pytest.approx(0.4 / 0.8, rel=0.1)
    played.go_on(60).bring_back("b@host2")
    played.go_on(30)
    assert played._track.interval_s == pytest.approx(0.4 / 1.6, rel=0.1)
    assert played.deepest() <= 2


@pytest.mark.parametrize("scatter", [0.0, pytest.param(0.3, marks=pytest.mark.proof), 0.9])
def test_thirty_minutes_of_uneven_runs_and_others_make_no_oscillation(scatter):
    played = Played(bounds(), scatter=scatter, others_per_s=4.0).go_on(900)
    since_s = played.now_s
    assert played.go_on(1800).swing(since_s) <= 0.1


def test_others_that_come_take_their_slots_and_give_them_back():
    played = Played(bounds()).go_on(300)
    played.others_per_s = 5.0
    played.go_on(900)
    assert played._track.interval_s == pytest.approx(0.4 / (1.6 - 0.5), rel=0.12)
    played.others_per_s = 0.0
    played.go_on(900)
    assert played._track.interval_s == pytest.approx(0.4 / 1.6, rel=0.12)


@pytest.mark.parametrize("wait_target_s", [0.05, 0.15])
def test_others_keep_their_wait_target_also_while_a_host_is_lost(wait_target_s):
    played = Played(bounds(), others_per_s=1.0, wait_target_s=wait_target_s).go_on(600)
    played.waits.clear()
    played.go_on(300).lose("b@host2")
    played.go_on(600)
    assert sum(played.waits) / len(played.waits) <= wait_target_s


def test_others_that_are_too_much_alone_leave_the_longest_interval_and_that_is_said():
    played = Played(bounds(max_s=4.0)).go_on(300)
    played.others_per_s = 30.0
    played.go_on(900)
    assert played._track.interval_s == 4.0
    assert "others alone want" in played.why and played.why.endswith("the longest interval")


def test_without_anybody_who_works_nothing_is_known_and_the_interval_stays():
    played = Played(bounds(), hosts=set()).go_on(60)
    assert {interval_s for _, interval_s in played.intervals} == {0.35}
