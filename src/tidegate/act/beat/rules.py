"""What an application's settings say of its schedule, as a fact for what shows it."""

from collections.abc import Iterable
from typing import Any

from tidegate.act.beat.behind import is_gated
from tidegate.act.beat.policies import policy_of
from tidegate.act.gate.settings import Policies, policies
from tidegate.errors import UsageError
from tidegate.facts.beat import EntryPolicy
from tidegate.facts.scheduled import Rules
from tidegate.facts.seen import EntrySeen
from tidegate.observe.conf import values_in
from tidegate.observe.schedule.scheduler import is_ours


def name_of(app: Any) -> str:
    """The name under which the beats of the application share their schedule."""
    return str(values_in(app.conf)["tidegate_beat_name"] or app.main or "celery")


def rules_of(app: Any, entries: Iterable[EntrySeen]) -> Rules:
    """What holds for these entries; raises UsageError where the settings are wrong."""
    values = values_in(app.conf)
    gate, listed = _gate(app), list(entries)
    read = {entry.name: _policy(app, entry) for entry in listed}
    return Rules(
        name=name_of(app),
        ours=is_ours(app),
        lease=bool(values["tidegate_beat_lease"]),
        gate_on=is_gated(app),
        results=type(app.backend).__name__ != "DisabledBackend",
        policies={name: policy for name, policy in read.items() if isinstance(policy, EntryPolicy)},
        overlaps={entry.name: overlap for entry in listed if (overlap := _overlap(gate, entry))},
        wrong={name: why for name, why in read.items() if isinstance(why, str)},
    )


def _policy(app: Any, entry: EntrySeen) -> EntryPolicy | str:
    """What holds for the entry; why nothing does where what speaks of it is wrong."""
    try:
        return policy_of(app, entry)
    except UsageError as error:
        return str(error)


def _gate(app: Any) -> Policies | None:
    """None where a setting is wrong: of which entry, its own trouble says."""
    try:
        return policies(app)
    except UsageError:
        return None


def _overlap(gate: Policies | None, entry: EntrySeen) -> str:
    try:
        rule = gate.rule_for(entry.task, entry.name) if gate is not None else None
    except UsageError:
        # Said when a worker starts, and by `wrong`.
        return ""
    return str(rule.said.overlap) if rule is not None and rule.said.overlap is not None else ""
