"""Watching every queue for a window: one pipeline a poll, all queues together, nothing written."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.broker.client import Broker, Command, Refusal
from tidegate.broker.envelope import open_label
from tidegate.broker.reads import refused
from tidegate.facts.message import Label, Undecodable
from tidegate.facts.seen import FlowSeen, Step
from tidegate.facts.unknown import Unknown
from tidegate.observe.meter import ListMeter, Reading

#: Labels kept of what arrived and of what left: enough for shares to a point or two, bounded in memory.
_MOST_LABELS = 4000
#: How far LPOS may search for a remembered element: 3 ms of server time at worst.
_MOST_SEARCHED = 20_000
#: What all reads of one window may transfer; past it only depths are read.
_MOST_BYTES = 256 << 20
_COMMANDS_A_POLL = 200


@dataclass(slots=True)
class _QueueFlow:
    """One queue: a meter for each of its lists, and what they saw."""

    meters: Mapping[str, ListMeter]
    steps: list[Step] = field(default_factory=list)
    arrived: list[Label | Undecodable] = field(default_factory=list)
    departed: list[Label | Undecodable] = field(default_factory=list)
    arrivals: int = 0
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

    def poll(self, at_s: float) -> None:
        """Reads all lists once, a second time where a remembered element was not among those read."""
        keys = [key for flow in self._flows.values() if flow.problem is None for key in flow.meters]
        readings = self._read(at_s, keys, {})
        lost = dict(self._lost(readings))
        readings.update(self._read(at_s, list(lost), lost))
        for flow in self._flows.values():
            self._feed(flow, readings)

    @property
    def depth(self) -> int:
        """Messages waiting in all queues at the last poll."""
        return sum(flow.steps[-1].depth for flow in self._flows.values() if flow.steps)

    def flows(self) -> dict[str, FlowSeen]:
        """What every queue did since the first poll."""
        return {
            name: FlowSeen(
                steps=tuple(flow.steps),
                arrived=tuple(flow.arrived),
                departed=tuple(flow.departed),
                arrivals_sampled_from=flow.arrivals,
                problem=flow.problem,
            )
            for name, flow in self._flows.items()
        }

    def _meter(self, key: str) -> ListMeter:
        return self._owner[key].meters[key]

    def _lost(self, readings: Mapping[str, Reading]) -> Iterable[tuple[str, bytes]]:
        for key, reading in readings.items():
            meter = self._meter(key)
            marker = meter.marker()
            if marker is not None and meter.misses(reading):
                yield key, marker

    def _read(self, at_s: float, keys: Sequence[str], markers: Mapping[str, bytes]) -> dict[str, Reading]:
        commands: list[Command] = []
        for key in keys:
            commands += self._commands(key, markers.get(key))
        if not markers:
            commands.append(("HLEN", self._broker.layout.unacked_key()))
        answers = iter(self._broker.ask(*commands) if keys else [])
        readings = {key: self._reading(key, at_s, answers, markers.get(key)) for key in keys}
        if keys and not markers:
            self._note_unacked(at_s, next(answers))
        return {key: reading for key, reading in readings.items() if reading is not None}

    def _commands(self, key: str, marker: bytes | None) -> list[Command]:
        count = self._meter(key).wants()
        ends: list[Command] = [("LRANGE", key, 0, count - 1), ("LRANGE", key, -count, -1)]
        if not self._reads_ends(key):
            return [("LLEN", key)]
        search: list[Command] = [("LPOS", key, marker, "MAXLEN", _MOST_SEARCHED)] if marker is not None else []
        return [("LLEN", key), *ends, *search]

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

    def _note_unacked(self, at_s: float, answer: object) -> None:
        if isinstance(answer, int):
            self.unacked.append((at_s, answer))

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
            flow.arrivals += flow.steps[-1].arrivals
            for meter, _ in steps:
                _keep(flow.arrived, meter.arrived)
                _keep(flow.departed, meter.departed)


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


def _keep(labels: list[Label | Undecodable], elements: Sequence[bytes]) -> None:
    room = _MOST_LABELS - len(labels)
    # Oldest first, so that what fired stands before what it spawned.
    labels.extend(open_label(element) for element in reversed(elements[:room]))
