"""Every field of the machine output stands on its page, and nothing that is gone does."""

from dataclasses import fields

import pytest

from test_docs import first_cells, section
from tidegate.facts.backups import BackedUp, Damaged, Inspected, Restored
from tidegate.facts.diagnosis import (
    BrokerReport,
    Diagnosis,
    Finding,
    GateStatus,
    MemoryReport,
    QueueReport,
    TaskReport,
)
from tidegate.facts.gated import CeilingReport, FiringsSeen, FleetReport, GateReport, MarkSeen, QueueGated, WorkerGated
from tidegate.facts.journal import JournalEntry
from tidegate.facts.lint import EntryReport, Lint, SchedulerReport
from tidegate.facts.message import Message
from tidegate.facts.planned import (
    Curve,
    EntryPlan,
    HostsLost,
    Point,
    PoolPlan,
    ProbeReport,
    Range,
    TaskMeasured,
)
from tidegate.facts.planned import Plan as IntervalPlan
from tidegate.facts.relief import Relief, Relieved, Selected
from tidegate.facts.rescued import Rescued
from tidegate.facts.scheduled import Acted, EntryRow, EntryShown, Leader, Schedule
from tidegate.facts.seen import CensusSeen, Cost, TaskCount
from tidegate.facts.simulated import (
    Account,
    EntrySimulated,
    Mean,
    MemorySimulated,
    PoolSimulated,
    QueueSimulated,
    Simulated,
    Spread,
    TaskSimulated,
)
from tidegate.facts.unacked import DeadWorker, HeldMessage, PutBack

#: The section of json.md for every dataclass of the machine output.
JSON_SECTIONS = {
    "`tidegate doctor --json`": Diagnosis,
    "broker": BrokerReport,
    "queues": QueueReport,
    "tasks": TaskReport,
    "memory": MemoryReport,
    "gate": GateReport,
    "bounded queues": QueueGated,
    "memory ceiling": CeilingReport,
    "marks": MarkSeen,
    "firings": FiringsSeen,
    "gated workers": WorkerGated,
    "fleet": FleetReport,
    "`tidegate gate status --json`": GateStatus,
    "`tidegate unacked list --json`": HeldMessage,
    "`tidegate unacked put-back --json`": PutBack,
    "dead workers": DeadWorker,
    "`tidegate gate journal --json`": JournalEntry,
    "`tidegate schedule list --json`": Schedule,
    "leader": Leader,
    "scheduled entries": EntryRow,
    "`tidegate schedule show --json`": EntryShown,
    "`tidegate schedule set --json`": Acted,
    "findings": Finding,
    "cost": Cost,
    "`tidegate peek --json`": Message,
    "`tidegate census --json`": CensusSeen,
    "by_task": TaskCount,
    "`tidegate backup --json`": BackedUp,
    "`tidegate inspect --json`": Inspected,
    "damage": Damaged,
    "`tidegate restore --json`": Restored,
    "`tidegate plan --json`": IntervalPlan,
    "pools": PoolPlan,
    "entries": EntryPlan,
    "min_safe_interval_s": Range,
    "with_hosts_lost": HostsLost,
    "measured tasks": TaskMeasured,
    "probe": ProbeReport,
    "curves": Curve,
    "points": Point,
    "`tidegate simulate --json`": Simulated,
    "messages": Account,
    "means": Mean,
    "spreads": Spread,
    "simulated queues": QueueSimulated,
    "simulated tasks": TaskSimulated,
    "simulated entries": EntrySimulated,
    "simulated pools": PoolSimulated,
    "simulated memory": MemorySimulated,
    "`tidegate lint --json`": Lint,
    "judged entries": EntryReport,
    "schedulers": SchedulerReport,
    "`tidegate purge --json`": Relieved,
    "`tidegate rescue --json`": Rescued,
    "selected": Selected,
    "`tidegate relief list --json`": Relief,
}


@pytest.mark.parametrize(("title", "kind"), JSON_SECTIONS.items(), ids=lambda value: getattr(value, "__name__", None))
def test_every_field_of_the_machine_output_stands_in_its_section_and_no_other_does(title, kind):
    assert sorted(first_cells(section("reference/json.md", title))) == sorted(field.name for field in fields(kind))
