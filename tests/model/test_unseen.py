"""Whatever can't be seen: nothing breaks, and no rule calls fine what it did not see."""

from dataclasses import fields, replace

import pytest
from builders import (
    HIDDEN,
    a_flow,
    a_gate,
    a_keyspace,
    a_look,
    a_queue,
    a_server,
    an_app,
    an_entry,
    diagnosed,
    simulated_look,
    unacked,
    unread_flow,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import Cluster, Job, fan_out

from tidegate.document import document
from tidegate.facts.diagnosis import Level, State
from tidegate.facts.gate import Bound
from tidegate.facts.gated import GateSeen
from tidegate.facts.seen import FlowSeen, KeyFamily, ServerSeen, UnackedSeen, WorkersSeen
from tidegate.facts.unknown import Unknown
from tidegate.model.rules.table import RULES

#: What each rule needs at least; where one of these is hidden, it must not say that all is well.
NEEDS = {
    "TG101": {"queue.flow"},
    "TG102": {"queue.flow"},
    "TG103": {"workers.heartbeats"},
    "TG104": {"queue.depth"},
    "TG105": {"queue.depth"},
    "TG106": {"queue.depth"},
    "TG107": {"queue.depth"},
    "TG108": {"queue.depth"},
    "TG109": {"queue.depth"},
    "TG110": {"server.maxmemory_bytes"},
    "TG111": {"server.maxmemory_policy"},
    "TG112": {"server.aof_enabled", "server.rdb_save"},
    "TG113": {"server.used_memory_bytes", "server.maxmemory_bytes"},
    "TG114": {"server.used_memory_bytes", "server.maxmemory_bytes"},
    "TG115": {"server.used_memory_bytes", "keyspace", "queue.bytes"},
    "TG116": {"server.used_memory_bytes", "server.rss_bytes"},
    "TG117": {"keyspace"},
    "TG118": {"keyspace"},
    "TG120": {"unacked.count", "unacked.oldest_age_s"},
    "TG121": {"unacked.count", "unacked.growth_per_s"},
    "TG122": {"workers.task_events"},
    "TG130": {"app"},
    "TG131": {"app", "app.entries"},
    "TG132": {"app", "app.entries"},
    "TG133": {"queue.flow"},
    "TG140": {"gate.in_use"},
    "TG141": {"gate.in_use"},
    "TG142": {"gate.in_use"},
    "TG143": {"gate.in_use"},
    "TG144": {"gate.in_use"},
    "TG145": {"gate.in_use"},
    "TG146": {"gate.in_use"},
    "TG147": {"queue.flow"},
    "TG148": {"gate.in_use"},
    "TG149": {"gate.in_use"},
    "TG160": {"queue.set_aside"},
}
#: What they need where the gate is in use, and bounds every queue.
OF_A_GATE = {
    "TG140": {"gate.settings", "queue.depth"},
    "TG141": {"gate.counts", "gate.counts_before"},
    "TG142": {"gate.counts", "gate.counts_before"},
    "TG143": {"gate.marks"},
    "TG146": {"gate.settings", "server.used_memory_bytes"},
    "TG147": {"gate.settings"},
    "TG148": {"gate.workers", "workers.heartbeats"},
    "TG149": {"gate.keeper"},
}


def maybe_fields(kind):
    return [field.name for field in fields(kind) if "Maybe" in str(field.type) or "Unknown" in str(field.type)]


SERVER = [f"server.{name}" for name in maybe_fields(ServerSeen)]
UNACKED = [f"unacked.{name}" for name in maybe_fields(UnackedSeen)]
GATE = [f"gate.{name}" for name in maybe_fields(GateSeen)]
WORKERS = [f"workers.{name}" for name in maybe_fields(WorkersSeen)]
REST = ["queue.flow", "queue.depth", "queue.bytes", "queue.census", "queue.set_aside", "keyspace", "pushes_per_s", "app",
        "app.entries", "app.debug", "app.result_expires_s"]  # fmt: skip
EVERYTHING = [*SERVER, *UNACKED, *WORKERS, *GATE, *REST]

BASES = [
    a_look(),
    a_look(a_queue().with_flow(a_flow(10, 5, depth=100)).with_census(), unacked=unacked(20)),
    a_look(a_queue().with_flow(a_flow(1, 0, depth=100)).with_census(), a_queue("mail"), app=an_app(an_entry())),
    a_look(
        server=a_server(maxmemory_bytes=0, aof_enabled=True),
        keyspace=a_keyspace(KeyFamily(name="results", count=3, bytes=99)),
    ),
    simulated_look(Cluster().every(1.0, fan_out(20, 0.06)).watch(20, 10), app=an_app(an_entry(every_s=0.01))),
    simulated_look(Cluster().burst(15, 300, Job(run_s=0.1)).watch(10, 10)),
    a_look(a_queue().with_flow(a_flow(10, 5, depth=100)).with_census(), gate=a_gate({"celery": Bound(max_length=100)})),
]  # fmt: skip


def hide(look, what):
    """The look without that one fact."""
    part, _, name = what.partition(".")
    if part == "queue":
        return HIDE_IN_QUEUES[name](look)
    if part == "app" and name:
        return replace(look, app=replace(look.app, **{name: HIDDEN})) if look.app else look
    if not name:
        return replace(look, **{part: None if part == "app" else HIDDEN})
    return replace(look, **{part: replace(getattr(look, part), **{name: HIDDEN})})


HIDE_IN_QUEUES = {
    "flow": lambda look: replace(look, flows={name: unread_flow() for name in look.flows}),
    "depth": lambda look: replace(look, queues=tuple(replace(q, depth=HIDDEN, by_priority={}) for q in look.queues)),
    "bytes": lambda look: replace(
        look, queues=tuple(replace(q, bytes=HIDDEN, bytes_per_message=HIDDEN) for q in look.queues)
    ),
    "census": lambda look: replace(look, censuses={}),
    "set_aside": lambda look: replace(look, queues=tuple(replace(q, set_aside=HIDDEN) for q in look.queues)),
}


def hidden(look, whats):
    for what in sorted(whats):
        look = hide(look, what)
    return look


def test_a_look_that_saw_nothing_finds_nothing_fine():
    for base in BASES:
        diagnosis = diagnosed(hidden(base, EVERYTHING))
        assert [finding.rule for finding in diagnosis.findings if finding.level is Level.OK] == []
        assert {finding.rule for finding in diagnosis.findings} == {rule.id for rule in RULES}
        assert all(finding.unknown for finding in diagnosis.findings)
        assert diagnosis.verdict is State.UNKNOWN


@settings(max_examples=300, deadline=None)
@given(base=st.sampled_from(BASES), whats=st.sets(st.sampled_from(EVERYTHING)))
def test_no_rule_calls_fine_what_it_could_not_see(base, whats):
    diagnosis = diagnosed(hidden(base, whats))
    fine = {finding.rule for finding in diagnosis.findings if finding.level is Level.OK}

    needs = NEEDS | OF_A_GATE if base.gate.in_use else NEEDS
    assert [rule for rule in fine if needs[rule] & whats] == []
    assert all(finding.level is Level.INFO for finding in diagnosis.findings if finding.unknown)
    assert {finding.rule for finding in diagnosis.findings} == {rule.id for rule in RULES}


@settings(max_examples=200, deadline=None)
@given(base=st.sampled_from(BASES), whats=st.sets(st.sampled_from(EVERYTHING)))
def test_every_null_has_its_reason_or_means_never(base, whats):
    shown = document(diagnosed(hidden(base, whats)))

    assert [path for path in nulls(shown) if path[-1] not in MEANS_NEVER] == []


#: Fields whose null means "never" or "none" where no reason stands beside it; in evidence, that there is none to name.
MEANS_NEVER = {
    "drain_s", "full_in_s", "remedy", "messages_per_firing", "fires", "fired_by", "root", "task",
    "edge_interval_s", "capacity_factor", "children_per_root", "without_expiry", "example", "bytes",
    "max_length", "max_length_bytes", "overflow", "share", "dead_letter", "dead_letters", "ceiling_bytes", "keeper",
}  # fmt: skip


def nulls(value, path=()):
    """Paths to every null that no `unknown` beside it explains."""
    if isinstance(value, dict):
        reasons = value.get("unknown") or {}
        for key, item in value.items():
            if item is None and key not in reasons:
                yield (*path, key)
            yield from nulls(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from nulls(item, (*path, number))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(BASES), min_size=1, max_size=2), st.sets(st.sampled_from(EVERYTHING), max_size=3))
def test_the_verdict_is_never_better_than_a_queue_that_could_not_be_seen(bases, whats):
    diagnosis = diagnosed(hidden(bases[0], whats))

    if any(queue.state is State.UNKNOWN for queue in diagnosis.queues):
        assert diagnosis.verdict in (State.UNKNOWN, State.GROWING, State.STALLED)


@pytest.mark.parametrize("flow", [FlowSeen(), FlowSeen(problem=Unknown("refused")), a_flow(0, 0, window_s=0.1)])
def test_an_empty_flow_breaks_nothing(flow):
    assert diagnosed(a_look(a_queue().with_depth(5).with_flow(flow))).queues[0].name == "celery"


def test_a_queue_without_a_flow_is_unknown():
    look = replace(a_look(a_queue().with_depth(5)), flows={})

    assert diagnosed(look).verdict is State.UNKNOWN
