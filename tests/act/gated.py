"""An application with the gate, and what its messages say in Redis."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from celery import Celery

import tidegate


@contextmanager
def gated(url: str, **settings: Any) -> Iterator[Celery]:
    """An application that publishes through the gate, with the tasks `plain`, `one` and `tree`."""
    with Celery("proj", broker=url, backend=settings.pop("backend", None), set_as_current=False) as app:
        app.conf.update(settings)
        tidegate.install(app)

        @app.task(name="plain", shared=False)
        def plain(*args: Any) -> None:
            """Not guarded."""

        @app.task(name="one", shared=False, overlap="buffer_one")
        def one(*args: Any) -> None:
            """At most one waits."""

        @app.task(name="tree", shared=False, overlap="buffer_one", overlap_scope="firing")
        def tree(*args: Any) -> None:
            """At most one firing waits."""

        yield app


def waiting(client: redis.Redis, queue: str = "celery") -> list[dict[str, Any]]:
    """The headers of the messages in a queue, oldest first."""
    return [json.loads(element)["headers"] for element in reversed(client.lrange(queue, 0, -1))]


def depth(client: redis.Redis, queue: str = "celery") -> int:
    return int(client.llen(queue))
