"""Watching every queue for a window: one pipeline a poll, all queues together, nothing written."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tidegate.broker.client import Broker, Command, Refusal
from tidegate.broker.envelope import open_label
from tidegate.broker.reads import refused
from tidegate.facts.seen import FlowSeen, Sighting, Step
from tidegate.facts.unknown import Maybe, Unknown
from tidegate.observe.attribution import attribute
from tidegate.observe.meter import ListMeter, Reading

#: Labels kept of what arrived and of what left: enough for shares to a point or two, bounded in memory.
_MOST_LABELS = 4000
#: How far LPOS may search for a remembered element: 3 ms of server time at worst.
_MOST_SEARCHED = 20_000
#: What all reads of one window may transfer; past it only depths are read.
_MOST_BYTES = 256 << 20
_COMMANDS_A_POLL = 200
_PUSHES = re.compile(rb"cmdstat_lpush:calls=(\d+)")


@dataclass(slots=True)
class _QueueFlow:
    """One queue: a meter for each of its lists, and what they saw."""

    meters: Mapping[str, ListMeter]
    steps: list[Step] = field(default_factory=list)
    arrived: list[Sighting] = field(default_factory=list)
    departed: list[Sighting] = field(default_factory=list)
    problem: Unknown | None = None


class FlowMeter:
    """Follows many queues at once; call `poll` as often as `interval_s` says, then `flows`.

    `queues` maps names to their lists. Of a `heavy` queue, whose messages are too large to be read again and again,
    only the depth is followed. A poll costs three commands a list, some 20 µs where it holds messages.
    """

    def __init__(self, broker: Broker, queues: Mapping[str, Sequence[str]], heavy: Iterable[str] = ()) -> None:
        self._broker = broker
        self._flows = {name: _QueueFlow({key: ListMeter() for key in keys}) for name, keys in queues.items()}
        self._owner = {key: flow for flow in self._flows.values() for key in flow.meters}
        self._depths_only = {key for name in heavy for key in queues.get(name, ())}
        self._read_bytes = 0
        lists = sum(len(keys) for keys in queues.values())
        #: Seconds between polls: a tenth, more where there are very many lists.
        self.interval_s = 0.1 * max(1.0, lists / _COMMANDS_A_POLL)
        self.unacked: list[tuple[float, int]] = []
        self._pushes: list[tuple[float, int]] = []

    def poll(self, at_s: float) -> None:
        """Reads all lists once, a second time where a remembered element was not among those read."""
        keys = [key for flow in self._flows.values() if flow.problem is None for key in flow.meters]
        readings = self._read(at_s, keys, {})
        lost = self._lost(readings)
        readings.update(self._read(at_s, list(lost), lost))
        for flow in self._flows.values():
            self._feed(flow, readings)

    @property
    def depth(self) -> int:
        """Messages waiting in all queues at the last poll."""
        return sum(flow.steps[-1].depth for flow in self._flows.values() if flow.steps)

    @property
    def pushes_per_s(self) -> Maybe[float]:
        """Pushes to lists of the whole server over the window, in its own count; unknown where INFO is refused."""
        if len(self._pushes) < 2:
            return Unknown("INFO could not be read")
        (since_s, first), (until_s, last) = self._pushes[0], self._pushes[-1]
        return (last - first) / max(until_s - since_s, 1e-9)

    def flows(self) -> dict[str, FlowSeen]:
        """What every queue did since the first poll."""
        steps = {name: flow.steps for name, flow in self._flows.items() if flow.problem is None}
        filled = attribute(steps, [after - before for (_, before), (_, after) in pairwise(self._pushes)])
        return {name: _seen(flow, filled.get(name, [])) for name, flow in self._flows.items()}

    def _meter(self, key: str) -> ListMeter:
        return self._owner[key].meters[key]

    def _lost(self, readings: Mapping[str, Reading]) -> dict[str, bytes | None]:
        """Lists of which more came than was read, with the element to search for, None where the list was empty before."""
        markers = {key: self._meter(key).marker() for key in readings}
        return {
            key: markers[key]
            for key, reading in readings.items()
            if self._reads_ends(key) and reading.depth > len(reading.head) and markers[key] not in reading.head
        }

    def _read(self, at_s: float, keys: Sequence[str], markers: Mapping[str, bytes | None]) -> dict[str, Reading]:
        commands: list[Command] = []
        for key in keys:
            commands += self._commands(key, self._meter(key).most() if markers else self._meter(key).wants())
            if markers.get(key) is not None:
                commands.append(("LPOS", key, markers[key] or b"", "MAXLEN", _MOST_SEARCHED))
        if not markers:
            commands += [("HLEN", self._broker.layout.unacked_key()), ("INFO", "commandstats")]
        answers = iter(self._broker.ask(*commands) if keys else [])
        readings = {key: self._reading(key, at_s, answers, markers.get(key)) for key in keys}
        if keys and not markers:
            self._note_server(at_s, next(answers), next(answers))
        return {key: reading for key, reading in readings.items() if reading is not None}

    def _commands(self, key: str, count: int) -> list[Command]:
        if not self._reads_ends(key):
            return [("LLEN", key)]
        return [("LLEN", key), ("LRANGE", key, 0, count - 1), ("LRANGE", key, -count, -1)]

    def _reads_ends(self, key: str) -> bool:
        return key not in self._depths_only and self._read_bytes < _MOST_BYTES

    def _reading(self, key: str, at_s: float, answers: Iterable[object], marker: bytes | None) -> Reading | None:
        taken = iter(answers)
        depth = next(taken)
        head, tail = (next(taken), next(taken)) if self._reads_ends(key) else ([], [])
        found = next(taken) if marker is not None else None
        if isinstance(depth, Refusal) or isinstance(head, Refusal):
            self._give_up(key, depth if isinstance(depth, Refusal) else head)  # type: ignore[arg-type]
            return None
        assert isinstance(head, list)
        assert isinstance(tail, list)
        return Reading(at_s, int(depth), head, tail, found if isinstance(found, int) else None)  # type: ignore[call-overload]

    def _give_up(self, key: str, refusal: Refusal) -> None:
        flow = self._owner[key]
        no_list = Unknown("the key is no list")
        flow.problem = no_list if "WRONGTYPE" in refusal.why else refused(self._broker, "LRANGE", refusal)

    def _note_server(self, at_s: float, unacked: object, statistics: object) -> None:
        if isinstance(unacked, int):
            self.unacked.append((at_s, unacked))
        if isinstance(statistics, bytes):
            found = _PUSHES.search(statistics)
            self._pushes.append((at_s, int(found[1]) if found else 0))

    def _feed(self, flow: _QueueFlow, readings: Mapping[str, Reading]) -> None:
        steps = []
        for key, meter in flow.meters.items():
            if key in readings:
                step = meter.feed(readings[key])
                self._read_bytes += sum(map(len, readings[key].head)) + sum(map(len, readings[key].tail))
                if step is not None:
                    steps.append((meter, step))
        if steps:
            flow.steps.append(_together(steps))
            for meter, _ in steps:
                _keep(flow.arrived, meter.arrived, flow.steps[-1].until_s)
                _keep(flow.departed, meter.departed, flow.steps[-1].until_s)


def _seen(flow: _QueueFlow, steps: Sequence[Step]) -> FlowSeen:
    return FlowSeen(
        steps=tuple(steps),
        arrived=tuple(flow.arrived),
        departed=tuple(flow.departed),
        arrivals_sampled_from=max(len(flow.arrived), sum(step.arrivals for step in steps)),
        departures_sampled_from=max(len(flow.departed), sum(step.departures for step in steps)),
        problem=flow.problem,
    )


def _together(steps: Sequence[tuple[ListMeter, Step]]) -> Step:
    """One step of the queue from those of its lists; a list that never held anything does not make it inexact."""
    used = [step for meter, step in steps if meter.ever_held]
    first = steps[0][1]
    return Step(
        since_s=first.since_s,
        until_s=first.until_s,
        depth=sum(step.depth for _, step in steps),
        arrivals=sum(step.arrivals for step in used),
        departures=sum(step.departures for step in used),
        restores=sum(step.restores for step in used),
        exact=bool(used) and all(step.exact for step in used),
    )


def _keep(sightings: list[Sighting], elements: Sequence[bytes], at_s: float) -> None:
    room = _MOST_LABELS - len(sightings)
    # Oldest first, so that what fired stands before what it spawned.
    sightings.extend(Sighting(at_s, open_label(element)) for element in reversed(elements[:room]))
