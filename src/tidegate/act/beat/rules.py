"""What an application's settings say of its schedule, as a fact for what shows it."""

from collections.abc import Iterable
from typing import Any

from tidegate.act.gate.install import is_installed
from tidegate.act.gate.settings import Policies, policies
from tidegate.errors import UsageError
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
    gate = policies(app)
    return Rules(
        name=name_of(app),
        ours=is_ours(app),
        lease=bool(values["tidegate_beat_lease"]),
        gate_on=gate.on and is_installed(app),
        overlaps={entry.name: overlap for entry in entries if (overlap := _overlap(gate, entry))},
    )


def _overlap(gate: Policies, entry: EntrySeen) -> str:
    try:
        rule = gate.rule_for(entry.task, entry.name)
    except UsageError:
        # Said when a worker starts, and by `wrong`.
        return ""
    return str(rule.said.overlap) if rule is not None and rule.said.overlap is not None else ""
