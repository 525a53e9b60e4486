"""The cluster of a scenario, event by event: publish, take, reserve, run, acknowledge, die, come back.

The event loop is a heap of (moment, number, act, what). Acts are methods; each costs a microsecond or two, and what a
scenario does not use costs at most a comparison.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import Any

from tidegate.facts.overlap import Scope
from tidegate.facts.simulated import Account
from tidegate.model.simulate.hosts import Host, Pool
from tidegate.model.simulate.lines import Line
from tidegate.model.simulate.loss import restore
from tidegate.model.simulate.messages import Kind, Mark, Message, keep_away
from tidegate.model.simulate.pace import Pace
from tidegate.model.simulate.sources import Source

Act = Callable[[float, Any], None]
#: More children than a run will have: a child's place in its firing is its parent's times this, plus its number.
CHILDREN = 1 << 20


class Cluster:
    """What there is, and what will happen. `now` is how far it got; `unacked` is Redis's hash of that name: by delivery
    tag what was taken and not acknowledged, and when it was taken, the longest held first.
    """

    def __init__(
        self,
        lines: dict[str, Line],
        kinds: dict[str, Kind],
        sources: list[Source],
        hosts: list[Host],
        pools: list[Pool],
    ) -> None:
        self.lines, self.kinds, self.sources, self.hosts, self.pools = lines, kinds, sources, hosts, pools
        self.now = 0.0
        self.unacked: dict[object, tuple[float, Message]] = {}
        self.deferred = 0
        self.visibility_timeout_s = self.restore_every_s = inf
        self._events: list[tuple[float, int, Act, Any]] = []
        self._number = 0

    def start(self, restore_every_s: float) -> None:
        """Hosts rise, sources come due, and workers begin to look for what was not acknowledged."""
        self.restore_every_s = restore_every_s
        for host in self.hosts:
            host.rise(0.0)
            host.block()
        for source in self.sources:
            self._expect(source)
        self.at(restore_every_s, self._sweep, None)

    def at(self, moment: float, act: Act, what: Any) -> None:
        """Something to happen then."""
        self._number += 1
        heappush(self._events, (moment, self._number, act, what))

    def run_until(self, moment: float) -> None:
        """Everything up to that moment."""
        events = self._events
        while events and events[0][0] <= moment:
            now, _, act, what = heappop(events)
            act(now, what)
        self.now = moment

    def account(self) -> Account:
        """Where every message is."""
        kinds, running = self.kinds.values(), [message for host in self.hosts for message in host.running]
        return Account(
            published=sum(kind.published for kind in kinds),
            duplicated=sum(kind.duplicated for kind in kinds),
            done=sum(kind.done for kind in kinds),
            waiting=sum(len(waiting) for line in self.lines.values() for waiting in line.lists),
            unacked=self._held(),
            running=len(running),
            deferred=self.deferred,
            lost=sum(kind.lost for kind in kinds),
            expired=sum(kind.expired for kind in kinds),
        )

    def _held(self) -> int:
        """Reserved on live hosts, or in the hands of dead ones."""
        reserved = sum(len(host.reserved) for host in self.hosts)
        return reserved + sum(message.host is None for _, message in self.unacked.values())

    # Publishing

    def _expect(self, source: Source) -> None:
        moment = next(source.times, None)
        if moment is not None:
            self._number += 1
            heappush(self._events, (moment, self._number, self._fire, source))

    def _fire(self, now: float, source: Source) -> None:
        self._expect(source)
        source.fired += 1
        kind = source.kind
        if source.marks is None and source.count == 1 and kind.marks is None:
            source.published += 1
            self._publish(now, Message(kind, source, now, 0, source.step, now + source.expires_s, ()))
            return
        for place in range(source.count):
            mark = source.marks[place] if source.marks is not None else None
            if mark is not None and not mark.admits(source.overlap, source.scope):
                source.skipped[keep_away(mark, source.overlap, source.payload, now)] += 1
                continue
            marks = () if mark is None else (Mark(of=mark),) if source.scope is Scope.FIRING else (mark,)
            message = self._send(now, kind, source, place, marks, source.step, source.expires_s)
            if message is None:
                continue
            source.published += 1
            if mark is not None:
                mark.pending = message
                mark.alive += source.scope is Scope.FIRING

    def _send(
        self, now: float, kind: Kind, source: Source, place: int, marks: tuple[Mark, ...], step: int, expires_s: float
    ) -> Message | None:
        """Publishes one, unless the policy of its task keeps it away."""
        if kind.marks is None:
            message = Message(kind, source, now, place, step, now + expires_s, marks)
        else:
            mark = kind.marks.setdefault((source.number, place), Mark())
            if not mark.admits(kind.load.overlap, Scope.MESSAGE):
                kind.skipped[keep_away(mark, kind.load.overlap, kind.load.payload, now)] += 1
                return None
            message = Message(kind, source, now, place, step, now + expires_s, (*marks, mark))
            mark.pending = message
        self._publish(now, message)
        return message

    def _publish(self, now: float, message: Message) -> None:
        message.kind.published += 1
        for mark in message.marks:
            mark.waiting += 1
            mark.alive += 1
        self.offer(now, message)

    def offer(self, now: float, message: Message) -> None:
        """To the host that waits longest, else into the queue."""
        line = message.kind.line
        if not line.blocked:
            line.push(now, message)
            return
        host = next(iter(line.blocked))
        host.turn(line)
        self._receive(now, host, message)
        if host.room <= 0:
            host.unblock()
        else:
            host.block_anew()

    # Taking and running

    def poll(self, now: float, host: Host) -> None:
        """It takes what it has room for, and waits for more where there is not enough."""
        while host.room > 0:
            message = host.next(now)
            if message is None:
                host.block()
                return
            self._receive(now, host, message)

    def _receive(self, now: float, host: Host, message: Message) -> None:
        """Celery looks at `expires` here, when the worker gets the message, and not when it starts it."""
        kind = message.kind
        if message.expires_at <= now:
            kind.expired += 1
            self.ended(message, started=False)
        elif host.idle:
            host.idle -= 1
            if kind.late:
                self._hold(now, host, message)
            elif not host.prefetches:
                host.room -= 1
            self._start(now, host, message, host.latency_s)
        else:
            host.reserved.append(message)
            self._hold(now, host, message)

    def _hold(self, now: float, host: Host, message: Message) -> None:
        message.host = host
        host.room -= 1
        if self.unacked.pop(message.tag, None) is None:
            message.kind.line.unacked.up(now)
        self.unacked[message.tag] = (now, message)

    def _acknowledge(self, now: float, host: Host, message: Message) -> None:
        host.room += 1
        if self.unacked.pop(message.tag, None) is not None:
            message.kind.line.unacked.down(now)

    def _start(self, now: float, host: Host, message: Message, latency_s: float = 0.0) -> None:
        """The slot is taken now; the run begins after the latency."""
        kind = message.kind
        begins_at = message.started_at = now + latency_s
        message.host = host
        host.running[message] = None
        busy = host.pool.busy
        busy.value += 1
        busy.moment -= now
        kind.waits.fresh.append(begins_at - message.published_at)
        for mark in message.marks:
            mark.began(message)
        if host.pace is None:
            self._number += 1
            heappush(self._events, (begins_at + kind.draw() + host.turnaround_s, self._number, self._finish, message))
        else:
            self._foretell(host, host.pace, host.pace.begin(now, message, latency_s + kind.draw() + host.turnaround_s))

    def _foretell(self, host: Host, pace: Pace, moment: float) -> None:
        if moment < inf:
            self.at(moment, self._next_ends, (host, pace.version))

    def _next_ends(self, now: float, what: tuple[Host, int]) -> None:
        host, version = what
        if host.pace is not None and host.pace.version == version:
            message, moment = host.pace.end(now)
            self._foretell(host, host.pace, moment)
            self._finish(now, message)

    def _finish(self, now: float, message: Message) -> None:
        host, kind = message.host, message.kind
        if host is None or message not in host.running:
            return  # it died with its host
        del host.running[message]
        busy = host.pool.busy
        busy.value -= 1
        busy.moment += now
        kind.runs.fresh.append(now - host.turnaround_s - message.started_at)
        kind.done += 1
        if message.marks or message.source.freshness is not None or kind.bears:
            self._consequences(now, message)
        if kind.late:
            self._acknowledge(now, host, message)
        elif not host.prefetches:
            host.room += 1
        if host.reserved:
            following = host.reserved.popleft()
            if not following.kind.late:
                self._acknowledge(now, host, following)
            self._start(now, host, following)
        else:
            host.idle += 1
        if not host.blocked and host.room > 0:
            self.poll(now, host)

    def _consequences(self, now: float, message: Message) -> None:
        """A retry in place of a result; else what the run wrote, and what it published."""
        kind, retry = message.kind, message.kind.load.retry
        if retry is not None and message.tries < retry.most and kind.chance() < retry.share:
            self._retry(now, message, retry.delay_s)
            return
        freshness = message.source.freshness
        if freshness is not None and kind.leaf:
            freshness.renew(now, (kind.number, message.place), message.started_at, message.captured_at)
        if kind.children:
            self._bear(now, message)
        self.ended(message, started=True)

    def _bear(self, now: float, parent: Message) -> None:
        """Children go out before the parent is acknowledged; those of a firing in scope carry its mark on."""
        source, number = parent.source, 0
        marks = parent.marks[:1] if source.scope is Scope.FIRING and source.marks is not None else ()
        for kind, surely, chance in parent.kind.children:
            expires_s = inf if kind.load.expires_s is None else kind.load.expires_s
            for _ in range(surely + (chance > 0 and parent.kind.chance() < chance)):
                number += 1
                self._send(now, kind, source, parent.place * CHILDREN + number, marks, kind.step, expires_s)

    def _retry(self, now: float, message: Message, delay_s: float) -> None:
        """The next try is published at once and deferred; its wait begins with its ETA."""
        again = message.again()
        again.tries, again.published_at, again.tag = message.tries + 1, now + delay_s, again
        message.kind.retried += 1
        message.kind.published += 1
        self.deferred += 1
        for mark in message.marks:
            mark.waiting += 1
        self.at(now + delay_s, self._due, again)

    def _due(self, now: float, message: Message) -> None:
        self.deferred -= 1
        self.offer(now, message)

    def ended(self, message: Message, *, started: bool) -> None:
        """It is over: done, lost or expired."""
        for mark in message.marks:
            mark.ended(message, started=started)

    def _sweep(self, now: float, _: None) -> None:
        self.at(now + self.restore_every_s, self._sweep, None)
        restore(self, now)
