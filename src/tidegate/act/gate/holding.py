"""What a worker holds: stub until the real one is merged."""

from typing import Any

from kombu.transport import redis, virtual


class GateQoS(redis.QoS):
    """Knows of messages that were registered when they were fetched."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Stock's, without its round trip where the fetch has registered the message."""
        if getattr(self.channel, "fetched", None) == delivery_tag:
            virtual.QoS.append(self, message, delivery_tag)
        else:
            super().append(message, delivery_tag)
