"""From one or several plays of a scenario to the answer: means with errors, quantiles, states, sentences."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

from tidegate.facts.diagnosis import BADNESS, State
from tidegate.facts.scenario import Scenario
from tidegate.facts.simulated import (
    Account,
    EntrySimulated,
    MemorySimulated,
    PoolSimulated,
    QueueSimulated,
    Simulated,
    Spread,
    TaskSimulated,
)
from tidegate.facts.sketch import NS, Sketch
from tidegate.facts.unknown import known
from tidegate.model.simulate.arriving import becomes
from tidegate.model.simulate.confidence import NOTHING, mean_of
from tidegate.model.simulate.growing import drain_s_of, growth_of, sentence_of, state_of
from tidegate.model.simulate.messages import Kind
from tidegate.model.simulate.playing import MOST_WAITING, Play
from tidegate.model.simulate.sources import Source
from tidegate.model.simulate.tally import Batches, Durations
from tidegate.units import count, duration

#: Depths over time come thinned out to so many points.
_MOST_POINTS = 400


def outcome(scenario: Scenario, plays: Sequence[Play], version: str) -> Simulated:
    """The whole answer; `plays` holds at least one."""
    shortest = min(plays, key=lambda played: played.until_s)
    places = thinned(len(shortest.at_s))
    each = becomes(scenario)
    queues = tuple(_queue(scenario, plays, name, places, each) for name in plays[0].cluster.lines)
    memory = memory_of(scenario, queues)
    verdict = worst_of(queues)
    return Simulated(
        tidegate=version,
        mode="events",
        verdict=verdict,
        sentence=headline(queues, memory),
        seed=scenario.run.seed,
        runs=len(plays),
        duration_s=scenario.run.duration_s,
        warmup_s=scenario.run.warmup_s,
        simulated_s=shortest.until_s,
        complete=shortest.until_s >= scenario.run.duration_s and len(plays) == scenario.run.runs,
        messages=_together([played.account for played in plays]),
        queues=queues,
        tasks=tuple(_task(plays, name) for name in plays[0].cluster.kinds),
        entries=tuple(_entry(plays, number) for number in range(len(scenario.entries))),
        pools=tuple(_pool(plays, number) for number in range(len(plays[0].cluster.pools))),
        memory=memory,
        notes=(*scenario.notes, *_notes(plays)),
        at_s=tuple(shortest.at_s[place] for place in places),
    )


def thinned(points: int) -> list[int]:
    """The places of so many points that a chart can show, the last one among them."""
    step = max(1, -(-points // _MOST_POINTS))
    return list(range((points - 1) % step, points, step)) if points else []


def _queue(
    scenario: Scenario, plays: Sequence[Play], name: str, places: Sequence[int], each: Mapping[str, Mapping[str, float]]
) -> QueueSimulated:
    """`each` is how many messages by queue one waiting message of every task becomes."""
    lines = [played.cluster.lines[name] for played in plays]
    at_s = min((played.at_s for played in plays), key=len)
    first = max(0, sum(at <= scenario.run.warmup_s for at in at_s) - 1)
    measured = slice(first, len(at_s))
    growth = growth_of(
        [line.points[measured] for line in lines],
        [_debt(played, name, each)[measured] for played in plays],
        at_s[measured],
    )
    end_depth = round(sum(line.depth.value for line in lines) / len(lines))
    depth = mean_of([line.depth.batches for line in lines])
    kinds = [kind for played in plays for kind in played.cluster.kinds.values() if kind.line.name == name]
    consumed = any(host.alive for host in plays[0].cluster.hosts if name in host.group.queues)
    arrival_per_s = sum(kind.published for kind in kinds) / len(plays) / max(at_s[-1], 1e-9)
    half_s = at_s[-1] - at_s[first + (len(at_s) - first) // 2]
    state = state_of(growth, half_s, end_depth, depth, arrival_per_s, consumed=consumed)
    wait = _spread([kind.waits for kind in kinds], len(plays))
    weights = [weight for line in lines for weight in line.weights[first + 1 :]]
    return QueueSimulated(
        name=name,
        state=state,
        sentence=sentence_of(name, state, growth, end_depth, depth, wait, consumed=consumed),
        growth_per_s=growth,
        depth=depth,
        most_depth=max(line.most for line in lines),
        end_depth=end_depth,
        unacked=mean_of([line.unacked.batches for line in lines]),
        bytes=sum(weights) / len(weights) if weights else 0.0,
        end_bytes=round(sum(line.bytes for line in lines) / len(lines)),
        drain_s=drain_s_of(state, growth, end_depth),
        depth_at=tuple(sum(line.points[place] for line in lines) / len(lines) for place in places),
    )


def _debt(played: Play, queue: str, each: Mapping[str, Mapping[str, float]]) -> list[float]:
    """What the messages that waited at the end of every batch will have become in the queue."""
    kinds = [(played.cluster.kinds[name].pending, queues[queue]) for name, queues in each.items() if queue in queues]
    return [sum(pending[place] * number for pending, number in kinds) for place in range(len(played.at_s))]


def _task(plays: Sequence[Play], name: str) -> TaskSimulated:
    kinds = [played.cluster.kinds[name] for played in plays]
    skipped: Counter[str] = Counter()
    for kind in kinds:
        skipped.update(kind.skipped)
    return TaskSimulated(
        name=name,
        queue=kinds[0].line.name,
        published=_sum(kinds, lambda kind: kind.published),
        duplicated=_sum(kinds, lambda kind: kind.duplicated),
        done=_sum(kinds, lambda kind: kind.done),
        done_per_s=mean_of([kind.throughput for kind in kinds]),
        wait=_spread([kind.waits for kind in kinds], len(plays)),
        run=_spread([kind.runs for kind in kinds], len(plays)),
        retried=_sum(kinds, lambda kind: kind.retried),
        lost=_sum(kinds, lambda kind: kind.lost),
        expired=_sum(kinds, lambda kind: kind.expired),
        skipped=dict(skipped),
    )


def _sum(kinds: Sequence[Kind], counted: Callable[[Kind], int]) -> int:
    return sum(map(counted, kinds))


def _entry(plays: Sequence[Play], number: int) -> EntrySimulated:
    sources: list[Source] = [played.cluster.sources[number] for played in plays]
    skipped: Counter[str] = Counter()
    for source in sources:
        skipped.update(source.skipped)
    ages = [source.freshness for source in sources if source.freshness is not None]
    most_s = max((age.read_at_publish.most_s for age in ages), default=0.0)
    return EntrySimulated(
        name=sources[0].spec.name,
        task=sources[0].spec.task,
        fired=sum(source.fired for source in sources),
        published=sum(source.published for source in sources),
        skipped=dict(skipped),
        age_read_at_run_s=mean_of([age.read_at_run.batches for age in ages]),
        age_read_at_publish_s=mean_of([age.read_at_publish.batches for age in ages]),
        most_age_s=most_s or NOTHING,
    )


def _pool(plays: Sequence[Play], number: int) -> PoolSimulated:
    pools = [played.cluster.pools[number] for played in plays]
    return PoolSimulated(
        queues=pools[0].queues,
        hosts=len(pools[0].hosts),
        slots=sum(host.group.slots for host in pools[0].hosts),
        busy_share=mean_of([pool.share for pool in pools]),
    )


def _spread(durations: Sequence[Durations], runs: int) -> Spread:
    """Of all durations together; those of one run stand together in the sequence."""
    each = len(durations) // runs
    parts = [durations[place * each : (place + 1) * each] for place in range(runs)] if each else []
    mean = mean_of([_added([one.batches for one in part]) for part in parts])
    whole = Sketch()
    for one in durations:
        whole.merge(one.sketch)
    if not whole.count:
        return Spread(mean=NOTHING, error=NOTHING, p50_s=NOTHING, p95_s=NOTHING, p99_s=NOTHING, most_s=NOTHING)
    p50_s, p95_s, p99_s = (whole.quantile(share) for share in (0.5, 0.95, 0.99))
    return Spread(mean=mean.mean, error=mean.error, p50_s=p50_s, p95_s=p95_s, p99_s=p99_s, most_s=whole.high_ns / NS)


def _added(parts: Sequence[Batches]) -> Batches:
    """Batches of several tasks, together: they end at the same moments."""
    sums = [sum(values) for values in zip(*(part.sums for part in parts), strict=True)]
    return Batches(sums, [sum(values) for values in zip(*(part.weights for part in parts), strict=True)])


def _together(accounts: Sequence[Account]) -> Account:
    return Account(**{item.name: sum(getattr(one, item.name) for one in accounts) for item in fields(Account)})


def memory_of(scenario: Scenario, queues: Sequence[QueueSimulated]) -> MemorySimulated:
    """What the queues do to the broker's memory, if their growth goes on."""
    limit, used = scenario.broker.memory_limit_bytes or None, scenario.broker.memory_used_bytes
    growth = sum(_growth_bytes(queue) for queue in queues)
    end_bytes = used + sum(queue.end_bytes for queue in queues)
    full_in_s = max(0.0, limit - end_bytes) / growth if limit and growth > 0 else None
    return MemorySimulated(
        limit_bytes=limit, used_bytes=used, end_bytes=end_bytes, growth_bytes_per_s=growth, full_in_s=full_in_s
    )


def _growth_bytes(queue: QueueSimulated) -> float:
    if queue.state not in (State.GROWING, State.STALLED) or not known(queue.growth_per_s.mean) or not queue.end_depth:
        return 0.0
    return max(0.0, queue.growth_per_s.mean) * queue.end_bytes / queue.end_depth


def worst_of(queues: Sequence[QueueSimulated]) -> State:
    """The worst state of all queues."""
    return max((queue.state for queue in queues), key=BADNESS.__getitem__)


def headline(queues: Sequence[QueueSimulated], memory: MemorySimulated) -> str:
    """The worst queues in a sentence, and when the memory is full."""
    worst = worst_of(queues)
    said = [queue.sentence for queue in queues if queue.state is worst]
    rest = f" (and {len(said) - 3} more queues the same)" if len(said) > 3 else ""
    full = f"; the memory is full in {duration(memory.full_in_s)}" if memory.full_in_s is not None else ""
    return "; ".join(said[:3]) + rest + full


def _notes(plays: Sequence[Play]) -> list[str]:
    if any(played.full for played in plays):
        return [f"stopped early: more than {count(MOST_WAITING)} messages wait; the fluid mode has no such limit"]
    return []
