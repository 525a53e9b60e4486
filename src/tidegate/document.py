"""Facts to plain JSON-able data: the one place where `Unknown` becomes null with a reason.

A dataclass becomes a dict of its fields, a mapping one of its keys; where any value in it is `Unknown`, the dict gets
null there and a map `unknown` of field to why.
"""

import dataclasses
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from tidegate.facts.diagnosis import Level
from tidegate.facts.unknown import Unknown


def document(value: object) -> Any:
    """The value as dicts, lists, strings, numbers and null; costs one pass over it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return None if isinstance(value, Unknown) else _fields(value)
    if isinstance(value, Mapping):
        return _with_reasons({str(key): item for key, item in value.items()})
    if isinstance(value, (list, tuple, set, frozenset)):
        return [document(item) for item in value]
    return _scalar(value)


def _scalar(value: object) -> Any:
    if isinstance(value, Level):
        return value.name.lower()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        # JSON has no infinity: what is infinite here is "never", which is null.
        return round(value, 6) if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int, bool)):
        return value
    return str(value)


def _fields(value: Any) -> dict[str, Any]:
    return _with_reasons({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})


def _with_reasons(pairs: Mapping[str, Any]) -> dict[str, Any]:
    result = {name: document(item) for name, item in pairs.items()}
    unknown = {name: item.why for name, item in pairs.items() if isinstance(item, Unknown)}
    if unknown:
        result["unknown"] = {**result.get("unknown", {}), **unknown}
    return result


def iso(at: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
