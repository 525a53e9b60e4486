"""Queues by name: which one a message came from, and the lists in Redis of those that a worker consumes."""

from typing import Any

from tidegate.broker.keys import Layout

#: Kombu's steps of priority, unless the transport options say otherwise.
_STEPS = (0, 3, 6, 9)
_MOST_KNOWN = 1000


class QueueNames:
    """The queue of an exchange and a routing key, by the application's own declarations."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._known: dict[tuple[str, str], str] = {}

    def queue_of(self, exchange: str, routing_key: str) -> str:
        """The queue; without an exchange, as Celery publishes, its name is the routing key."""
        if not exchange:
            return routing_key
        known = self._known.get((exchange, routing_key))
        if known is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            known = self._known[exchange, routing_key] = self._look_up(exchange, routing_key)
        return known

    def _look_up(self, exchange: str, routing_key: str) -> str:
        bound = [queue for queue in self._app.amqp.queues.values() if getattr(queue.exchange, "name", "") == exchange]
        exact = [queue.name for queue in bound if queue.routing_key == routing_key]
        if exact:
            return str(exact[0])
        # A pattern of a topic exchange; told where only one queue can be meant.
        return str(bound[0].name) if len(bound) == 1 else routing_key


def lists_of(app: Any, layout: Layout) -> dict[str, list[str]]:
    """The lists of every queue that the application's worker consumes, by queue."""
    options = app.conf.broker_transport_options or {}
    steps = options.get("priority_steps") or _STEPS
    return {name: [layout.list_of(name, int(step)) for step in steps] for name in list(app.amqp.queues.consume_from)}
