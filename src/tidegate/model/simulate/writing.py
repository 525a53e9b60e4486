"""A scenario as a file: what differs from the defaults, in the order of the documentation; `read_scenario` reads it back."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any

from tidegate.facts.laws import LAWS, Constant
from tidegate.facts.scenario import HostEvent, Scenario
from tidegate.model.simulate.reading import LISTS, TABLES
from tidegate.model.simulate.values import key_of

_NAMES: dict[type, str] = {kind: name for name, kind in LAWS.items()}


def write_scenario(scenario: Scenario) -> str:
    """The text of a scenario file; notes stand in it as comments."""
    parts = [[f"# {note}" for note in scenario.notes]] if scenario.notes else []
    parts += [[f"[{name}]", *_lines(getattr(scenario, name), everything=name == "run")] for name in TABLES]
    for name in LISTS:
        parts += [[f"[[{name}]]", *_lines(item)] for item in getattr(scenario, name)]
    return "\n".join("\n".join(part) + "\n" for part in parts if len(part) > 1 or part[0].startswith("#"))


def _lines(item: Any, *, everything: bool = False) -> Iterator[str]:
    if isinstance(item, HostEvent):
        yield f"at = {item.at_s!r}"
        yield f"{item.kind} = {_text(item.host)}"
        if item.count is not None:
            yield f"count = {item.count}"
        return
    for field in fields(item):
        value = getattr(item, field.name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if value is not None and (everything or value != default):
            yield f"{key_of(field.name)} = {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return _text(value.value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, Mapping):
        return _table(value)
    if isinstance(value, Constant):
        return _value(value.s)
    return _table(_keys(value)) if is_dataclass(value) else repr(value)


def _keys(value: Any) -> dict[str, object]:
    """Of a law or a retry."""
    law = {"law": _NAMES[type(value)]} if type(value) in _NAMES else {}
    return {**law, **{key_of(field.name): getattr(value, field.name) for field in fields(value)}}


def _table(items: Mapping[str, object]) -> str:
    return "{ " + ", ".join(f"{_text(key)} = {_value(item)}" for key, item in items.items()) + " }"


def _text(text: str) -> str:
    """A basic string of TOML: JSON's, but for what JSON leaves bare and TOML does not."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
