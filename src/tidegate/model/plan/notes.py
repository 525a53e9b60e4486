"""What has to be said beside the numbers: what was corrected, what was assumed, what could not be told."""

from collections.abc import Iterable, Iterator

from tidegate.facts.unknown import known
from tidegate.model.plan.situation import Situation
from tidegate.units import count, duration, percent, plural

#: Clocks that differ by less do no harm to a wait of seconds.
_SKEW_S = 0.5
#: So many messages that met an idle worker, and all waited: their publisher's clock is behind.
_LAGGING = 20
_LONG_RUN = 10.0


def notes_of(now: Situation) -> tuple[str, ...]:
    """Sentences, the most important first; none where there is nothing to say."""
    return tuple(sentence for part in _PARTS for sentence in part(now))


def _workers(now: Situation) -> Iterator[str]:
    gone = [worker.node for worker in now.question.measured.workers if worker.gone]
    if not now.fleet.workers and now.account.whole.runs:
        yield "no worker with the probe reports at present, so there is no capacity to plan with"
    elif gone:
        yield f"not counted, for {_they(gone)} gone or silent: {_listed(gone)}"
    if now.fleet.each_worker_a_host:
        yield "all workers run on one host, so each of them counts as a host that can be lost"
    if now.question.hosts_lost and now.fleet.workers:
        yield (
            "what a lost host had taken comes back after the visibility timeout "
            f"({duration(now.question.visibility_timeout_s)}), on top of what is planned here"
        )


def _clocks(now: Situation) -> Iterator[str]:
    for worker in now.fleet.workers:
        if abs(worker.clock_ahead_s) > _SKEW_S:
            yield (
                f"the clock of {worker.machine} is {duration(abs(worker.clock_ahead_s))} "
                f"{'ahead of' if worker.clock_ahead_s > 0 else 'behind'} the broker's; its times were corrected"
            )
    for machine, ahead_s in sorted(now.account.whole.ahead.items()):
        if ahead_s > _SKEW_S:
            yield f"the clock of {machine}, which publishes, is at least {duration(ahead_s)} ahead; waits were corrected"
    for machine, lag in sorted(now.account.whole.lags.items()):
        if lag.messages >= _LAGGING and lag.least_s > _SKEW_S:
            yield (
                f"the clock of {machine}, which publishes, seems {duration(lag.least_s)} behind: "
                "waits of its messages are too long by that"
            )
    odd = sum(runs.odd_stamps for runs in now.account.whole.runs.values())
    if odd:
        yield f"{plural(odd, 'message')} bore a time of publication that can't be; their waits are not counted"


def _entries(now: Situation) -> Iterator[str]:
    strangers = [entry.name for entry in now.demand.entries if not entry.scheduled]
    if strangers and known(now.question.entries):
        yield f"measured, and not in this schedule (renamed, or sent by another beat): {_listed(strangers)}"
    blind = [entry.name for entry in now.demand.entries if not known(entry.firing)]
    if blind and len(blind) < len(now.demand.entries):
        yield f"the numbers leave out the work of {_listed(blind)}, which could not be told"


def _runs(now: Situation) -> Iterator[str]:
    for worker in now.fleet.workers:
        for run in worker.unfinished:
            usual = max(
                (r.run.high_ns / 1e9 for k, r in now.account.whole.runs.items() if k.task == run.task), default=0
            )
            if run.running_s > max(_LONG_RUN, _LONG_RUN * usual):
                yield f"{run.task} has been running on {worker.node} for {duration(run.running_s)} and may never end"
    lost = sum(runs.outcomes["lost"] for runs in now.account.whole.runs.values())
    if lost:
        yield f"{plural(lost, 'run')} ended with the process (killed, out of memory or time); the time counts as work"


def _probe(now: Situation) -> Iterator[str]:
    if now.question.measured.unreadable:
        yield f"{plural(now.question.measured.unreadable, 'record')} of the probe could not be read (another version?)"
    dropped, folded = now.account.whole.counts["runs_dropped"], now.account.whole.counts["keys_folded"]
    if dropped:
        runs = sum(runs.run.count for runs in now.account.whole.runs.values())
        yield f"{count(dropped)} runs were not counted ({percent(dropped / (dropped + runs))}): they came too fast"
    if folded:
        yield f"there are more tasks than are kept apart: {count(folded)} times a rare one was counted under 'other tasks'"


def _assumptions(now: Situation) -> Iterator[str]:
    assumed = [queue for queue, overhead in now.demand.overheads.items() if not overhead.measured]
    if assumed and now.account.whole.runs:
        seconds = max(now.demand.overheads[queue].seconds for queue in assumed)
        yield (
            f"what a worker adds to every run is taken as {duration(seconds)} for {_listed(assumed)}: "
            "it shows only while messages wait"
        )


def _they(names: Iterable[str]) -> str:
    return "it is" if len(list(names)) == 1 else "they are"


def _listed(names: Iterable[str], most: int = 5) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


_PARTS = (_workers, _clocks, _entries, _runs, _probe, _assumptions)
