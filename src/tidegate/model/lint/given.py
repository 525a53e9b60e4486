"""Run times that somebody gives, as if a probe had measured them: so that one planner judges both."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tidegate.facts.lint import GivenPool, RunTime
from tidegate.facts.measured import TICKS, Busy, Key, Measured, Runs, Slice, Tick, WorkerSeen
from tidegate.facts.seen import EntrySeen
from tidegate.facts.sketch import Sketch
from tidegate.facts.unknown import Maybe, known

#: Firings of each entry: so many that a fraction of a child is whole runs, and that no mean seems to rest on few.
_FIRINGS = 12_000
#: Ten days: rates of a message an hour are still many messages.
_LENGTH_S = 864_000
#: A task that publishes itself for ever is cut off here; the planner names it.
_MOST_GENERATIONS = 50
_MOST_RUNS = 10**12

Places = Mapping[str, Maybe[tuple[str, ...]]]


def given_measured(
    times: Mapping[str, RunTime], pools: Sequence[GivenPool], entries: Iterable[EntrySeen], queues: Places
) -> Measured:
    """The measurements that a probe would have made of tasks that take exactly these times, on workers like these.

    `queues` says where messages go that no entry sends. An entry is left out where something that it brings goes to a
    queue without workers, or to one that is not known while not all workers consume the same. Costs one step an entry
    and generation of its children.
    """
    served = frozenset(queue for pool in pools for queue in pool.queues)
    # Of workers that all consume the same any queue will do.
    anywhere = pools[0].queues[0] if len({pool.queues for pool in pools}) == 1 and served else None
    trees = _Trees(times, {task: _place(queues.get(task), anywhere) for task in times}, served)
    for entry in entries:
        trees.fire(entry, _place(entry.queues, anywhere))
    for task, time in times.items():
        trees.send(task, round(time.per_s * _LENGTH_S))
    slice_ = Slice(start_s=0, length_s=_LENGTH_S, runs=trees.runs)
    return Measured(at_s=float(_LENGTH_S), slices=(slice_,), workers=given_workers(pools), bytes=0)


def _place(queues: Maybe[tuple[str, ...]] | None, anywhere: str | None) -> str | None:
    return queues[0] if queues is not None and known(queues) and queues else anywhere


@dataclass(slots=True)
class _Trees:
    """What was counted so far; `places` are the queues of tasks, None where one is not known; `served` have workers."""

    times: Mapping[str, RunTime]
    places: Mapping[str, str | None]
    served: frozenset[str]
    runs: dict[Key, Runs] = field(default_factory=dict)

    def fire(self, entry: EntrySeen, place: str | None) -> None:
        """Counts the firings of an entry, and all that they bring."""
        if place in self.served and entry.task in self.times and self._placed(entry.task):
            self._begin(Key(entry.task, place or "", entry.name), _FIRINGS)

    def send(self, task: str, number: int) -> None:
        """Counts so many messages that come of no entry, and all that they bring."""
        place = self.places[task]
        if number and place in self.served and self._placed(task):
            self._begin(Key(task, place or "", ""), number)

    def _placed(self, task: str) -> bool:
        """True where all that comes of the task goes to queues with workers."""
        found, waiting = {task}, [task]
        while waiting:
            children = self.times[waiting.pop()].children
            if any(self.places[child] not in self.served for child in children):
                return False
            waiting += [child for child in children if child not in found]
            found.update(children)
        return True

    def _begin(self, key: Key, number: int) -> None:
        self._of(key).firings += number
        born = {key: number}
        for _ in range(_MOST_GENERATIONS):
            born = self._generation(born)
            if not born or sum(born.values()) > _MOST_RUNS:
                return

    def _generation(self, born: Mapping[Key, int]) -> dict[Key, int]:
        children: dict[Key, int] = defaultdict(int)
        for key, number in born.items():
            time, runs = self.times[key.task], self._of(key)
            _run(runs, number, time.run_s)
            for task, each in time.children.items():
                published = round(number * each)
                runs.children[task] += published
                children[Key(task, self.places[task] or "", key.entry)] += published
        return {key: number for key, number in children.items() if number}

    def _of(self, key: Key) -> Runs:
        return self.runs.setdefault(key, Runs())


def _run(into: Runs, number: int, run_s: float) -> None:
    """Adds so many runs of the same length, spread evenly over the time."""
    one, many = Sketch.of([run_s]), Sketch()
    ns = one.total_ns
    many.buckets = dict.fromkeys(one.buckets, number)
    many.zeros = one.zeros * number
    many.total_ns, many.low_ns, many.high_ns = ns * number, ns, ns
    into.run.merge(many)
    into.outcomes["success"] += number
    met = into.busy.get(1, Busy(0, 0, 0))
    into.busy[1] = Busy(met.runs + number, met.run_ns + ns * number, 0)
    for tick in range(TICKS):
        part = number * (tick + 1) // TICKS - number * tick // TICKS
        before = into.ticks.get(tick, Tick(0, 0, 0))
        into.ticks[tick] = Tick(before.runs + part, before.run_ns + ns * part, before.firings)


def given_workers(pools: Sequence[GivenPool]) -> tuple[WorkerSeen, ...]:
    """Workers as their probes would describe them, one of each pool on each of its hosts."""
    return tuple(_workers(pools))


def _workers(pools: Sequence[GivenPool]) -> Iterable[WorkerSeen]:
    for number, pool in enumerate(pools, 1):
        for host in pool.hosts:
            yield WorkerSeen(
                node=f"pool{number}@{host}",
                machine=host,
                at_s=float(_LENGTH_S),
                started_at_s=0.0,
                pool="prefork",
                slots=pool.slots,
                queues=pool.queues,
                cores=float(pool.slots),
            )
