"""Diagnoses as the faces get them, ready to be changed in a word."""

from tidegate.facts.diagnosis import (
    BrokerReport,
    Diagnosis,
    Finding,
    GateStatus,
    Level,
    MemoryReport,
    QueueReport,
    State,
    TaskReport,
)
from tidegate.facts.gated import (
    CeilingReport,
    FiringsSeen,
    FleetReport,
    GateReport,
    MarkSeen,
    MarkState,
    QueueGated,
    WorkerGated,
)
from tidegate.facts.journal import JournalEntry
from tidegate.facts.seen import Cost
from tidegate.facts.unknown import Unknown

HIDDEN = Unknown("NOPERM: this user may not")


def a_queue_report(**changes):
    facts = {
        "name": "celery", "state": State.GROWING, "depth": 12, "by_priority": {0: 10, 9: 2}, "unacked": 4, "consumers": 1,
        "arrival_per_s": 10.0, "service_per_s": 8.0, "growth_per_s": 2.0, "arrival_error_per_s": 0.1,
        "service_error_per_s": 0.1, "oldest_age_s": 1.5, "bytes": 9000, "bytes_per_message": 750.0, "drain_s": None,
        "demand_per_s": 10.0, "capacity_per_s": 8.0, "state_reason": "more arrives than leaves, throughout",
        "saturated": True,
    }  # fmt: skip
    return QueueReport(**facts | changes)


def a_task_report(**changes):
    facts = {
        "name": "app.tasks.work", "queue": "celery", "depth_share": 1.0, "arrival_per_s": 10.0, "service_per_s": 8.0,
        "edge_interval_s": 0.125, "min_safe_interval_s": HIDDEN, "capacity_factor": 1.25,
    }  # fmt: skip
    return TaskReport(**facts | changes)


def a_queue_gated(**changes):
    facts = {
        "name": "celery", "depth": 85, "bytes": 68_000, "max_length": 100, "max_length_bytes": None,
        "overflow": "drop-head", "share": 0.85, "spilled": 0, "on_disk": 0, "disk": "", "disk_full": False,
        "dead_letter": None, "dead_letters": None,
        "counts": {"dropped_head": 12, "overlap_skipped": 412}, "counted_now": {},
    }  # fmt: skip
    return QueueGated(**facts | changes)


def a_gate_report(*queues, **changes):
    mark = MarkSeen(
        key="entry refresh",
        id="id-1",
        queue="celery",
        state=MarkState.HELD,
        age_s=2.5,
        since_s=1.5,
        worker="celery@w1",
        alive=True,
    )
    facts = {
        "in_use": True, "queues": queues or (a_queue_gated(),),
        "memory": CeilingReport(ceiling_bytes=1 << 29, used_bytes=1 << 20, share=1 / 512),
        "marks": (mark,), "marks_total": 1, "firings": (FiringsSeen(entry="entry refresh", open=2, oldest_age_s=4.0),),
        "opened": {"noperm": 2}, "opened_now": {}, "workers": (WorkerGated(node="celery@w1", id="a", alive=True),),
        "fleet": FleetReport(with_gate=("celery@w1",), without_gate=(), mixed=False), "keeper": None,
    }  # fmt: skip
    return GateReport(**facts | changes)


def a_gate_status(**changes):
    whole = a_diagnosis()
    facts = {
        "tidegate": whole.tidegate, "at": whole.at, "broker": whole.broker, "gate": whole.gate, "journal": (a_decision(),),
        "findings": whole.findings, "cost": whole.cost, "window_s": 3.0,
    }  # fmt: skip
    return GateStatus(**facts | changes)


def a_decision(**changes):
    facts = {"at_s": 1.79e9, "act": "gate", "what": "dropped_head", "queue": "celery", "task": "app.work", "id": "id-2"}
    return JournalEntry(**facts | {"why": "max_length 100"} | changes)


def a_diagnosis(*queues, **changes):
    facts = {
        "tidegate": "0.1.0", "at": "2026-01-02T03:04:05.000Z", "verdict": State.GROWING, "window_s": 10.0,
        "broker": BrokerReport(
            url="redis://:***@localhost:6379/0", server="valkey", version="9.1.0", used_memory_bytes=1 << 20,
            maxmemory_bytes=0, maxmemory_policy="noeviction",
        ),
        "queues": queues or (a_queue_report(),),
        "tasks": (a_task_report(),),
        "memory": MemoryReport(
            used_bytes=1 << 20, limit_bytes=1 << 30, limit_is="maxmemory", by_family={"queues": 9000},
            by_task={"app.tasks.work": 9000}, growth_bytes_per_s=1500.0, full_in_s=715827.5,
        ),
        "gate": a_gate_report(),
        "findings": (Finding(rule="TG101", level=Level.CRITICAL, sentence="celery grows.", remedy="Send less."),),
        "cost": Cost(commands=300, server_ms=12.5, elapsed_s=10.4),
    }  # fmt: skip
    return Diagnosis(**facts | changes)
