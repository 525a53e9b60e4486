"""A filter as text, for the journal of acts and for backups."""

import json
from typing import Any

from tidegate.errors import CannotLook
from tidegate.facts.relief import Filter

_TUPLES = ("tasks", "args")


def encoded(wanted: Filter) -> str:
    """JSON of what is given."""
    empty = Filter()
    said = {name: getattr(wanted, name) for name in Filter.__dataclass_fields__}
    return json.dumps({name: value for name, value in said.items() if value != getattr(empty, name)})


def decoded(text: str) -> Filter:
    """The filter; raises CannotLook where it is none, for then nobody knows what was meant."""
    try:
        said: dict[str, Any] = json.loads(text)
        fields: dict[str, Any] = {name: tuple(value) if name in _TUPLES else value for name, value in said.items()}
        return Filter(**fields)
    except (ValueError, TypeError, AttributeError) as error:
        raise CannotLook(f"the act's filter can't be read ({error}): roll the act back") from error
