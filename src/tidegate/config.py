"""Every setting, declared once: what the environment can give, and what an application's `app.conf` can."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable; the option of the command line that it stands in for wins over it."""

    env: str
    option: str
    default: str
    sentence: str


SETTINGS = (
    Setting("TIDEGATE_BROKER_URL", "BROKER_URL", "redis://localhost:6379/0", "The broker to look at."),
    Setting("TIDEGATE_TRANSPORT_OPTIONS", "--transport-options", "{}", "Kombu's transport options, as JSON."),
    Setting("TIDEGATE_TIMEOUT", "--timeout", "5", "Seconds that any single answer of the server may take."),
    Setting("TIDEGATE_WINDOW", "--window", "10", "Seconds to watch the flow for."),
    Setting("TIDEGATE_SERVER_BINARY", "", "", "The Valkey or Redis server program that `tidegate demo` starts."),
)


@dataclass(frozen=True, slots=True)
class AppSetting:
    """One name in `app.conf`; with Django's namespace it is `CELERY_` and the name in capitals.

    A number has to lie from `least` to `most`; a default of True or False makes it a switch.
    """

    name: str
    default: float | bool
    least: float
    most: float
    sentence: str


APP_SETTINGS = (
    AppSetting("tidegate_probe", True, 0, 1, "Whether the probe measures in workers and stamps messages."),
    AppSetting("tidegate_probe_every_s", 10.0, 1, 30, "Seconds between two writes of a worker to Redis."),
    AppSetting("tidegate_probe_keep_s", 90_000, 3600, 31 * 86_400, "Seconds that what was measured is kept."),
    AppSetting("tidegate_probe_max_bytes", 4_000_000, 100_000, 1e9, "Bytes of Redis memory that it may take in all."),
    AppSetting("tidegate_probe_max_keys", 2000, 20, 100_000, "Combinations of task, queue and entry told apart."),
)
