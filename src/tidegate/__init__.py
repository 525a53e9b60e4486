"""Tidegate: sees, explains and prevents Celery backlogs on Redis and Valkey."""

from typing import Any

__version__ = "0.1.0"


def install(app: Any, *, gate: bool = True) -> None:
    """Installs the probe into a Celery application: its messages are stamped, and its workers measure their runs.

    Call it where the application is made, in every process that publishes or works; a second call changes nothing.
    It does no I/O. `gate` is for a later version, which will also bound queues: in this one it has no effect.
    Raises `tidegate.errors.UsageError` for an unknown or wrong `tidegate_…` setting, with the nearest right name.
    """
    # Imported here, or `import tidegate` would load Celery.
    from tidegate.observe.probe.install import install_probe

    install_probe(app)
