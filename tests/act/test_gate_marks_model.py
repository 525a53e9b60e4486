"""The mark of one key against a plain model of it, through any sequence of what publishers, workers and tools do."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from overlap_lua import Place, Told

#: Longer than a message may be nowhere.
MOMENT_MS = 600

WAITING, STOCK, HELD, RUNNING = "waiting", "stock", "held", "running"


@dataclass
class Truth:
    """Where a message really is; `who` is the worker and the session that have it."""

    where: str
    who: str = ""


class MarkOfOneKey(RuleBasedStateMachine):
    """Knows where every message is, and which one the key is about: the one that entered last, or came back."""

    client: redis.Redis

    @initialize(policy=st.sampled_from(["skip", "buffer_one"]))
    def begin(self, policy):
        self.client.flushdb()
        self.place = Place(self.client)
        self.policy = policy
        self.truth: dict[str, Truth] = {}
        self.told: dict[str, Told] = {}
        self.owner: Told | None = None
        self.sessions: dict[str, str] = {}
        self.numbers = itertools.count(1)
        self.retried: set[str] = set()
        self.a_retry_came_back = False
        self.start_worker(None)

    @rule(data=st.data())
    def something_happens(self, data):
        data.draw(st.sampled_from([act for act, may in self.acts() if may]))(data)

    def acts(self) -> list[tuple[Callable[[Any], None], object]]:
        """What can happen now; publishing more often, for it is what all of this is about."""
        return [
            *[(self.publish, True)] * 4,
            (self.retry, self.those(RUNNING, alive=True)),
            (self.start_worker, len(self.sessions) < 2),
            (self.kill_worker, self.sessions),
            (self.lose_connection, self.sessions),
            *[(self.take, self.sessions and self.those(WAITING))] * 2,
            (self.take_as_stock, self.those(WAITING)),
            *[(self.acknowledge, self.those(HELD, alive=True))] * 2,
            (self.end, self.those(RUNNING)),
            (self.acknowledge_as_stock, self.those(STOCK)),
            (self.restore, self.those(HELD, STOCK)),
            (self.delete_queue, self.those(WAITING)),
            (self.sweep, True),
            (self.time_passes, True),
        ]

    # The model

    def is_pending(self, truth: Truth | None) -> bool:
        if truth is None or truth.where == RUNNING:
            return False
        return truth.where in (WAITING, STOCK) or truth.who in self.sessions.values()

    def is_in_the_way(self) -> bool:
        truth = self.truth.get(self.owner.tag) if self.owner else None
        if truth is not None and truth.where == RUNNING:
            return self.policy == "skip" and truth.who.partition("/")[0] in self.sessions
        return self.is_pending(truth)

    def owner_is_nowhere(self) -> bool:
        return self.owner is not None and self.owner.tag not in self.truth

    def those(self, *places: str, alive: bool = False) -> list[Told]:
        """The messages that are there, in their order; with `alive` only those of sessions that live."""
        return [
            self.told[tag]
            for tag, truth in self.truth.items()
            if truth.where in places and (not alive or truth.who in self.sessions.values())
        ]

    # Publishers

    def publish(self, data):
        m = Told(overlap=self.policy)
        answer = self.place.publish(m)
        if self.owner_is_nowhere() and answer != ["admitted"]:
            # That it is nowhere is believed a moment later.
            self.place.later(MOMENT_MS)
            answer = self.place.publish(m)
        assert answer == (["overlap_skipped", self.owner.id] if self.is_in_the_way() else ["admitted"])
        if answer == ["admitted"]:
            self.entered(m)

    def retry(self, data):
        m = data.draw(st.sampled_from(self.those(RUNNING, alive=True)))
        if m.tag in self.retried or (self.is_in_the_way() and self.owner.id != m.id):
            return
        self.retried.add(m.tag)
        again = m.again(id=m.id, retries=m.retries + 1)
        assert self.place.publish(again) == ["admitted"]
        self.entered(again)

    def entered(self, m: Told) -> None:
        self.truth[m.tag], self.told[m.tag], self.owner = Truth(WAITING), m, m

    # Workers

    def start_worker(self, data):
        name = f"w{next(self.numbers)}"
        self.sessions[name] = f"{name}/{next(self.numbers)}"
        self.speak(name)

    def kill_worker(self, data):
        name = data.draw(st.sampled_from(sorted(self.sessions)))
        del self.sessions[name]
        self.place.dies(name)

    def lose_connection(self, data):
        name = data.draw(st.sampled_from(sorted(self.sessions)))
        self.sessions[name] = f"{name}/{next(self.numbers)}"
        self.speak(name)

    def speak(self, name: str) -> None:
        runs = [tag for tag, truth in self.truth.items() if truth.where == RUNNING and truth.who.startswith(f"{name}/")]
        session = self.sessions[name].partition("/")[2]
        self.place.lives(name, sessions=(session,), running=tuple(runs), as_of=self.place.now_ms() + 1)

    def take(self, data):
        who = self.sessions[data.draw(st.sampled_from(sorted(self.sessions)))]
        m = self.place.fetch(who) if data.draw(st.booleans()) else self.place.take(who)
        self.truth[m.tag] = Truth(HELD, who)

    def take_as_stock(self, data):
        m = self.place.pop()
        self.place.register(m)
        self.truth[m.tag] = Truth(STOCK)

    def acknowledge(self, data):
        m = data.draw(st.sampled_from(self.those(HELD, alive=True)))
        truth, early = self.truth[m.tag], data.draw(st.booleans())
        self.place.release(m, "runs" if early else "done", truth.who)
        truth.where = RUNNING
        if not early:
            del self.truth[m.tag]

    def end(self, data):
        m = data.draw(st.sampled_from(self.those(RUNNING)))
        if self.truth[m.tag].who.partition("/")[0] in self.sessions:
            self.place.tell("ended", m)
        del self.truth[m.tag]

    def acknowledge_as_stock(self, data):
        m = data.draw(st.sampled_from(self.those(STOCK)))
        self.place.acknowledge_as_stock(m)
        del self.truth[m.tag]

    def restore(self, data):
        m, end = data.draw(st.sampled_from(self.those(HELD, STOCK))), data.draw(st.sampled_from(["oldest", "newest"]))
        own, in_the_way = self.owner == m, self.is_in_the_way()
        answer = self.place.restore(m, end)
        if in_the_way and not own and m.retries == 0:
            assert answer == ["superseded", self.owner.id]
            del self.truth[m.tag]
            return
        assert answer == ["restored"]
        self.truth[m.tag] = Truth(WAITING)
        if own or not in_the_way:
            self.owner = m
        else:
            self.a_retry_came_back = True

    # Tools, and time

    def delete_queue(self, data):
        for m in self.place.waiting():
            del self.truth[m.tag]
        self.client.delete(self.place.queue)

    def sweep(self, data):
        self.place.sweep()

    def time_passes(self, data):
        self.place.later(data.draw(st.sampled_from([1, 300, 5000])))

    # What always holds

    @invariant()
    def at_most_one_is_pending(self):
        if hasattr(self, "truth") and not self.a_retry_came_back:
            assert sum(map(self.is_pending, self.truth.values())) <= 1

    @invariant()
    def nothing_is_lost_or_doubled(self):
        if hasattr(self, "truth"):
            waiting = [m.tag for m in self.place.waiting()]
            assert sorted(waiting) == sorted(tag for tag, truth in self.truth.items() if truth.where == WAITING)


@pytest.fixture
def model(redis_client):
    MarkOfOneKey.client = redis_client
    return MarkOfOneKey


def test_the_mark_does_what_the_model_says(model):
    run_state_machine_as_test(model, settings=settings(max_examples=50, stateful_step_count=30, deadline=None))
