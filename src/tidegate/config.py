"""Every setting, declared once: what the environment can give, and what an application's `app.conf` can."""

from dataclasses import dataclass
from enum import StrEnum


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


class Holds(StrEnum):
    """What a setting of an application is made of."""

    SWITCH = "switch"
    NUMBER = "number"
    MEMORY = "memory"  # a share of the server's limit, or bytes
    TABLE = "table"  # a mapping of names to mappings
    TEXT = "text"
    MAYBE = "maybe"  # a number, or None


@dataclass(frozen=True, slots=True)
class AppSetting:
    """One name in `app.conf`; with Django's namespace it is `CELERY_` and the name in capitals.

    A number has to lie from `least` to `most`; both are 0 where the setting holds something else.
    """

    name: str
    default: float | bool | str | None
    sentence: str
    holds: Holds = Holds.NUMBER
    least: float = 0.0
    most: float = 0.0


APP_SETTINGS = (
    AppSetting("tidegate_probe", True, "Whether the probe measures in workers and stamps messages.", Holds.SWITCH),
    AppSetting("tidegate_probe_every_s", 10.0, "Seconds between two writes of a worker to Redis.", least=1, most=30),
    AppSetting(
        "tidegate_probe_keep_s", 90_000, "Seconds that what was measured is kept.", least=3600, most=31 * 86_400
    ),
    AppSetting(
        "tidegate_probe_max_bytes", 4_000_000, "Bytes of Redis memory that it may take in all.", least=100_000, most=1e9
    ),
    AppSetting(
        "tidegate_probe_max_keys", 2000, "Combinations of task, queue and entry told apart.", least=20, most=100_000
    ),
    AppSetting("tidegate_gate", True, "Whether the gate decides what enters a queue.", Holds.SWITCH),
    AppSetting("tidegate_queues", None, "The bounds of queues.", Holds.TABLE),
    AppSetting("tidegate_tasks", None, "The overlap of tasks.", Holds.TABLE),
    AppSetting("tidegate_entries", None, "The overlap and the times of the entries of the schedule.", Holds.TABLE),
    AppSetting("tidegate_gate_memory", None, "The server's memory from which on nothing is let in.", Holds.MEMORY),
    AppSetting("tidegate_gate_timeout_s", 5.0, "Seconds that a publish waits for the server.", least=0.1, most=3600),
    AppSetting(
        "tidegate_gate_block_s",
        30.0,
        "Seconds that a publish waits for room where the overflow is block.",
        least=0,
        most=86_400,
    ),
    AppSetting(
        "tidegate_beat_lease", True, "Whether beats that share a schedule share a lease: one leads.", Holds.SWITCH
    ),
    AppSetting(
        "tidegate_beat_name", "", "The name under which beats share a schedule; empty: the application's.", Holds.TEXT
    ),
    AppSetting(
        "tidegate_beat_spread", True, "Whether entries of one interval come due one after another.", Holds.SWITCH
    ),
    AppSetting(
        "tidegate_target_utilisation",
        0.8,
        "The busy share of the slots that an interval which follows the workers aims at.",
        least=0.05,
        most=1,
    ),
    AppSetting(
        "tidegate_wait_target_s",
        None,
        "Seconds that other tasks may wait on average beside such an entry; None: no target.",
        Holds.MAYBE,
        least=0.001,
        most=86_400,
    ),
)

#: By name.
APP_SETTING = {setting.name: setting for setting in APP_SETTINGS}
