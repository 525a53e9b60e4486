"""Kombu's own Redis transport, which ours is made of."""

from typing import TYPE_CHECKING, Any

import kombu.transport
import kombu.transport.redis

# What is written of these modules elsewhere knows little of their inside, which is what we build on.
redis: Any = kombu.transport.redis
transports: Any = kombu.transport

#: What the mixins of our channels stand before.
if TYPE_CHECKING:
    Channel = Any
else:
    Channel = object
