"""From a look to a diagnosis: states, rates, intervals, memory, and what every rule says of them; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tidegate.document import iso
from tidegate.facts.diagnosis import BADNESS, BrokerReport, Diagnosis, QueueReport, Rate, State
from tidegate.facts.message import Label
from tidegate.facts.seen import NOT_LOOKED, FlowSeen, Look, QueueSeen, SetAside, WorkersSeen
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.case import Case
from tidegate.model.firing import firings, together
from tidegate.model.forecast import drain_s, memory_report
from tidegate.model.gated import gate_report
from tidegate.model.interval import task_reports
from tidegate.model.load import Load, loads
from tidegate.model.rates import Flow, measure
from tidegate.model.rules.table import findings
from tidegate.model.scheduled import schedule_rows
from tidegate.model.trend import alive, trend
from tidegate.units import duration


def judge(look: Look, version: str) -> Diagnosis:
    """What the look means. The same look always gives the same diagnosis."""
    case = build_case(look)
    return Diagnosis(
        tidegate=version,
        at=iso(look.at),
        broker=_broker(look),
        verdict=max((queue.state for queue in case.queues), key=BADNESS.__getitem__, default=State.UNKNOWN),
        queues=tuple(case.queues),
        tasks=tuple(case.tasks),
        memory=case.memory,
        gate=case.gate,
        findings=findings(case),
        cost=look.cost,
        window_s=look.window_s,
    )


def build_case(look: Look) -> Case:
    """The reports that the rules are asked about."""
    flows = measure_all(look)
    parts = firings(look.flows)
    by_queue = loads({name: (_seen(look, name), flow) for name, flow in flows.items()}, parts)
    queues = tuple(_queue(look, queue, flows[queue.name], by_queue[queue.name]) for queue in look.queues)
    tasks = [row for name, flow in flows.items() for row in task_reports(name, flow, look.censuses.get(name), by_queue)]
    return Case(
        look=look,
        queues=queues,
        tasks=tasks,
        memory=memory_report(look, queues),
        firings=together(parts.values()),
        gate=gate_report(look),
        schedule=schedule_rows(look),
    )


def measure_all(look: Look) -> Mapping[str, Flow]:
    """The rates of every queue; what the server's push count leaves after the counted queues goes to the one that can't be."""
    counted = {queue.name: measure(_seen(look, queue.name), NOT_LOOKED) for queue in look.queues}
    open_ones = [name for name, flow in counted.items() if not known(flow.arrival)]
    left = _uncounted_pushes(look.pushes_per_s, [flow for flow in counted.values() if known(flow.arrival)], open_ones)
    return {name: flow if known(flow.arrival) else measure(_seen(look, name), left) for name, flow in counted.items()}


def _uncounted_pushes(pushes: Maybe[float], counted: Sequence[Flow], open_ones: Sequence[str]) -> Maybe[float]:
    if not known(pushes):
        return pushes
    rest = max(0.0, pushes - sum(flow.arrival.per_s for flow in counted if known(flow.arrival)))
    if len(open_ones) > 1 and rest > 0:
        return Unknown(f"at most {rest:.3g}/s, the pushes that {len(open_ones)} queues share")
    return rest


def _seen(look: Look, name: str) -> FlowSeen:
    return look.flows.get(name) or FlowSeen(problem=Unknown("the queue could not be read"))


def _broker(look: Look) -> BrokerReport:
    server = look.server
    return BrokerReport(
        url=server.url,
        server=server.server,
        version=server.version,
        used_memory_bytes=server.used_memory_bytes,
        maxmemory_bytes=server.maxmemory_bytes,
        maxmemory_policy=server.maxmemory_policy,
    )


def _queue(look: Look, queue: QueueSeen, flow: Flow, load: Load) -> QueueReport:
    seen = _seen(look, queue.name)
    depth = queue.depth if known(queue.depth) else Unknown(queue.depth.why)
    verdict = trend(seen, flow, load, consuming(look.workers, queue.name))
    if verdict.state is State.STALLED and queue.name in {side.dead_letter for side in look.gate.sides.values()}:
        verdict = replace(verdict, state=State.OK, reason="dead letters lie there until somebody looks at them")
    return QueueReport(
        name=queue.name,
        state=verdict.state,
        state_reason=verdict.reason,
        depth=depth,
        by_priority=queue.by_priority,
        unacked=_unacked(look, queue.name),
        consumers=consumers(look, queue, seen),
        arrival_per_s=rate_of(flow.arrival),
        service_per_s=rate_of(flow.service),
        growth_per_s=flow.growth_per_s,
        arrival_error_per_s=flow.arrival.error_per_s if known(flow.arrival) else flow.arrival,
        service_error_per_s=flow.service.error_per_s if known(flow.service) else flow.service,
        oldest_age_s=oldest_age_s(look, queue, flow),
        bytes=queue.bytes,
        bytes_per_message=queue.bytes_per_message,
        drain_s=drain_s(depth, flow.growth_per_s, verdict.state, rate_of(flow.service)),
        demand_per_s=load.demand.per_s if known(flow.arrival) else flow.arrival,
        capacity_per_s=rate_of(load.capacity),
        saturated=known(flow.capacity),
        aside=_aside(queue.set_aside),
    )


def _aside(aside: Maybe[SetAside | None]) -> Maybe[int]:
    if not known(aside):
        return aside
    return sum(aside.by_priority.values()) if aside else 0


def rate_of(rate: Maybe[Rate]) -> Maybe[float]:
    """The number alone."""
    return rate.per_s if known(rate) else rate


def _unacked(look: Look, name: str) -> Maybe[int]:
    by_queue = look.unacked.by_queue
    if known(look.unacked.count) and look.unacked.count == 0:
        return 0
    return by_queue.get(name, 0) if known(by_queue) else by_queue


def consuming(workers: WorkersSeen, queue: str) -> WorkersSeen:
    """The workers without those that said they take from other queues only: what keeps them busy is no excuse here."""
    if not known(workers.answers) or not known(workers.heartbeats):
        return workers
    elsewhere = {answer.hostname for answer in workers.answers if queue not in answer.queues}
    return replace(workers, heartbeats=tuple(b for b in workers.heartbeats if b.hostname not in elsewhere))


def consumers(look: Look, queue: QueueSeen, seen: FlowSeen) -> Maybe[int]:
    """How many workers take from the queue, as far as it shows from outside."""
    answers = look.workers.answers
    if known(answers):
        return sum(queue.name in answer.queues for answer in answers)
    heard = alive(look.workers)
    if heard is None:
        return Unknown("workers could not be heard")
    if len(look.queues) == 1 or heard == 0:
        return heard
    if any(step.departures for step in seen.steps) and heard == 1:
        return 1
    return Unknown(f"{heard} workers were heard; which of them take from this queue shows only with --ask-workers")


def oldest_age_s(look: Look, queue: QueueSeen, flow: Flow) -> Maybe[float]:
    """The age of the message that leaves next: from a stamp of its publisher, else estimated in the reason."""
    if known(queue.depth) and queue.depth == 0:
        return 0.0
    if isinstance(queue.oldest, Label) and queue.oldest.enqueued_at is not None:
        seen_at = look.at if look.queues_at is None else look.queues_at
        return max(0.0, seen_at - queue.oldest.enqueued_at)
    why = "Celery's messages carry no time of publication"
    if known(flow.arrival) and flow.arrival.per_s > 0 and known(queue.depth):
        return Unknown(f"{why}; at the present arrivals it would be about {duration(queue.depth / flow.arrival.per_s)}")
    return Unknown(why)
