"""Where Redis's memory goes, what bounds it, and when it is full."""

import math
from collections.abc import Iterable

from tidegate.facts.diagnosis import Finding, Level, State
from tidegate.facts.seen import KeyFamily, KeyspaceSeen, ServerSeen
from tidegate.facts.unknown import Maybe, Unknown, known
from tidegate.model.case import Case
from tidegate.model.rules.saying import could_not_look, fine, shell, unseen
from tidegate.units import count, duration, percent, plural, size

NEAR, VERY_NEAR, REACHED = 0.75, 0.9, 0.99
DAY_S = 86400.0
#: Memory below this is not worth a word on where it goes.
WORTH_MENTIONING = 64 << 20


def no_limit(case: Case) -> Iterable[Finding]:
    """TG110: without `maxmemory` a backlog grows until the machine has none left."""
    limit = case.look.server.maxmemory_bytes
    if not known(limit):
        return [could_not_look("TG110", "the memory limit", {"maxmemory_bytes": limit})]
    if limit:
        return [fine("TG110", f"Redis's memory is limited to {size(limit)}.", maxmemory_bytes=limit)]
    grows = any(queue.state is State.GROWING for queue in case.queues)
    return [
        Finding(
            rule="TG110",
            level=Level.WARNING if grows else Level.INFO,
            sentence="Redis has no memory limit (maxmemory 0): a backlog grows until the machine's memory is gone, "
            "and the kernel ends Redis.",
            evidence={"maxmemory_bytes": 0, "system_memory_bytes": case.look.server.system_memory_bytes},
            remedy=f"redis-cli CONFIG SET maxmemory {_suggested_limit(case)} (and the same line in redis.conf)",
        )
    ]


def _suggested_limit(case: Case) -> str:
    system = case.look.server.system_memory_bytes
    return _megabytes(system * 0.6) if known(system) else "4gb"


def _megabytes(number: float) -> str:
    """A size as redis.conf has it; never 0, which would mean no limit."""
    return f"{max(1, math.ceil(number / (1 << 20)))}mb"


def evicting(case: Case) -> Iterable[Finding]:
    """TG111: an evicting policy deletes keys at the limit, and a queue is one key."""
    server = case.look.server
    policy = server.maxmemory_policy
    if not known(policy):
        return [could_not_look("TG111", "the eviction policy", {"maxmemory_policy": policy})]
    if policy == "noeviction":
        return [fine("TG111", "At its limit Redis refuses writes and deletes nothing (noeviction).")]
    whole = policy.startswith("allkeys")
    dormant = known(server.maxmemory_bytes) and server.maxmemory_bytes == 0
    what = (
        "any key, and a queue is one key: all of its messages go at once" if whole else "keys with an expiry: results"
    )
    return [
        Finding(
            rule="TG111",
            level=Level.INFO if not whole else Level.WARNING if dormant else Level.CRITICAL,
            sentence=f"At its memory limit Redis deletes {what} (maxmemory-policy {policy}).",
            evidence={"maxmemory_policy": policy, "evicted_keys": server.evicted_keys},
            remedy="redis-cli CONFIG SET maxmemory-policy noeviction (and the same line in redis.conf)",
        )
    ]


def persistence(case: Case) -> Iterable[Finding]:
    """TG112: writing to disk keeps messages over a restart; it bounds no memory."""
    server = case.look.server
    unknown = unseen(aof_enabled=server.aof_enabled, rdb_save=server.rdb_save)
    if unknown:
        return [could_not_look("TG112", "persistence", unknown)]
    kinds = [name for name, on in (("AOF", server.aof_enabled), ("RDB snapshots", server.rdb_save)) if on]
    if not kinds:
        return [fine("TG112", "Nothing is written to disk: after a restart of Redis the queues are empty.", aof=False)]
    if not known(server.maxmemory_bytes):
        return [could_not_look("TG112", "the memory limit", unseen(maxmemory_bytes=server.maxmemory_bytes))]
    if server.maxmemory_bytes:
        return [
            fine("TG112", f"Messages survive a restart ({' and '.join(kinds)}), and memory is bounded apart from that.")
        ]
    return [
        Finding(
            rule="TG112",
            level=Level.INFO,
            sentence=f"{' and '.join(kinds)} put a copy of the data on disk; the data itself stays in memory all the "
            "same. Persistence is a safety net, not a bound.",
            evidence={
                "aof_enabled": server.aof_enabled,
                "rdb_save": server.rdb_save,
                "maxmemory_bytes": server.maxmemory_bytes,
            },
            remedy="Set maxmemory as well (TG110).",
        )
    ]


