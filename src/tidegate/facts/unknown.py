"""The third state: a value that could not be seen is neither zero nor fine."""

from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from typing_extensions import TypeIs

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that could not be seen, and why; it refuses to be used as a truth value."""

    why: str

    def __bool__(self) -> bool:
        message = f"an unknown value is neither true nor false ({self.why}): ask known() first"
        raise TypeError(message)


Maybe: TypeAlias = T | Unknown


def known(value: Maybe[T]) -> TypeIs[T]:
    """True where the value was seen."""
    return not isinstance(value, Unknown)


def why_unknown(value: object) -> str | None:
    """The reason where the value could not be seen, else None."""
    return value.why if isinstance(value, Unknown) else None
