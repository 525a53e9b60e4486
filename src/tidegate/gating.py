"""What the gate does at present, in one call: what `tidegate gate status` shows, for programs."""

from tidegate import __version__
from tidegate.act.journal import entries_since
from tidegate.broker.address import Address
from tidegate.broker.client import Broker, connect
from tidegate.facts.diagnosis import GateStatus
from tidegate.facts.journal import JournalEntry
from tidegate.facts.unknown import Maybe, known
from tidegate.model.judgement import judge
from tidegate.observe.look import Options, Progress, take_look

#: The rules about the gate.
_FAMILY = "TG14"
LATEST = 10


def status_at(
    address: Address, options: Options, *, timeout_s: float = 5.0, progress: Progress | None = None
) -> GateStatus:
    """The status of the gate at that address, watched for a window; writes nothing.

    Costs what a diagnosis does. Raises CannotLook where the broker can't be seen.
    """
    with connect(address, timeout_s) as broker:
        found = judge(take_look(broker, options, progress), __version__)
        journal = latest(broker, LATEST)
    return GateStatus(
        tidegate=found.tidegate,
        at=found.at,
        broker=found.broker,
        gate=found.gate,
        journal=journal,
        findings=tuple(finding for finding in found.findings if finding.rule.startswith(_FAMILY)),
        cost=found.cost,
        window_s=found.window_s,
    )


def journal_at(address: Address, most: int, *, timeout_s: float = 5.0) -> Maybe[tuple[JournalEntry, ...]]:
    """The newest decisions at that address, newest first; one command."""
    with connect(address, timeout_s) as broker:
        return latest(broker, most)


def latest(broker: Broker, most: int) -> Maybe[tuple[JournalEntry, ...]]:
    """The newest decisions of the gate, newest first; one command."""
    entries = entries_since(broker, most=most)
    return tuple(reversed(entries)) if known(entries) else entries
