"""The channels of the gate: Kombu's own for Redis and Sentinel, with a gate before the queues.

Each side is a mixin: `Admitting` publishes, `Declaring` knows of queues, `Fetching` takes, `Restoring` puts back. What
none of them speaks of is Kombu's.
"""

from typing import Any

from tidegate.act.gate import stock
from tidegate.act.gate.admitting import Admitting
from tidegate.act.gate.declaring import Declaring
from tidegate.act.gate.fetching import Fetching
from tidegate.act.gate.holding import GateQoS, Restoring
from tidegate.broker.patience import patient


class Patient(stock.Channel):  # type: ignore[misc]
    """Mixin: the connections of the channel give up on a silent server when a publish has waited long enough."""

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        parameters: dict[str, Any] = super()._connparams(asynchronous=asynchronous)
        parameters["connection_class"] = patient(parameters["connection_class"])
        return parameters


class GateChannel(Admitting, Declaring, Fetching, Restoring, Patient, stock.redis.Channel):  # type: ignore[misc]
    """The channel for one server."""

    QoS = GateQoS
    connection_class = patient(stock.redis.Channel.connection_class)
    connection_class_ssl = patient(stock.redis.Channel.connection_class_ssl)


class GateSentinelChannel(Admitting, Declaring, Fetching, Restoring, Patient, stock.redis.SentinelChannel):  # type: ignore[misc]
    """The channel for the master that sentinels name."""

    QoS = GateQoS
    connection_class = patient(stock.redis.SentinelChannel.connection_class)
    connection_class_ssl = patient(stock.redis.SentinelChannel.connection_class_ssl)

    def _sentinel_managed_pool(self, asynchronous: bool = False) -> Any:
        pool = super()._sentinel_managed_pool(asynchronous)
        for sentinel in pool.sentinel_manager.sentinels:
            asked = sentinel.connection_pool
            asked.connection_class = patient(asked.connection_class, one_of_many=True)
        return pool
