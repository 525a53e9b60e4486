"""Which policies a connection goes by: those of the application it belongs to.

Where the gate is installed in one application of a process, all connections of that process are its own. Where there
are more, a connection belongs to the one whose broker it speaks to; one that belongs to none goes by nothing.
"""

from collections.abc import Callable
from typing import Any, Protocol

from tidegate.facts.gate import Bound


class Policies(Protocol):
    """What the channel asks of an application's settings."""

    @property
    def on(self) -> bool:
        """Whether the gate is switched on."""

    @property
    def ceiling(self) -> float:
        """The memory ceiling: a share of maxmemory as a float up to 1.0, or bytes; 0 for none."""

    @property
    def timeout_s(self) -> float:
        """How long a silent server is waited for."""

    def bound_of(self, queue: str) -> Bound | None:
        """The bound of a queue, None where it has none."""

    def is_named(self, queue: str) -> bool:
        """Whether the settings or a declaration speak of this queue; `"*"` alone does not reach what is no task."""


class Known:
    """The applications with a gate in this process."""

    def __init__(self) -> None:
        self._apps: dict[Any, Callable[[], Policies]] = {}
        #: Changes whenever an application comes or goes.
        self.edition = 0

    def note(self, app: Any, policies: Callable[[], Policies]) -> None:
        """From now on connections of this application go by these policies; they are asked for at the first publish."""
        self._apps[app] = policies
        self.edition += 1

    def forget(self, app: Any | None = None) -> None:
        """Its connections go by nothing any more; without an application, all of them."""
        if app is None:
            self._apps.clear()
        else:
            self._apps.pop(app, None)
        self.edition += 1

    def of(self, client: Any) -> tuple[Any, Policies] | None:
        """The application of a `kombu.Connection` and its policies; None where there is none, or its gate is off.

        Raises UsageError for settings that are wrong.
        """
        apps = list(self._apps)
        if len(apps) > 1:
            apps = [app for app in apps if _place(client) in _places(app)]
        if not apps:
            return None
        policies = self._apps[apps[0]]()
        return (apps[0], policies) if policies.on else None


known = Known()


def _place(client: Any) -> tuple[Any, ...]:
    """The broker that a connection names, as one thinks of it who wrote the URL."""
    return client.transport_cls, client.hostname, client.port, client.virtual_host, client.userid


def _places(app: Any) -> set[tuple[Any, ...]]:
    return {_place(app.connection_for_write()), _place(app.connection_for_read())}
