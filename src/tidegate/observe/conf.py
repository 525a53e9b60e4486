"""The `tidegate_…` settings in an application's configuration; a wrong one is refused with the nearest right one."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from tidegate.config import APP_SETTING, APP_SETTINGS, AppSetting, Holds
from tidegate.errors import UsageError

_SPACE = "tidegate_"
_LONGEST_TEXT = 100


def values_in(conf: Any) -> dict[str, Any]:
    """Every setting of ours by its name, in a configuration that is ready, or its default; raises UsageError."""
    refuse_unknown(names_in(conf))
    return {setting.name: checked(setting, conf.get(setting.name, setting.default)) for setting in APP_SETTINGS}


def early_values(app: Any) -> dict[str, Any]:
    """The settings of ours that are known without loading the configuration, which may import the project.

    All of them where it is loaded. Raises UsageError.
    """
    if app.configured:
        return values_in(app.conf)
    pending: Mapping[str, Any] = getattr(app, "_preconf", None) or {}
    refuse_unknown(_ours(pending))
    return {name: checked(APP_SETTING[name], pending[name]) for name in _ours(pending)}


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


def refuse_unknown(names: Iterable[str]) -> None:
    """Raises UsageError for a name that is no setting, with the nearest that is one."""
    # What all of them begin with would make any two alike.
    known = {name.removeprefix(_SPACE): name for name in APP_SETTING}
    for name in names:
        if name not in APP_SETTING:
            near = difflib.get_close_matches(name.removeprefix(_SPACE), known, 1, 0.6)
            hint = f"did you mean {known[near[0]]!r}?" if near else f"there are {', '.join(APP_SETTING)}"
            raise UsageError(f"unknown setting {name!r}: {hint}")


def nearest(name: object, known: Iterable[str]) -> str:
    """What to say of a name that is none of these: the nearest one, or all of them."""
    names = [str(one) for one in known]
    near = difflib.get_close_matches(str(name), names, 1, 0.6)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(map(repr, names))}"


def checked(setting: AppSetting, value: object) -> Any:
    """The value, if it is of the kind that the setting holds; a table is checked no deeper. Raises UsageError."""
    if setting.holds is Holds.SWITCH:
        fits, expected = isinstance(value, bool), "True or False"
    elif setting.holds is Holds.NUMBER:
        fits = _is_between(value, setting)
        expected = f"a number from {setting.least:g} to {setting.most:g}"
    elif setting.holds is Holds.MAYBE:
        fits = value is None or _is_between(value, setting)
        expected = f"None or a number from {setting.least:g} to {setting.most:g}"
    elif setting.holds is Holds.TEXT:
        fits, expected = (
            isinstance(value, str) and len(value) <= _LONGEST_TEXT,
            f"a text of at most {_LONGEST_TEXT} letters",
        )
    elif setting.holds is Holds.TABLE:
        fits, expected = value is None or isinstance(value, Mapping), "a mapping of names to mappings"
    else:
        fits = value is None or (isinstance(value, (int, float, str)) and not isinstance(value, bool))
        expected = "a share such as 0.8, a number of bytes, or a size such as '6GB'"
    if fits:
        return value
    raise UsageError(f"expected {setting.name} to be {expected}, got {value!r}")


def _is_between(value: Any, setting: AppSetting) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and setting.least <= value <= setting.most


def _ours(names: Iterable[Any]) -> list[str]:
    return [name for name in map(str, names) if name.startswith(_SPACE)]
