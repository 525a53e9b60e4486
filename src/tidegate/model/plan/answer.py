"""The plan: from what was measured to the interval that every periodic entry can have, and what stands in the way."""

from collections.abc import Mapping

from tidegate.facts.measured import Key, Runs, WorkerSeen
from tidegate.facts.planned import Plan, PoolPlan, ProbeReport, Question, TaskMeasured
from tidegate.facts.sketch import NS
from tidegate.facts.unknown import Maybe, Unknown
from tidegate.model.plan.capacity import Capacity
from tidegate.model.plan.curves import curves_of
from tidegate.model.plan.demand import demand_of
from tidegate.model.plan.draining import clears_in_s
from tidegate.model.plan.entries import entry_plan
from tidegate.model.plan.notes import notes_of
from tidegate.model.plan.pools import Pool, fleet_of
from tidegate.model.plan.situation import Situation, situation
from tidegate.model.plan.spent import LEAST_RUNS, Account, account_of
from tidegate.model.plan.together import with_joint_intervals
from tidegate.model.plan.waiting import slots_for_wait

#: Curves are for looking at: of more entries than this only the first are drawn.
_MOST_CURVES = 20


def make_plan(question: Question, version: str) -> Plan:
    """The whole answer of `tidegate plan`; pure. Costs some max-flows per entry and number of hosts lost."""
    account, fleet = account_of(question.measured), fleet_of(question.measured.workers)
    demand = demand_of(question, account, fleet)
    now = situation(question, account, fleet, demand)
    plans = with_joint_intervals(tuple(entry_plan(entry, now) for entry in demand.entries), now)
    return Plan(
        tidegate=version,
        at=question.at,
        url=question.url,
        target_utilisation=question.target_utilisation,
        pools=_pools(now),
        entries=plans,
        tasks=tuple(_task(key, account) for key in sorted(account.whole.runs)),
        notes=notes_of(now),
        probe=_report(now),
        curves=tuple(curve for entry in demand.entries[:_MOST_CURVES] for curve in curves_of(entry, now)),
        cost=question.cost,
    )


def _report(now: Situation) -> ProbeReport:
    return ProbeReport(
        workers=len(now.fleet.workers),
        runs=sum(runs.run.count for runs in now.account.whole.runs.values()),
        covered_s=now.account.timeline.covered_s,
        bytes=now.question.measured.bytes,
    )


def _pools(now: Situation) -> tuple[PoolPlan, ...]:
    return tuple(_pool(pool, now, now.scenes[0].shares.get(pool.name, 0.0)) for pool in now.fleet.pools)


def _pool(pool: Pool, now: Situation, utilisation: float) -> PoolPlan:
    nothing = Unknown("no run was measured")
    measured = bool(now.account.whole.runs)
    return PoolPlan(
        queues=pool.queues,
        slots=pool.slots,
        hosts=now.fleet.hosts_of(pool),
        utilisation=utilisation if measured else nothing,
        effective_slots=_effective(pool.workers, now.capacity) if measured else nothing,
        workers=tuple(worker.node for worker in pool.workers),
        cores=sum({worker.machine: worker.cores for worker in pool.workers}.values()),
        busy_share=_busy_share(pool, now) if measured else nothing,
        mean_wait_s=_mean_wait(pool, now.account),
        needed_slots=_needed(pool, now, utilisation) if measured else nothing,
        drain_s=clears_in_s(frozenset(pool.queues), now.scenes[0], now) if measured else nothing,
    )


def _effective(workers: tuple[WorkerSeen, ...], capacity: Capacity) -> float:
    """Slots that do not slow one another down and would do the same work."""
    stretches = [(worker.slots, capacity.stretch[worker.node]) for worker in workers]
    return sum(slots * min(1.0, stretch.alone / stretch.factor) for slots, stretch in stretches)


def _runs_of(pool: Pool, account: Account) -> Mapping[Key, Runs]:
    return {key: runs for key, runs in account.whole.runs.items() if key.queue in pool.queues and runs.run.count}


def _busy_share(pool: Pool, now: Situation) -> Maybe[float]:
    """Measured run time over the time of all slots that could have done it."""
    run_s = sum(runs.run.total_ns for runs in _runs_of(pool, now.account).values()) / NS
    slots = sum(other.slots for other in now.fleet.pools if set(other.queues) & set(pool.queues))
    whole_s = slots * now.account.timeline.covered_s
    return run_s / whole_s if whole_s > 0 else Unknown("no run was measured")


def _mean_wait(pool: Pool, account: Account) -> Maybe[float]:
    waits = [runs.wait for runs in _runs_of(pool, account).values() if runs.wait.count]
    count = sum(wait.count for wait in waits)
    if not count:
        return Unknown("no message was stamped when it was published")
    return sum(wait.total_ns for wait in waits) / NS / count


def _needed(pool: Pool, now: Situation, utilisation: float) -> Maybe[int]:
    """Slots of today's kind for the target utilisation, and for the wait target where one is asked for."""
    if utilisation == float("inf"):
        return Unknown("no slot consumes one of its queues")
    needed = -int(-utilisation * pool.slots // now.question.target_utilisation)
    target_s = now.question.wait_target_s
    if target_s is None:
        return max(1, needed)
    rate = sum(r for key, r in now.demand.mix.items() if key.queue in pool.queues)
    if rate <= 0:
        return max(1, needed)
    mean_s = utilisation * pool.slots / rate
    for_wait = slots_for_wait(target_s, rate, mean_s, _scatter(pool, now.account))
    return Unknown("no number of slots would do") if for_wait is None else max(1, needed, for_wait)


def _scatter(pool: Pool, account: Account) -> float:
    """The squared coefficient of variation over all runs of the pool."""
    all_ran = [account.ran[key] for key in _runs_of(pool, account)]
    count = sum(ran.count for ran in all_ran)
    mean = sum(ran.count * ran.mean_s for ran in all_ran) / count
    square = sum(ran.count * (1 + ran.scatter) * ran.mean_s**2 for ran in all_ran) / count
    return max(0.0, square / mean**2 - 1) if mean > 0 else 0.0


def _task(key: Key, account: Account) -> TaskMeasured:
    runs = account.runs(key)
    count = runs.run.count
    few = Unknown(f"fewer than {LEAST_RUNS} runs ({count})")
    enough = count >= LEAST_RUNS
    cpu = account.ran[key].cpu_s if key in account.ran else None
    waits = runs.wait.count >= LEAST_RUNS
    unstamped = Unknown("too few of its messages were stamped when they were published")
    return TaskMeasured(
        task=key.task,
        queue=key.queue,
        entry=key.entry,
        runs=count,
        runs_per_s=account.rate(key) if enough else few,
        mean_s=runs.run.mean_s if enough else few,
        p50_s=runs.run.quantile(0.5) if enough else few,
        p95_s=runs.run.quantile(0.95) if enough else few,
        p99_s=runs.run.quantile(0.99) if enough else few,
        wait_p50_s=runs.wait.quantile(0.5) if waits else unstamped,
        wait_p95_s=runs.wait.quantile(0.95) if waits else unstamped,
        cpu_share=min(1.0, cpu / runs.run.mean_s) if cpu is not None and runs.run.total_ns else Unknown("not measured"),
        load=account.rate(key) * runs.run.mean_s if enough else few,
        failed=runs.outcomes["failure"],
        lost=runs.outcomes["lost"],
    )
