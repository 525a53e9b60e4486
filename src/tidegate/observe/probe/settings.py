"""The probe's settings in an application's configuration."""

from dataclasses import dataclass
from typing import Any

from tidegate.observe.conf import values_in


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """What `tidegate_probe…` says; the meanings are in config.py."""

    on: bool
    every_s: float
    keep_s: int
    max_bytes: int
    max_keys: int


def probe_settings(conf: Any) -> ProbeSettings:
    """The settings of a configuration that is ready; raises UsageError for a wrong or unknown one."""
    values = values_in(conf)
    return ProbeSettings(
        on=bool(values["tidegate_probe"]),
        every_s=float(values["tidegate_probe_every_s"]),
        keep_s=int(values["tidegate_probe_keep_s"]),
        max_bytes=int(values["tidegate_probe_max_bytes"]),
        max_keys=int(values["tidegate_probe_max_keys"]),
    )
