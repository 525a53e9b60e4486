"""Kombu's pools of connections, which keep the transport that a connection was made with, by the broker's address."""

from kombu import pools


def renew_idle_connections() -> bool:
    """Closes what waits in the pools of this process, so that the next ones are made anew; whether some are in use.

    One that is in use at the moment comes back as it is.
    """
    used = False
    for pool in list(pools.connections.values()):
        used = used or bool(pool._dirty)
        with pool._resource.mutex:
            idle = list(pool._resource.queue)
            pool._resource.queue.clear()
        for connection in idle:
            pool.collect_resource(connection)
        pool.setup()
    return used
