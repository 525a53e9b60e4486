"""What looking cost the server: commands, and the time that it took for them."""

from collections.abc import Mapping

from tidegate.broker.client import Broker
from tidegate.broker.reads import CommandTime, command_times
from tidegate.facts.seen import Cost
from tidegate.facts.unknown import Maybe, Unknown, known


def cost_between(
    broker: Broker, first: Maybe[Mapping[str, str]], end: Maybe[Mapping[str, str]], elapsed_s: float
) -> Cost:
    """Our calls of each command times what the server took for one of them, between two readings of INFO."""
    commands = sum(broker.spent.values())
    if not known(first) or not known(end):
        return Cost(commands=commands, server_ms=Unknown("INFO could not be read"), elapsed_s=elapsed_s)
    before, after = command_times(first), command_times(end)
    usec = sum(_share(calls, before.get(name), after.get(name)) for name, calls in broker.spent.items())
    return Cost(commands=commands, server_ms=usec / 1000, elapsed_s=elapsed_s)


def _share(calls: int, before: CommandTime | None, after: CommandTime | None) -> float:
    if after is None:
        return 0.0
    since = before or CommandTime(0, 0)
    theirs = max(after.calls - since.calls, 1)
    return (after.usec - since.usec) * min(1.0, calls / theirs)