def near_limit(case: Case) -> Iterable[Finding]:
    """TG113: the memory is nearly full, or will be within days at the present growth."""
    memory = case.memory
    used, limit, full = memory.used_bytes, memory.limit_bytes, memory.full_in_s
    if not known(used) or not known(limit):
        return [could_not_look("TG113", "the memory", unseen(used_bytes=used, limit_bytes=limit))]
    share = used / limit if limit else 0.0
    soon = full if known(full) and full is not None else None
    level = _nearness(share, soon)
    when = f" At the present growth it is full in {duration(soon)}." if soon else ""
    text = f"{size(used)} of {size(limit)} ({memory.limit_is}) are used, {percent(share)}.{when}"
    evidence = {
        "used_bytes": used,
        "limit_bytes": limit,
        "growth_bytes_per_s": memory.growth_bytes_per_s,
        "full_in_s": full,
    }
    if level is Level.OK and not known(full):
        return [could_not_look("TG113", "the growth of the memory", {"full_in_s": full})]
    if level is Level.OK:
        return [fine("TG113", text, **evidence)]
    remedy = "Stop the growth (TG101) first; then see where the memory goes (TG115). More memory only buys time."
    return [Finding(rule="TG113", level=level, sentence=text, evidence=evidence, remedy=remedy)]


def _nearness(share: float, full_in_s: float | None) -> Level:
    if share >= VERY_NEAR or (full_in_s is not None and full_in_s < DAY_S):
        return Level.CRITICAL
    if share >= NEAR or (full_in_s is not None and full_in_s < 30 * DAY_S):
        return Level.WARNING
    return Level.INFO if full_in_s is not None else Level.OK


def at_limit(case: Case) -> Iterable[Finding]:
    """TG114: Redis refuses writes; measured on Redis 7.0 and Valkey 9.1 (docs/rules/TG114.md)."""
    used, limit = case.look.server.used_memory_bytes, case.look.server.maxmemory_bytes
    if not known(used) or not known(limit):
        return [could_not_look("TG114", "the memory", unseen(used_bytes=used, limit_bytes=limit))]
    if not limit or used < REACHED * limit:
        return [fine("TG114", "Redis takes writes: it is not at its memory limit.")]
    return [
        Finding(
            rule="TG114",
            level=Level.CRITICAL,
            sentence=f"Redis is at its memory limit ({size(used)} of {size(limit)}) and refuses writes: a worker that is "
            "started exits at once, running ones may die at their next acknowledgement, publishing fails, and `celery purge` "
            "can report success and remove nothing.",
            evidence={"used_bytes": used, "limit_bytes": limit},
            remedy=f"Lose nothing: tidegate rescue {case.look.server.url} --dir /var/tmp/rescue moves the newest messages to "
            "disk until workers can start, and brings them back in order. Or make room: redis-cli CONFIG SET maxmemory "
            f"{_megabytes(max(used, limit) * 1.25)}; then start the workers. Where everything that waits is worthless: "
            f"redis-cli UNLINK {shell(_largest_queue(case))}",
        )
    ]


def _largest_queue(case: Case) -> str:
    weighed = [(queue.bytes, queue.name) for queue in case.queues if known(queue.bytes)]
    return max(weighed, default=(0, "QUEUE"))[1]


def unexplained(case: Case) -> Iterable[Finding]:
    """TG115: most of the memory is not in the queues, so clearing them would not free it."""
    families, used = case.memory.by_family, case.memory.used_bytes
    if not known(families) or not known(used):
        return [could_not_look("TG115", "what fills the memory", unseen(by_family=families, used_bytes=used))]
    unweighed = {queue.name: queue.bytes for queue in case.queues if isinstance(queue.bytes, Unknown)}
    if unweighed:
        return [could_not_look("TG115", "what the queues weigh", unweighed)]
    own = families.get("queues", 0) + families.get("unacked", 0)
    largest = sorted(((weight, name) for name, weight in families.items() if weight), reverse=True)[:3]
    if used < WORTH_MENTIONING or own >= used / 2:
        return [fine("TG115", f"The queues explain {size(own)} of {size(used)} in use.", **families)]
    parts = ", ".join(f"{name} {size(weight)}" for weight, name in largest)
    return [
        Finding(
            rule="TG115",
            level=Level.WARNING if _is_near(case) else Level.INFO,
            sentence=f"The queues explain only {size(own)} of the {size(used)} in use; the largest parts are {parts}.",
            evidence={"by_family": families, "scanned": _scanned(case)},
            remedy="Look at the largest part first: results (result_expires), other keys (another program on the same "
            "server?), server (client buffers, a replica that lags).",
        )
    ]


def _is_near(case: Case) -> bool:
    used, limit = case.memory.used_bytes, case.memory.limit_bytes
    return known(used) and known(limit) and used >= NEAR * limit


def _scanned(case: Case) -> str:
    space = case.look.keyspace
    return f"{count(space.scanned)} of {count(space.total)} keys" if isinstance(space, KeyspaceSeen) else "none"


