"""Tidegate: sees, explains and prevents Celery backlogs on Redis and Valkey."""

from typing import Any

from tidegate.errors import QueueFull

__all__ = ["QueueFull", "install"]
__version__ = "0.1.0"


def install(app: Any, *, gate: bool = True) -> None:
    """Installs the probe and the gate into a Celery application.

    Its messages are stamped and its workers measure their runs; and every message is published through the gate, which
    bounds queues and keeps what is pending from being published twice, where the settings say so. `gate=False`: the
    probe alone. Call it where the application is made, in every process that publishes or works; a second call changes
    nothing. It does no I/O.
    Raises `tidegate.errors.UsageError` for an unknown or wrong `tidegate_…` setting, with the nearest right name.
    """
    # Imported here, or `import tidegate` would load Celery.
    from tidegate.observe.probe.install import install_probe

    install_probe(app)
    if gate:
        from tidegate.act.gate.install import install_gate

        install_gate(app)
