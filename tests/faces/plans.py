"""Plans as the faces get them, ready to be changed in a word."""

from tidegate.facts.planned import (
    Curve,
    EntryPlan,
    HostsLost,
    Plan,
    Point,
    PoolPlan,
    ProbeReport,
    Range,
    TaskMeasured,
)
from tidegate.facts.seen import Cost
from tidegate.facts.unknown import Unknown

FEW = Unknown("fewer than 30 runs (12)")
SAFE = Range(estimate=1.5, low=1.46, high=1.55)
SAFE_WITH_ONE_LOST = Range(estimate=3.0, low=2.92, high=3.1)


def a_pool(**changes):
    facts = {
        "queues": ("celery",), "slots": 8, "hosts": 2, "utilisation": 1.2, "effective_slots": 7.5,
        "workers": ("a@one", "b@two"), "cores": 8.0, "busy_share": 0.99, "mean_wait_s": 131.0, "needed_slots": 12,
        "drain_s": None,
    }  # fmt: skip
    return PoolPlan(**facts | changes)


def a_lost_host(**changes):
    facts = {
        "lost": 1, "slots": 4, "min_safe_interval_s": SAFE_WITH_ONE_LOST, "edge_interval_s": 2.4, "safe": False,
        "growth_per_s": 11.7, "full_in_s": 86400.0,
    }  # fmt: skip
    return HostsLost(**facts | changes)


def an_entry(**changes):
    facts = {
        "entry": "refresh", "task": "screen.tasks.refresh_all", "interval_s": 1.0, "work_s": 9.6, "work_s_error": 0.3,
        "min_safe_interval_s": SAFE, "edge_interval_s": 1.2, "edge_interval_low_s": 1.17, "edge_interval_high_s": 1.24,
        "freshest_interval_s": 1.2, "safe": False, "with_hosts_lost": (a_lost_host(),),
        "binding": "8 slots on 2 hosts for celery", "basis": "1,234 firings, 12,345 runs", "runs_per_firing": 21.0,
        "growth_per_s": 3.33, "full_in_s": 950400.0, "age_s": 1.7, "freshest_interval_at_publish_s": 2.1,
        "joint_interval_s": 1.5, "split_interval_s": 1.6, "firings": 1234,
    }  # fmt: skip
    return EntryPlan(**facts | changes)


def a_safe_entry(**changes):
    facts = {"entry": "report", "interval_s": 4.0, "safe": True, "growth_per_s": 0.0, "full_in_s": None}
    lost = a_lost_host(safe=True, growth_per_s=0.0, full_in_s=None)
    return an_entry(**facts | {"with_hosts_lost": (lost,)} | changes)


def an_unknown_entry(why=FEW, **changes):
    """Nothing is known of it but its names and its interval."""
    unseen = dict.fromkeys(
        [
            "work_s", "work_s_error", "min_safe_interval_s", "edge_interval_s", "edge_interval_low_s",
            "edge_interval_high_s", "freshest_interval_s", "safe", "growth_per_s", "full_in_s", "age_s", "runs_per_firing",
            "freshest_interval_at_publish_s", "joint_interval_s", "split_interval_s",
        ],
        why,
    )  # fmt: skip
    lost = a_lost_host(min_safe_interval_s=why, edge_interval_s=why, safe=why, growth_per_s=why, full_in_s=why)
    facts = {"entry": "new", "binding": "", "basis": "nothing yet", "firings": 0, "with_hosts_lost": (lost,)}
    return an_entry(**unseen | facts | changes)


def a_task(**changes):
    facts = {
        "task": "screen.tasks.flush", "queue": "celery", "entry": "refresh", "runs": 12_000, "runs_per_s": 16.7,
        "mean_s": 0.45, "p50_s": 0.44, "p95_s": 0.52, "p99_s": 0.61, "wait_p50_s": 120.0, "wait_p95_s": 180.0,
        "cpu_share": 0.1, "load": 7.5, "failed": 3, "lost": 0,
    }  # fmt: skip
    return TaskMeasured(**facts | changes)


def curves_of(entry, hosts=2):
    """Growth of 20 messages a firing with so many hosts, each good for a firing in 2.4 s."""
    return tuple(
        Curve(
            entry=entry,
            lost=lost,
            points=tuple(
                Point(interval_s=at / 10, utilisation=24 / at / (hosts - lost) if lost < hosts else 9.0,
                      growth_per_s=max(0.0, 200 / at - (hosts - lost) / 0.12)) for at in range(6, 61)
            ),
        )
        for lost in range(hosts)
    )  # fmt: skip


def a_plan(*entries, **changes):
    listed = entries or (an_entry(),)
    facts = {
        "tidegate": "0.1.0", "at": "2026-01-02T03:04:05.000Z", "url": "redis://:***@localhost:6379/0",
        "target_utilisation": 0.8, "pools": (a_pool(),), "entries": listed, "tasks": (a_task(),), "notes": (),
        "probe": ProbeReport(workers=3, runs=12_345, covered_s=2520.0, bytes=184_320),
        "curves": curves_of(listed[0].entry), "cost": Cost(commands=12, server_ms=3.0, elapsed_s=0.1),
    }  # fmt: skip
    return Plan(**facts | changes)