def fragmentation(case: Case) -> Iterable[Finding]:
    """TG116: memory beyond what Redis counts: fragmentation, and the copy that a snapshot's child makes."""
    server = case.look.server
    used, rss, system = server.used_memory_bytes, server.rss_bytes, server.system_memory_bytes
    if not known(used) or not known(rss):
        return [could_not_look("TG116", "the resident memory", unseen(used_bytes=used, rss_bytes=rss))]
    if rss > 1.5 * used and rss - used > WORTH_MENTIONING:
        return [_fragmented(used, rss)]
    forks = _forks(server)
    if (known(forks) and not forks) or (known(system) and 2 * used <= system):
        return [
            fine("TG116", f"The process holds {size(rss)} for {size(used)} of data.", rss_bytes=rss, used_bytes=used)
        ]
    if not known(forks) or not known(system):
        unknown = unseen(persistence=forks, system_memory_bytes=system)
        return [could_not_look("TG116", "what a snapshot would need", unknown)]
    return [_copy_on_write(used, system)]


def _forks(server: ServerSeen) -> Maybe[bool]:
    """True where the server writes its data to disk from a child process, which copies the pages that change."""
    ways = [server.aof_enabled, server.rdb_save]
    unknown = next((way for way in ways if isinstance(way, Unknown)), None)
    return True if any(known(way) and way for way in ways) else unknown if unknown is not None else False


def _fragmented(used: int, rss: int) -> Finding:
    return Finding(
        rule="TG116",
        level=Level.WARNING,
        sentence=f"The Redis process holds {size(rss)} for {size(used)} of data: the rest is fragmentation, or what a "
        "backlog left behind that is gone by now.",
        evidence={"used_bytes": used, "rss_bytes": rss},
        remedy="redis-cli MEMORY PURGE, or CONFIG SET activedefrag yes where the server has it; a restart frees it for sure.",
    )


def _copy_on_write(used: int, system: int) -> Finding:
    return Finding(
        rule="TG116",
        level=Level.WARNING,
        sentence=f"{size(used)} of data on a machine of {size(system)}: while a snapshot or AOF rewrite runs, changed pages "
        "are copied, and a busy queue changes most of them; that can need as much memory again.",
        evidence={"used_bytes": used, "system_memory_bytes": system},
        remedy="Keep the data below half of the machine's memory: drain the backlog, or move results to another server.",
    )


def _family(case: Case, name: str) -> KeyFamily | None:
    space = case.look.keyspace
    return next((f for f in space.families if f.name == name), None) if isinstance(space, KeyspaceSeen) else None


def lasting_results(case: Case) -> Iterable[Finding]:
    """TG117: results that never expire stay for ever."""
    if isinstance(case.look.keyspace, Unknown):
        return [could_not_look("TG117", "the results", {"results": case.look.keyspace})]
    app, row = case.app, _family(case, "results")
    lasting = row.without_expiry if row else 0
    if app is not None and known(app.result_expires_s) and not app.result_expires_s:
        return [_lasting("Results are kept for ever (result_expires is 0 or None)", row)]
    if not known(lasting):
        return [could_not_look("TG117", "the expiry of results", {"without_expiry": lasting})]
    if row is None or not lasting:
        return [fine("TG117", "Results expire." if row else "No results are kept in this database.")]
    return [
        _lasting(f"{plural(lasting, 'result')} never expire, of {count(row.count)} ({size(row.bytes)} in all)", row)
    ]


def _lasting(what: str, row: KeyFamily | None) -> Finding:
    return Finding(
        rule="TG117",
        level=Level.WARNING,
        sentence=f"{what}: they fill the memory and nobody removes them.",
        evidence={"results": row.count if row else 0, "without_expiry": row.without_expiry if row else None},
        remedy="app.conf.result_expires = 3600; and app.conf.task_ignore_result = True where nobody reads the result.",
    )


def orphaned_replies(case: Case) -> Iterable[Finding]:
    """TG118: answers to remote control that nobody will take any more."""
    space = case.look.keyspace
    orphans = space.orphaned_replies if isinstance(space, KeyspaceSeen) else space
    if not known(orphans):
        return [could_not_look("TG118", "the reply lists", {"orphaned_replies": orphans})]
    if not orphans:
        return [fine("TG118", "No reply list is orphaned.")]
    row = _family(case, "replies")
    return [
        Finding(
            rule="TG118",
            level=Level.INFO,
            sentence=f"{plural(orphans, 'reply list')} of remote control never expire: whoever asked is gone.",
            evidence={
                "orphaned_replies": orphans,
                "bytes": row.bytes if row else None,
                "example": row.example if row else None,
            },
            remedy="redis-cli --scan --pattern '*.reply.celery.pidbox' | xargs redis-cli UNLINK  (while nobody asks)",
        )
    ]
