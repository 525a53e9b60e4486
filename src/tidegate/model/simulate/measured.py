"""A scenario from what the probe measured: the workers as they are, run times as sketched, children, entries, arrivals.

How much comes is taken from `model.plan.demand`, which counts what waits as well as what ran; how long a run takes alone
on its machine from `model.plan.contention`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from tidegate.errors import NothingFound
from tidegate.facts.laws import Constant, Histogram, Law
from tidegate.facts.measured import Key, WorkerSeen
from tidegate.facts.planned import Question
from tidegate.facts.scenario import Arrivals, BrokerSettings, Entry, HostGroup, Retry, RunSettings, Scenario, TaskLoad
from tidegate.facts.sketch import ACCURACY, LEAST_S, NS, Sketch
from tidegate.facts.unknown import known
from tidegate.model.plan.contention import Demand, run_s, waiting_part
from tidegate.model.plan.demand import Demand as Coming
from tidegate.model.plan.demand import demand_of
from tidegate.model.plan.pools import Fleet, by_machine, fleet_of, shares_one_lock
from tidegate.model.plan.spent import Account, account_of

_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
#: So many workers get a group of their own, which can die alone; of more, those that are alike stand together.
_MOST_GROUPS = 32
#: Edges nearer to one another than this part of themselves are one, and fewer children a run than this are none.
_NOTHING = 1e-6
_USUAL_BYTES = 1000


def scenario_of(question: Question) -> Scenario:
    """The cluster as it was measured, to be simulated; NothingFound where the probe has measured no run or no worker."""
    account, fleet = account_of(question.measured), fleet_of(question.measured.workers)
    if not account.ran:
        raise NothingFound("nothing was measured there: install the probe (tidegate.install(app)), and let tasks run")
    if not fleet.workers:
        raise NothingFound(
            "no worker with the probe is alive there: start one, or write the hosts into a scenario file"
        )
    coming, names = demand_of(question, account, fleet), _names(account)
    server = question.server
    return Scenario(
        hosts=tuple(_groups(fleet, coming)),
        tasks=tuple(_tasks(question, account, fleet, names)),
        entries=tuple(_entries(question, coming, account, names)),
        arrivals=tuple(_arrivals(coming, account, names)),
        broker=BrokerSettings(
            visibility_timeout_s=question.visibility_timeout_s,
            memory_limit_bytes=_bytes(server.maxmemory_bytes) if server is not None else 0,
            memory_used_bytes=_bytes(server.used_memory_bytes) if server is not None else 0,
        ),
        run=RunSettings(),
        notes=_notes(account, fleet),
    )


def _bytes(value: object) -> int:
    return value if isinstance(value, int) else 0


def _notes(account: Account, fleet: Fleet) -> tuple[str, ...]:
    runs = sum(ran.count for ran in account.ran.values())
    return (
        f"made from {runs:,} runs in {account.timeline.covered_s:.0f} s on {len(fleet.workers)} workers",
        "not measured, so taken as Celery's defaults: prefetch, acknowledgement, expiry, priorities, retry delays",
    )


def _names(account: Account) -> dict[tuple[str, str], str]:
    """The name of every task and queue: a task that ran in several queues is one task in each."""
    runs: dict[str, Counter[str]] = defaultdict(Counter)
    for key, ran in account.ran.items():
        runs[key.task][key.queue] += ran.count
    result = {}
    for task, queues in runs.items():
        for place, (queue, _) in enumerate(queues.most_common()):
            result[task, queue] = f"{task} ({queue})" if place else task
    return result


def _groups(fleet: Fleet, coming: Coming) -> Iterator[HostGroup]:
    machines = by_machine(fleet.workers)
    alike: dict[tuple[object, ...], list[HostGroup]] = defaultdict(list)
    for worker in [worker for worker in fleet.workers if worker.queues]:
        group = _group(worker, machines[worker.machine], coming)
        shape = (group.slots, group.queues, group.cores, group.turnaround_s)
        alike[shape if len(fleet.workers) > _MOST_GROUPS else (worker.node, worker.started_at_s)].append(group)
    names: Counter[str] = Counter()
    for groups in alike.values():
        first = groups[0]
        names[first.name] += 1
        name = first.name if names[first.name] == 1 else f"{first.name} {names[first.name]}"
        yield HostGroup(name=name, count=len(groups), slots=first.slots, queues=first.queues, cores=first.cores,
                        turnaround_s=first.turnaround_s)  # fmt: skip


def _group(worker: WorkerSeen, machine: Sequence[WorkerSeen], coming: Coming) -> HostGroup:
    """Workers on one machine share its cores by their slots."""
    cores = worker.cores * worker.slots / max(1, sum(other.slots for other in machine))
    if shares_one_lock(worker):
        cores = min(1.0, cores)
    added = [coming.overheads[queue].seconds for queue in worker.queues if queue in coming.overheads]
    return HostGroup(
        name=worker.node,
        slots=max(1, worker.slots),
        queues=worker.queues,
        cores=round(cores, 3),
        turnaround_s=round(sum(added) / len(added), 6) if added else 0.0,
    )


def _tasks(
    question: Question, account: Account, fleet: Fleet, names: Mapping[tuple[str, str], str]
) -> Iterator[TaskLoad]:
    weights = {queue.name: queue.bytes_per_message for queue in question.queues}
    for (task, queue), name in names.items():
        keys = [key for key in account.ran if (key.task, key.queue) == (task, queue)]
        alone_s, cpu = _alone(keys, account, fleet)
        weight = weights.get(queue)
        yield TaskLoad(
            name=name,
            queue=queue,
            run=law_of(_sketch(keys, account), alone_s),
            children=_children(task, keys, account, names),
            retry=_retry(keys, account),
            cpu=cpu,
            bytes=round(weight) if known(weight) and weight else _USUAL_BYTES,
        )


def _sketch(keys: Sequence[Key], account: Account) -> Sketch:
    whole = Sketch()
    for key in keys:
        whole.merge(account.runs(key).run)
    return whole


def _alone(keys: Sequence[Key], account: Account, fleet: Fleet) -> tuple[float, float]:
    """The mean run time of the task where nothing slows it down, and the share of it that it computes."""
    runs = sum(account.ran[key].count for key in keys)
    mean_s = sum(account.ran[key].mean_s * account.ran[key].count for key in keys) / runs
    told = [(account.ran[key].cpu_s, account.ran[key].count) for key in keys]
    cpu_s = sum(cpu * number for cpu, number in told if cpu is not None) / runs
    workers = [worker for worker in fleet.workers if keys[0].queue in worker.queues]
    if cpu_s <= 0 or not workers or mean_s <= 0:
        return mean_s, 0.0
    met = sum(account.ran[key].mean_busy * account.ran[key].count for key in keys) / runs
    cores = max(worker.cores for worker in workers)
    alone_s = min(mean_s, run_s(1, cores, Demand(cpu_s, waiting_part(met, cores, mean_s, cpu_s))))
    return alone_s, min(1.0, cpu_s / alone_s)


def law_of(sketch: Sketch, mean_s: float) -> Law:
    """Run times as the sketch holds them, scaled to that mean; inside a bucket so drawn that it is kept exactly."""
    factor = mean_s / sketch.mean_s if sketch.mean_s > 0 else 1.0
    low_s, high_s = sketch.low_ns / NS, sketch.high_ns / NS
    if high_s <= low_s:
        return Constant(mean_s)
    edges, counts = [low_s], []
    if sketch.zeros:
        edges.append(min(LEAST_S, high_s))
        counts.append(sketch.zeros)
    for bucket in sorted(sketch.buckets):
        lower, upper = max(low_s, _GAMMA ** (bucket - 1)), min(high_s, _GAMMA**bucket)
        if lower > edges[-1] * (1 + _NOTHING):
            edges.append(lower)
            counts.append(0)
        if upper > edges[-1] * (1 + _NOTHING):
            edges.append(upper)
            counts.append(sketch.buckets[bucket])
        elif counts:
            counts[-1] += sketch.buckets[bucket]
        else:
            edges.append(edges[-1] * (1 + 2 * _NOTHING))
            counts.append(sketch.buckets[bucket])
    edges = [float(f"{edge * factor:.7g}") for edge in edges]
    return Histogram(tuple(edges), tuple(counts), min(max(mean_s, edges[0]), edges[-1]))


def _children(
    task: str, keys: Sequence[Key], account: Account, names: Mapping[tuple[str, str], str]
) -> dict[str, float]:
    """What a run publishes on average, by the queue where it then ran; a retry is not counted as a child."""
    runs = sum(account.ran[key].count for key in keys)
    published: Counter[str] = Counter()
    for key in keys:
        published.update(account.runs(key).children)
        published[task] -= account.runs(key).outcomes["retry"]
    result = {}
    for child, number in published.items():
        places = {queue: sum(r.count for k, r in account.ran.items() if (k.task, k.queue) == (child, queue))
                  for name, queue in names if name == child}  # fmt: skip
        for queue, count in places.items():
            each = number / runs * count / sum(places.values())
            if each > _NOTHING:
                result[names[child, queue]] = each
    return result


def _retry(keys: Sequence[Key], account: Account) -> Retry | None:
    runs = sum(account.ran[key].count for key in keys)
    retried = sum(account.runs(key).outcomes["retry"] for key in keys)
    return Retry(share=min(1.0, retried / runs)) if retried else None


def _entries(
    question: Question, coming: Coming, account: Account, names: Mapping[tuple[str, str], str]
) -> Iterator[Entry]:
    schedule = {entry.name: entry for entry in question.entries} if known(question.entries) else {}
    for entry in coming.entries:
        roots = [key for key in account.ran if key.entry == entry.name and account.runs(key).firings]
        roots = roots or [key for key in account.ran if key.task == entry.task]
        if not roots or entry.per_s <= 0:
            continue
        root = max(roots, key=lambda key: account.runs(key).firings)
        expires_s = schedule[entry.name].expires_s if entry.name in schedule else None
        yield Entry(
            name=entry.name,
            task=names[root.task, root.queue],
            every_s=float(f"{1 / entry.per_s:.7g}"),
            expires_s=expires_s if known(expires_s) else None,
        )


def _arrivals(coming: Coming, account: Account, names: Mapping[tuple[str, str], str]) -> Iterator[Arrivals]:
    """What is no child and comes of no known entry, as Poisson streams."""
    rates: dict[str, float] = defaultdict(float)
    for key, per_s in coming.other.items():
        if key in account.ran:
            roots = account.runs(key).firings / account.count(key)
            rates[names[key.task, key.queue]] += roots * per_s
    for name, per_s in rates.items():
        if per_s > 0:
            yield Arrivals(name=name, task=name, rate_per_s=per_s)
