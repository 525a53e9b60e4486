"""The result backend on a frozen server: Celery subscribes to a result before it publishes, and would wait minutes there.

The connections of a Redis backend get the same budget as the broker's while a publish is under way, and are Celery's
own otherwise. A backend behind sentinels, and every other kind, is left as it is.
"""

from typing import Any

from tidegate.broker.patience import patient

_PLACE = "_get_backend"


def watch_results(app: Any) -> None:
    """From now on a backend that this application makes has such connections; a second time changes nothing."""
    if _PLACE in app.__dict__:
        return
    make = getattr(app, _PLACE)

    def made() -> Any:
        return _patient(make())

    setattr(app, _PLACE, made)
    # `_backend` is the one that is there already, if any.
    if app._backend is not None:
        _patient(app._backend)


def unwatch_results(app: Any) -> None:
    """Backends that are made later are Celery's own again."""
    app.__dict__.pop(_PLACE, None)


def _patient(backend: Any) -> Any:
    parameters = getattr(backend, "connparams", None)
    if isinstance(parameters, dict) and not hasattr(backend, "_get_sentinel_instance"):
        parameters["connection_class"] = patient(parameters.get("connection_class"))
        if (client := backend.__dict__.get("client")) is not None:
            pool = client.connection_pool
            pool.connection_class = patient(pool.connection_class)
    return backend
