"""A scenario as a fluid, from beginning to end: the same answer as event by event, without errors and quantiles."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tidegate.facts.diagnosis import State
from tidegate.facts.scenario import Scenario
from tidegate.facts.simulated import (
    Account,
    EntrySimulated,
    Mean,
    PoolSimulated,
    QueueSimulated,
    Simulated,
    Spread,
    TaskSimulated,
)
from tidegate.facts.unknown import Unknown
from tidegate.model.simulate.confidence import NOTHING
from tidegate.model.simulate.fluid.nodes import Node, Tree
from tidegate.model.simulate.fluid.stream import STEPS, Stream, stream_of
from tidegate.model.simulate.fluid.watching import AgeWatch, QueueWatch, Watched, chance_s, passed
from tidegate.model.simulate.growing import LEAST_RISE, drain_s_of, sentence_of
from tidegate.model.simulate.outcome import headline, memory_of, thinned, worst_of

NO_SCATTER = Unknown("the fluid mode follows means: simulate event by event for errors and quantiles")


#: A rise by less than this share of all messages is no growth.
_SEEN = 0.001


@dataclass(slots=True)
class _Seen:
    """Everything that was watched, and the ends of the steps."""

    queues: dict[str, QueueWatch]
    entries: list[AgeWatch]
    pools: list[Watched]
    at_s: list[float]


def flow(scenario: Scenario, version: str) -> Simulated:
    """The whole answer. Costs some 600 steps, each a few microseconds a task and queue."""
    stream = stream_of(scenario)
    seen = _Seen({queue: QueueWatch() for queue in stream.queues}, [AgeWatch() for _ in scenario.entries], [], [])
    seen.pools = [Watched() for _ in stream.pools]
    events = sorted(scenario.events, key=lambda event: event.at_s)
    for event in [event for event in events if event.at_s <= 0]:
        stream.happens(event)
    for until_s in moments(scenario):
        before_s = stream.now
        stream.step(until_s)
        _watch(stream, seen, before_s, scenario.run.warmup_s)
        for event in [event for event in events if before_s < event.at_s <= until_s]:
            stream.happens(event)
    return _answer(scenario, stream, seen, version)


def moments(scenario: Scenario) -> Iterator[float]:
    """The ends of all steps: equal ones, with the end of the warm-up and what happens to hosts among them."""
    run = scenario.run
    ends = {run.duration_s * number / STEPS for number in range(1, STEPS)} | {run.duration_s, run.warmup_s}
    ends |= {event.at_s for event in scenario.events if event.at_s < run.duration_s}
    yield from sorted(end for end in ends if end > 0)


def _watch(stream: Stream, seen: _Seen, before_s: float, warmup_s: float) -> None:
    step_s = stream.now - before_s
    length_s = step_s if before_s >= warmup_s else 0.0
    seen.at_s.append(stream.now)
    # Queues with the same pools wait alike.
    went = {queue: passed(stream, queue) for queue in stream.queues}
    by_chance: dict[tuple[int, ...], float] = {}
    for queue, watch in seen.queues.items():
        pools = stream.served_by[queue]
        alike = tuple(map(id, pools))
        if alike not in by_chance:
            by_chance[alike] = chance_s(stream, pools, went)
        watch.note(stream, queue, length_s, step_s, by_chance[alike])
    for tree, age in zip(stream.trees, seen.entries, strict=False):
        age.note(stream, seen.queues, tree, length_s, step_s)
    for pool, over in zip(stream.pools, seen.pools, strict=True):
        over.add(length_s, busy=pool.busy(), living=pool.slots)


def _answer(scenario: Scenario, stream: Stream, seen: _Seen, version: str) -> Simulated:
    places = thinned(len(seen.at_s))
    queues = tuple(_queue(scenario, stream, seen, name, places) for name in stream.queues)
    memory = memory_of(scenario, queues)
    return Simulated(
        tidegate=version,
        mode="fluid",
        verdict=worst_of(queues),
        sentence=headline(queues, memory),
        seed=scenario.run.seed,
        runs=1,
        duration_s=scenario.run.duration_s,
        warmup_s=scenario.run.warmup_s,
        simulated_s=stream.now,
        complete=True,
        messages=account_of(stream),
        queues=queues,
        tasks=tuple(_task(scenario, stream, seen, task.name) for task in scenario.tasks),
        entries=tuple(_entry(tree, age) for tree, age in zip(stream.trees, seen.entries, strict=False)),
        pools=tuple(_pool(stream, seen, number) for number in range(len(stream.pools))),
        memory=memory,
        notes=scenario.notes,
        at_s=tuple(seen.at_s[place] for place in places),
    )


def _mean(value: float | None) -> Mean:
    return Mean(mean=NOTHING, error=NOTHING) if value is None else Mean(mean=value, error=NO_SCATTER)


def _queue(scenario: Scenario, stream: Stream, seen: _Seen, name: str, places: Sequence[int]) -> QueueSimulated:
    watch = seen.queues[name]
    measured = [place for place, at in enumerate(seen.at_s) if at >= scenario.run.warmup_s]
    first = measured[len(measured) // 2]
    half_s = seen.at_s[-1] - seen.at_s[first]
    rise = watch.depths[-1] - watch.depths[first]
    growth, end_depth = _mean(rise / half_s if half_s > 0 else None), round(watch.depths[-1])
    consumed = any(pool.slots for pool in stream.served_by[name])
    state = _state(watch, first, end_depth, consumed=consumed)
    depth, wait = _mean(watch.over.mean("depth")), _spread(watch.by_message.mean("wait"))
    return QueueSimulated(
        name=name,
        state=state,
        sentence=sentence_of(name, state, growth, end_depth, depth, wait, consumed=consumed),
        growth_per_s=growth,
        depth=depth,
        most_depth=round(max(watch.depths)),
        end_depth=end_depth,
        unacked=_mean(watch.over.mean("held")),
        bytes=watch.over.mean("bytes") or 0.0,
        end_bytes=round(watch.end_bytes),
        drain_s=drain_s_of(state, growth, end_depth),
        depth_at=tuple(watch.depths[place] for place in places),
    )


def _state(watch: QueueWatch, first: int, end_depth: int, *, consumed: bool) -> State:
    """Grows or drains where the second half of the measured time rises or falls, in its last quarter too."""
    if not consumed:
        return State.STALLED if end_depth else State.OK
    last = (first + len(watch.depths)) // 2
    rises = (watch.depths[-1] - watch.depths[first], watch.depths[-1] - watch.depths[min(last, len(watch.depths) - 1)])
    usual = LEAST_RISE + 0.05 * max(watch.depths) + _SEEN * watch.by_message.length_s
    if rises[0] >= usual and rises[1] > 0:
        return State.GROWING
    return State.DRAINING if -rises[0] >= usual and rises[1] < 0 and end_depth else State.OK


def _spread(mean: float | None) -> Spread:
    value = NOTHING if mean is None else mean
    return Spread(mean=value, error=NO_SCATTER, p50_s=NO_SCATTER, p95_s=NO_SCATTER, p99_s=NO_SCATTER, most_s=NO_SCATTER)


def _task(scenario: Scenario, stream: Stream, seen: _Seen, name: str) -> TaskSimulated:
    nodes = [node for node in stream.nodes if node.task.name == name]
    [task] = [task for task in scenario.tasks if task.name == name]
    started = sum(node.started for node in nodes)
    longer = seen.queues[task.queue].by_message.mean("longer")
    run_s = nodes[0].run_s * longer if started and longer is not None else None
    return TaskSimulated(
        name=name,
        queue=task.queue,
        published=_sum(nodes, lambda node: node.published),
        duplicated=0,
        done=_sum(nodes, lambda node: node.started - node.lost),
        done_per_s=_mean(started / stream.now),
        wait=_spread(seen.queues[task.queue].by_message.mean("wait") if started else None),
        run=_spread(run_s),
        retried=_sum(nodes, lambda node: node.retried),
        lost=_sum(nodes, lambda node: node.lost),
        expired=_sum(nodes, lambda node: node.expired),
    )


def _sum(nodes: Sequence[Node], counted: Callable[[Node], float]) -> int:
    return round(sum(map(counted, nodes)))


def _entry(tree: Tree, age: AgeWatch) -> EntrySimulated:
    spec = tree.spec
    skipped = {spec.overlap.value: round(tree.skipped)} if round(tree.skipped) and hasattr(spec, "overlap") else {}
    return EntrySimulated(
        name=spec.name,
        task=spec.task,
        fired=round(tree.fired),
        published=round(tree.fired - tree.skipped),
        skipped=skipped,
        age_read_at_run_s=_mean(age.over.mean("at_run")),
        age_read_at_publish_s=_mean(age.over.mean("at_publish")),
        most_age_s=age.most_s if age.ever else NOTHING,
    )


def _pool(stream: Stream, seen: _Seen, number: int) -> PoolSimulated:
    pool, over = stream.pools[number], seen.pools[number]
    living = over.mean("living")
    busy = over.mean("busy")
    hosts = sum(group.spec.count for group in pool.groups)
    slots = sum(group.spec.count * group.spec.slots for group in pool.groups)
    share = busy / living if living and busy is not None else None
    return PoolSimulated(queues=pool.queues, hosts=hosts, slots=slots, busy_share=_mean(share))


def account_of(stream: Stream) -> Account:
    """Where everything is, rounded to whole messages; what is done makes up for the rounding."""
    nodes = stream.nodes
    held = sum(amount for _, _, _, amount, retry in stream.later if not retry)
    deferred = sum(amount for _, _, _, amount, retry in stream.later if retry)
    published = _sum(nodes, lambda node: node.published)
    waiting, unacked = _sum(nodes, lambda node: node.waiting), round(held)
    lost, expired = _sum(nodes, lambda node: node.lost), _sum(nodes, lambda node: node.expired)
    running = round(sum(pool.busy() for pool in stream.pools))
    rest = waiting + unacked + running + round(deferred) + lost + expired
    return Account(
        published=published, duplicated=0, done=published - rest, waiting=waiting, unacked=unacked, running=running,
        deferred=round(deferred), lost=lost, expired=expired,
    )  # fmt: skip
