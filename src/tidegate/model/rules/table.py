"""The rules by number. A new rule: a function in one of the files beside this one, a row here, a page in docs/rules."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tidegate.facts.diagnosis import Finding
from tidegate.model.case import Case
from tidegate.model.rules import application, beat, content, delivery, flow, gate, memory, relief, spill


@dataclass(frozen=True, slots=True)
class Rule:
    """A number that never changes its meaning, a title, and the function that judges."""

    id: str
    title: str
    check: Callable[[Case], Iterable[Finding]]


RULES = (
    Rule("TG101", "A queue grows", flow.growth),
    Rule("TG102", "A queue stands still", flow.stall),
    Rule("TG103", "Nobody consumes", flow.no_consumer),
    Rule("TG104", "Messages wait long", flow.stale),
    Rule("TG105", "Expired messages wait", content.expired),
    Rule("TG106", "One task dominates", content.dominating),
    Rule("TG107", "Messages repeat one another", content.duplicates),
    Rule("TG108", "A firing fans out", content.fan_out),
    Rule("TG109", "Something can't be read", content.unreadable),
    Rule("TG110", "No memory limit", memory.no_limit),
    Rule("TG111", "An evicting policy", memory.evicting),
    Rule("TG112", "Persistence taken for a bound", memory.persistence),
    Rule("TG113", "Memory is running out", memory.near_limit),
    Rule("TG114", "Redis is at its limit", memory.at_limit),
    Rule("TG115", "Memory that the queues do not explain", memory.unexplained),
    Rule("TG116", "Memory beyond the data", memory.fragmentation),
    Rule("TG117", "Results without expiry", memory.lasting_results),
    Rule("TG118", "Orphaned reply lists", memory.orphaned_replies),
    Rule("TG120", "Held longer than the visibility timeout", delivery.visibility),
    Rule("TG121", "Unacknowledged messages grow", delivery.unacked_growing),
    Rule("TG122", "Task events are on", delivery.task_events),
    Rule("TG130", "DEBUG is on", application.debug),
    Rule("TG131", "Periodic entries without expires", application.without_expires),
    Rule("TG132", "An interval below the edge", application.under_the_edge),
    Rule("TG133", "Two beats", application.two_beats),
    Rule("TG140", "A queue is at its bound", gate.at_bound),
    Rule("TG141", "Messages are refused or dropped", gate.losing),
    Rule("TG142", "The gate opened", gate.opened),
    Rule("TG143", "A mark of a message that is gone", gate.stuck),
    Rule("TG144", "Messages wait beside their queue", gate.spilling),
    Rule("TG145", "Dead letters wait", gate.dead),
    Rule("TG146", "The memory ceiling is near", gate.ceiling),
    Rule("TG147", "A growing queue without a bound", gate.unbounded),
    Rule("TG148", "A mixed fleet", gate.mixed),
    Rule("TG149", "Spilled messages without a keeper", spill.kept),
    Rule("TG150", "No beat leads", beat.no_leader),
    Rule("TG151", "Due times are not sent", beat.not_sent),
    Rule("TG152", "An interval that can't follow the workers", beat.unmeasured),
    Rule("TG153", "An interval at its longest", beat.at_max),
    Rule("TG154", "Paused for long", beat.forgotten),
    Rule("TG155", "An overlap that nobody holds", beat.unheld),
    Rule("TG160", "A queue is set aside", relief.set_aside),
)


def findings(case: Case) -> tuple[Finding, ...]:
    """What every rule says, worst first, then by number."""
    said = [finding for rule in RULES for finding in rule.check(case)]
    return tuple(sorted(said, key=lambda finding: (-finding.level, finding.rule)))
