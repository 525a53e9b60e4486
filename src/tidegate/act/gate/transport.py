"""The gate's transports: Kombu's own for Redis, with the gate's channel."""

from kombu.transport import redis


class Transport(redis.Transport):
    """In place of Kombu's `redis` and `rediss`."""


class SentinelTransport(redis.SentinelTransport):
    """In place of Kombu's `sentinel`."""
