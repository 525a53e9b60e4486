"""The queue that a task's message goes to, as Celery's `send_task` decides; routers that are functions are not called."""

from collections.abc import Mapping
from typing import Any

from tidegate.facts.unknown import Maybe, Unknown

_WHERE = ("queue", "exchange", "routing_key")


class Routes:
    """Task routing of one application; reads its settings once."""

    def __init__(self, app: Any) -> None:
        conf = app.conf
        self._default = (str(conf.task_default_queue), str(conf.task_default_exchange or conf.task_default_queue))
        self._default_key = str(conf.task_default_routing_key or conf.task_default_queue)
        self._routes = list(app.amqp.router.routes or ())
        #: Plain dicts: Celery's own makes up every queue that it is asked for.
        self._queues = {str(name): queue for name, queue in app.amqp.queues.items()}
        self._aliases = {str(name): queue for name, queue in app.amqp.queues.aliases.items()}

    def queues_of(self, task: str, options: Mapping[str, Any]) -> Maybe[tuple[str, ...]]:
        """The queues that get the message of the task sent with these options; none where no queue is bound there."""
        given = {name: options[name] for name in _WHERE if options.get(name) is not None}
        route = self._route(task)
        if isinstance(route, Unknown):
            return (queue_name(given["queue"]),) if given.keys() == {"queue"} else route
        where = {**route, **given}
        if "queue" not in where and (not route or "exchange" not in where):
            where["queue"] = self._default[0]
        return self._bound(where.get("queue"), where.get("exchange"), where.get("routing_key"))

    def _route(self, task: str) -> Mapping[str, Any] | Unknown:
        """What the first route that knows the task says; empty where none does."""
        from celery.app.routes import MapRoute

        for router in self._routes:
            if not isinstance(router, MapRoute):
                return Unknown("task_routes holds a function, and none of the application's code is run")
            route = router(task)
            if route is not None:
                return {name: route[name] for name in _WHERE if route.get(name) is not None}
        return {}

    def _bound(self, queue: object, exchange: object, key: object) -> Maybe[tuple[str, ...]]:
        """A direct exchange that is not fully named is left out, and the message goes to the queue by its name."""
        declared = queue if hasattr(queue, "exchange") else self._declared(queue)
        own = getattr(declared, "exchange", None)
        if getattr(own, "type", "direct") == "fanout":
            return Unknown("its exchange is a fanout: every worker gets a copy")
        if getattr(own, "type", "direct") == "direct" and not (exchange and key):
            return (queue_name(declared if declared is not None else queue),)
        exchange_name = str(getattr(exchange, "name", exchange) or getattr(own, "name", "") or self._default[1])
        used = str(key or getattr(declared, "routing_key", "") or self._default_key)
        # Beat declares the queue that it sends to, and nothing else: of another exchange it does not know the type, and takes
        # it for a direct one.
        topic = getattr(own, "type", "direct") == "topic" and own is not None and own.name == exchange_name
        return tuple(name for name, row in self._queues.items() if _matches(row, exchange_name, used, topic=topic))

    def _declared(self, name: object) -> Any:
        return self._queues.get(str(name)) or self._aliases.get(str(name))


def queue_name(queue: object) -> str:
    """The name of a queue given by name or as a `kombu.Queue`."""
    return str(getattr(queue, "name", queue))


def _matches(queue: Any, exchange: str, key: str, *, topic: bool) -> bool:
    """True where the queue is bound to the exchange under that key."""
    if getattr(queue.exchange, "name", "") != exchange:
        return False
    pattern = str(queue.routing_key or "")
    return _topic(pattern.split("."), key.split(".")) if topic else pattern == key


def _topic(pattern: list[str], words: list[str]) -> bool:
    """A topic's pattern: `*` stands for one word, `#` for any number of them."""
    if not pattern:
        return not words
    head, *rest = pattern
    if head == "#":
        return any(_topic(rest, words[skipped:]) for skipped in range(len(words) + 1))
    return bool(words) and head in ("*", words[0]) and _topic(rest, words[1:])
