"""Every setting that the environment can give, declared once: name, what it means, and its default."""

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
