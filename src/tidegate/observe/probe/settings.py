"""The probe's settings in an application's configuration; a wrong one is refused with the nearest right one."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tidegate.config import APP_SETTINGS, AppSetting
from tidegate.errors import UsageError

_SPACE = "tidegate_"


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """What `tidegate_probe…` says; the meanings are in config.py."""

    on: bool
    every_s: float
    keep_s: int
    max_bytes: int
    max_keys: int


def probe_settings(conf: Any) -> ProbeSettings:
    """The settings of a configuration that is ready; raises UsageError."""
    refuse_unknown(names_in(conf))
    values = {setting.name: _value(setting, conf.get(setting.name, setting.default)) for setting in APP_SETTINGS}
    return ProbeSettings(
        on=bool(values["tidegate_probe"]),
        every_s=float(values["tidegate_probe_every_s"]),
        keep_s=int(values["tidegate_probe_keep_s"]),
        max_bytes=int(values["tidegate_probe_max_bytes"]),
        max_keys=int(values["tidegate_probe_max_keys"]),
    )


def check_early(app: Any) -> None:
    """Refuses wrong settings as far as they are known without loading the configuration, which may import the project."""
    if app.configured:
        probe_settings(app.conf)
        return
    pending: Mapping[str, Any] = getattr(app, "_preconf", None) or {}
    refuse_unknown(_ours(pending))
    for setting in APP_SETTINGS:
        if setting.name in pending:
            _value(setting, pending[setting.name])


def names_in(conf: Any) -> list[str]:
    """The settings of ours that a configuration holds, by their own names; with a namespace they are in capitals."""
    space = f"{getattr(conf, 'prefix', None) or 'CELERY_'}{_SPACE}".upper()
    found: set[str] = set()
    for layer in conf.maps:
        try:
            names = [str(name) for name in layer]
        except Exception:  # noqa: BLE001, S112  a settings object that can't be listed is asked by name
            continue
        found.update(_ours(names))
        found.update(name[len(space) - len(_SPACE) :].lower() for name in names if name.startswith(space))
    return sorted(found)


def _ours(names: Iterable[Any]) -> list[str]:
    return [name for name in map(str, names) if name.startswith(_SPACE)]


def refuse_unknown(names: Iterable[str]) -> None:
    """Raises UsageError for a name that is no setting, with the nearest that is one."""
    known = [setting.name for setting in APP_SETTINGS]
    for name in names:
        if name not in known:
            # What all of them begin with would make any two alike.
            near = difflib.get_close_matches(name[len(_SPACE) :], [one[len(_SPACE) :] for one in known], 1, 0.6)
            hint = f"did you mean {_SPACE + near[0]!r}?" if near else f"there are {', '.join(known)}"
            raise UsageError(f"unknown setting {name!r}: {hint}")


def _value(setting: AppSetting, value: object) -> float | bool:
    if isinstance(setting.default, bool):
        if isinstance(value, bool):
            return value
        raise UsageError(f"expected {setting.name} to be True or False, got {value!r}")
    number = value if isinstance(value, (int, float)) and not isinstance(value, bool) else float("nan")
    if setting.least <= number <= setting.most:
        return number
    raise UsageError(
        f"expected {setting.name} to be a number from {setting.least:g} to {setting.most:g}, got {value!r}"
    )
