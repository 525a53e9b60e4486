"""The transports of the gate, under Kombu's own names, so that `connection.info()["transport"]` stays what tools know."""

from typing import Any

from tidegate.act.gate import stock
from tidegate.act.gate.channel import GateChannel, GateSentinelChannel


class GateTransport(stock.redis.Transport):  # type: ignore[misc]
    """`redis://` and `rediss://`."""

    Channel = GateChannel


class GateSentinelTransport(stock.redis.SentinelTransport):  # type: ignore[misc]
    """`sentinel://`."""

    Channel = GateSentinelChannel


_OURS = {
    "redis": f"{__name__}:GateTransport",
    "rediss": f"{__name__}:GateTransport",
    "sentinel": f"{__name__}:GateSentinelTransport",
}
_before: dict[str, Any] = {}


def register() -> bool:
    """From now on new connections of this process go through the gate; whether they did not before."""
    changed = False
    for name, ours in _OURS.items():
        if stock.transports.TRANSPORT_ALIASES.get(name) != ours:
            _before[name] = stock.transports.TRANSPORT_ALIASES.get(name)
            _put(name, ours)
            changed = True
    return changed


def unregister() -> None:
    """New connections are what they were before; those that are open stay, and go by no policies."""
    while _before:
        name, before = _before.popitem()
        if stock.transports.TRANSPORT_ALIASES.get(name) == _OURS[name]:
            _put(name, before)


def _put(name: str, transport: Any) -> None:
    stock.transports.TRANSPORT_ALIASES[name] = transport
    # What was resolved before is kept there.
    stock.transports._transport_cache.pop(name, None)
